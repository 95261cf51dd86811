import { startRenewal } from "./renewal.js";

/** @import { EmbeddedToken } from "./types.js" */

/** @typedef {import("./types.js").Widget} Widget */
/** @typedef {import("./types.js").WidgetEvent} WidgetEvent */
/** @typedef {import("./types.js").WidgetOptions} WidgetOptions */

/**
 * Opens Airbyte's widget in a dialog, and renews its token for as long as the dialog is open.
 *
 * No script of Airbyte's runs in this page, and no inline style is needed: the Content-Security-Policy has to allow the
 * origin of `widgetUrl` as `frame-src`, and nothing else.
 *
 * @param {WidgetOptions} options
 * @returns {Promise<Widget>} Rejects if no token can be minted.
 */
export async function openWidget({ client, signal, onEvent, onToken, onError, onClose, labels }) {
  const { title = "Connect a source", close: closeLabel = "Close", loading = "Loading…" } = labels ?? {};
  let token = await client.mintToken({ signal });
  signal?.throwIfAborted();
  const { href, origin, protocol } = new URL(token.widgetUrl);
  if (!/^https?:$/.test(protocol)) throw new TypeError("The widget's URL is not one of http or https.");

  const frame = element("iframe", { title, src: href });
  const closeButton = element("button", { type: "button", textContent: "×", ariaLabel: closeLabel });
  const status = element("p", { textContent: loading });
  status.setAttribute("role", "status");
  const dialog = element("dialog", { className: "airbyte-embedded", ariaLabel: title });
  const bar = element("div", {});
  bar.append(element("span", { textContent: title }), closeButton);
  dialog.append(bar, status, frame);

  /** Whether the page inside waits for a token. */
  let isAsked = false;
  /** The token that it got last. @type {EmbeddedToken | undefined} */
  let given;
  const respond = () => {
    if (!isAsked) return;
    isAsked = false;
    given = token;
    frame.contentWindow?.postMessage({ scopedAuthToken: token.scopedToken }, origin);
  };
  const updateToken = (/** @type {EmbeddedToken} */ renewed) => {
    token = renewed;
    respond();
  };

  const renewal = startRenewal(client, token, {
    onToken(renewed) {
      updateToken(renewed);
      onToken?.(renewed);
    },
    onError,
  });

  const listening = new AbortController();
  const close = () => {
    if (listening.signal.aborted) return;
    listening.abort();
    renewal.stop();
    dialog.close(); // returns the focus to where it was
    dialog.remove();
    onClose?.();
  };
  const until = { signal: listening.signal };
  window.addEventListener(
    "message",
    ({ source, origin: sender, data }) => {
      if (source !== frame.contentWindow || sender !== origin) return;
      if (data === "auth_token_request") {
        isAsked = true;
        // It asks again for a token that it has: Airbyte rejected that one.
        if (!renewal.demand(given === token)) respond();
      } else if (data === "CLOSE_DIALOG") close();
      else if (typeof data?.type === "string") onEvent?.(normalizeEvent(data));
    },
    until,
  );
  frame.addEventListener("load", () => status.remove(), until);
  closeButton.addEventListener("click", close, until);
  dialog.addEventListener("close", close, until); // the Escape key
  signal?.addEventListener("abort", close, until);

  addStyle();
  document.body.append(dialog);
  dialog.showModal();
  onToken?.(token);
  return { dialog, updateToken, close };
}

const MAX_TEXT = 200;

/**
 * Returns an event of the widget in one form. Its generations write the same thing differently:
 *
 * - `{type: "end_user_action_result", message: "source_created", data: {id}}`
 * - the same with `partial_user_config_created`, whose `data.id` is not the source's
 * - `{type: "sourceCreated", data: {sourceId, sourceName}}`
 *
 * @param {any} message
 * @returns {WidgetEvent}
 */
export function normalizeEvent(message) {
  const { type, message: result, data, error } = message;
  const name = text(type === "end_user_action_result" ? result : type) ?? "";
  const isPartial = name.startsWith("partial_user_config");
  return {
    type: name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/^partial_user_config/, "source"),
    sourceId: text(data?.sourceId ?? data?.source_id ?? (isPartial ? undefined : data?.id)),
    sourceName: text(data?.sourceName ?? data?.source_name ?? data?.name),
    error: text(error?.message ?? data?.error?.message ?? error),
    data: message,
  };
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value.slice(0, MAX_TEXT) : undefined;
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Partial<HTMLElementTagNameMap[Name]>} properties
 */
function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

/** @type {CSSStyleSheet | undefined} */
let style;

/** Adds the dialog's style, as a constructed style sheet because a strict `style-src` blocks `<style>` elements. */
function addStyle() {
  if (style) return;
  style = new CSSStyleSheet();
  style.replaceSync(STYLE);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, style];
}

// The system's colors follow the page's own `color-scheme`.
const STYLE = `
html:has(.airbyte-embedded[open]) { overflow: hidden; }
.airbyte-embedded {
  box-sizing: border-box; width: min(36rem, 100vw); height: min(50rem, 100dvh); max-width: none; max-height: none;
  padding: 0; overflow: hidden; border: 1px solid GrayText; border-radius: 0.75rem; background: Canvas; color: CanvasText;
}
.airbyte-embedded[open] { display: grid; grid-template: 3rem 1fr / 1fr; }
.airbyte-embedded::backdrop { background: rgb(0 0 0 / 55%); }
.airbyte-embedded > div { display: flex; align-items: center; justify-content: space-between; padding-left: 1rem; font: 600 1rem system-ui; }
.airbyte-embedded > div button {
  width: 3rem; height: 3rem; min-height: 0; padding: 0; border: 0; background: none; color: inherit; font: 1.5rem/1 system-ui; cursor: pointer;
}
.airbyte-embedded > div button:focus-visible { outline: 3px solid; outline-offset: -5px; border-radius: 0.75rem; }
.airbyte-embedded > p { grid-area: 2 / 1; place-self: center; margin: 0; }
.airbyte-embedded > iframe { grid-area: 2 / 1; width: 100%; height: 100%; border: 0; }
@media (max-width: 36rem) { .airbyte-embedded { width: 100vw; height: 100dvh; border: 0; border-radius: 0; } }
@media (prefers-reduced-motion: no-preference) {
  .airbyte-embedded[open] { animation: airbyte-embedded 0.15s ease-out; }
  @keyframes airbyte-embedded { from { opacity: 0; translate: 0 0.5rem; } }
}`;
