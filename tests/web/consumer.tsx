// A small consumer of the package's types. It is checked with `tsc --strict`, never run.
import { createClient, keepFresh, NetworkError, ProblemError } from "airbyte-embedded-web";
import type { Client, EmbeddedToken, ErrorAction, FieldError, NewSource, Source } from "airbyte-embedded-web";
import { describeError, sourceForm } from "airbyte-embedded-web/form.js";
import { useAirbyteEmbedded } from "airbyte-embedded-web/react.js";
import { openWidget } from "airbyte-embedded-web/widget.js";
import type { Widget, WidgetEvent, WidgetOptions } from "airbyte-embedded-web/widget.js";

const client: Client = createClient({
  apiUrl: "https://api.example.com",
  getAccessToken: async ({ refresh }) => (refresh ? "new" : "cached"),
  idempotencyKeys: true,
});

export async function connect(signal: AbortSignal): Promise<void> {
  const token: EmbeddedToken = await client.mintToken({ signal });
  const seconds: number = token.expiresIn;
  const stop: () => void = keepFresh(client, token, {
    onToken: (renewed) => console.log(renewed.scopedToken, seconds),
    onError: (error, willRetry: boolean) => console.log(error, willRetry),
  });
  stop();

  const source: NewSource = { templateId: "t", configuration: { host: "db" }, idempotencyKey: "k", signal };
  const created: Source = await client.createSource(source);
  console.log(created.id.length);

  const options: WidgetOptions = {
    client,
    signal,
    onEvent: ({ type, sourceId }: WidgetEvent) => console.log(type, sourceId?.length),
    labels: { title: "Quelle verbinden" },
  };
  const widget: Widget = await openWidget(options);
  widget.updateToken(token);
  widget.dialog.classList.add("mine");
  widget.close();

  const form = sourceForm(document.createElement("form"), {
    client: () => client,
    template: { id: "t", connection_specification: { type: "object", properties: { host: { type: "string" } } } },
    onCreated: ({ id }) => console.log(id),
  });
  form.reset();
  form.remove();
}

export function advice(error: unknown): ErrorAction | undefined {
  if (error instanceof ProblemError) {
    const fields: FieldError[] = error.errors;
    console.log(fields.length, error.requestId, error.retryAfter, ...describeError(error));
    return error.action;
  }
  return error instanceof NetworkError ? error.action : undefined;
}

export function Connect() {
  const { open, close, status, error } = useAirbyteEmbedded({ client, onEvent: (event) => console.log(event.type) });
  return { open, close, isOpen: status === "open", failed: error !== undefined };
}

export const connectDirectly = () => client.createSource({ templateId: "t", credentials: {}, environment: {}, name: "n" });

// What the types reject.

// @ts-expect-error: the API's URL is required
createClient({ getAccessToken: () => "token" });

// @ts-expect-error: a source has a configuration or credentials
client.createSource({ templateId: "t", environment: {} });

// @ts-expect-error: the hook gets a client
useAirbyteEmbedded({});

// @ts-expect-error: no such action
export const action: ErrorAction = "panic";

// @ts-expect-error: the token is renewed for someone
keepFresh(client, { token: "", scopedToken: "", widgetUrl: "", workspaceId: "", expiresAt: "", expiresIn: 1 }, {});
