// Checks of the widget host, with a page inside that the checks simulate.

const { openWidget } = await import("/airbyte-embedded-web/widget.js");

const WIDGET_URL = `${args.airbyteUrl}/embedded-widget?workspaceId=w&allowedOrigin=null`;
const ORIGIN = new URL(args.airbyteUrl).origin;

/**
 * A widget whose mints get `results` in turn: tokens by name and lifetime, or errors. `send` sends a message of the page inside,
 * and `received` has the messages that it got.
 */
async function withWidget(results, check, options = {}) {
  await withClock(options.clock, async (clock) => {
    const seen = { mints: 0, received: [], events: [], tokens: [], errors: [], closed: 0 };
    const client = {
      async mintToken() {
        seen.mints += 1;
        const result = results[Math.min(seen.mints, results.length) - 1];
        if (result instanceof Error) throw result;
        return { scopedToken: result, token: `opaque ${result}`, widgetUrl: WIDGET_URL, expiresIn: 1200 };
      },
    };
    const widget = await openWidget({
      client,
      onEvent: (event) => seen.events.push(event),
      onToken: ({ scopedToken }) => seen.tokens.push(scopedToken),
      onError: (error, willRetry) => seen.errors.push([error.name, willRetry]),
      onClose: () => (seen.closed += 1),
      ...options.widget,
    });
    // A message's source has to be a window: this one, in place of the page inside.
    const frame = widget.dialog.querySelector("iframe");
    Object.defineProperty(frame, "contentWindow", { value: window });
    const postMessage = window.postMessage;
    window.postMessage = (...message) => seen.received.push(message);
    const send = async (data, { origin = ORIGIN, source = window } = {}) => {
      window.dispatchEvent(new MessageEvent("message", { data, origin, source }));
      await settled();
    };
    try {
      await check({ clock, seen, widget, send });
    } finally {
      window.postMessage = postMessage;
      widget.close();
    }
  });
}

const tokenMessage = (token) => [{ scopedAuthToken: token }, ORIGIN];

const checks = {
  async "sends the page inside the token when asked, to its origin only"() {
    await withWidget(["a"], async ({ seen, send }) => {
      equal(seen.received, [], "unasked");
      await send("auth_token_request");
      equal(seen.received, [tokenMessage("a")]);
      equal([seen.mints, seen.tokens], [1, ["a"]]);
    });
  },

  async "ignores messages of other windows and origins"() {
    await withWidget(["a"], async ({ seen, send }) => {
      for (const data of ["auth_token_request", "CLOSE_DIALOG", { type: "sourceCreated" }]) {
        await send(data, { origin: location.origin });
        await send(data, { origin: `${ORIGIN}.example.com` });
        await send(data, { origin: "null" });
        await send(data, { source: null });
        await send(data, { source: frames[0] });
      }
      equal([seen.received, seen.events, seen.closed], [[], [], 0]);
    });
  },

  async "ignores messages of no known form"() {
    await withWidget(["a"], async ({ seen, send }) => {
      for (const data of [null, undefined, 7, "", "hello", {}, [], { type: 7 }, { type: null }]) await send(data);
      equal([seen.received, seen.events, seen.closed], [[], [], 0]);
    });
  },

  async "gives later requests the newest token, and sends none unasked"() {
    await withWidget(["a", "b"], async ({ clock, seen, send }) => {
      await send("auth_token_request");
      await clock.pass(15 * MINUTE);
      equal([seen.mints, seen.received], [2, [tokenMessage("a")]]);
      await send("auth_token_request");
      equal([seen.mints, seen.received], [2, [tokenMessage("a"), tokenMessage("b")]]);
    });
  },

  async "gives later requests the token of updateToken"() {
    await withWidget(["a"], async ({ seen, widget, send }) => {
      widget.updateToken({ scopedToken: "c", token: "", widgetUrl: "https://elsewhere.example.com/", expiresIn: 1200 });
      await send("auth_token_request");
      equal(seen.received, [tokenMessage("c")]);
    });
  },

  async "renews at once when the page inside asks after the expiry"() {
    // Neither clock counted the sleep: one stopped, and the other was set back meanwhile.
    await withWidget(["a", "b"], async ({ clock, seen, send }) => {
      await send("auth_token_request");
      clock.sleep(HOUR);
      clock.offset -= HOUR;
      await send("auth_token_request");
      equal([seen.mints, seen.received], [1, [tokenMessage("a"), tokenMessage("a")]], "within half a minute of the mint");
      await clock.pass(MINUTE);
      await send("auth_token_request");
      equal([seen.mints, seen.received.at(-1)], [2, tokenMessage("b")]);
    });
    await withWidget(["a", "b"], async ({ clock, seen, send }) => {
      clock.sleep(HOUR);
      await send("auth_token_request");
      equal([seen.mints, seen.received], [2, [tokenMessage("b")]], "asked for the first time");
    });
  },

  async "responds as soon as a failed renewal succeeds, without a loop"() {
    await withWidget(["a", new NetworkError("gone"), "b"], async ({ clock, seen, send }) => {
      clock.sleep(HOUR);
      for (let index = 0; index < 20; index += 1) await send("auth_token_request");
      equal([seen.mints, seen.received, seen.errors], [2, [], [["NetworkError", true]]]);
      await clock.pass(2 * SECOND);
      equal([seen.mints, seen.received], [3, [tokenMessage("b")]]);
    });
  },

  async "does not mint in a loop for a page that asks in a loop"() {
    await withWidget(["a", "b", "c"], async ({ clock, seen, send }) => {
      for (let second = 0; second < 65; second += 1) {
        await send("auth_token_request");
        await clock.pass(SECOND);
      }
      equal(seen.mints, 3, "mints in 65 seconds");
    });
  },

  async "hands on the events of every generation in one form"() {
    const source = "0b7c1f5e-63a9-4b39-8d8e-0a5f0c7d9e11";
    const cases = [
      [{ type: "end_user_action_result", message: "source_created", data: { id: source, name: "n" } }, ["source_created", source, "n", undefined]],
      [{ type: "end_user_action_result", message: "partial_user_config_created", data: { id: "p", source_id: source } }, ["source_created", source, undefined, undefined]],
      [{ type: "end_user_action_result", message: "partial_user_config_created", data: { id: "p" } }, ["source_created", undefined, undefined, undefined]],
      [{ type: "partial_user_config_created", data: {} }, ["source_created", undefined, undefined, undefined]],
      [{ type: "sourceCreated", data: { sourceId: source, sourceName: "n" } }, ["source_created", source, "n", undefined]],
      [{ type: "end_user_action_result", message: "source_create_error", error: new Error("no") }, ["source_create_error", undefined, undefined, "no"]],
      [{ type: "sourceCreateError", data: { error: { message: "no" } } }, ["source_create_error", undefined, undefined, "no"]],
      [{ type: "end_user_action_result", data: null }, ["", undefined, undefined, undefined]],
      [{ type: "a".repeat(10_000), data: { sourceId: "b".repeat(10_000), name: 7 } }, ["a".repeat(200), "b".repeat(200), undefined, undefined]],
    ];
    for (const [message, expected] of cases) {
      await withWidget(["a"], async ({ seen, send }) => {
        await send(message);
        const { type, sourceId, sourceName, error, data } = seen.events[0];
        equal([type, sourceId, sourceName, error], expected, JSON.stringify(message).slice(0, 200));
        equal(data === message, true, "data is the message");
      });
    }
  },

  async "closes for the page inside, the button, Escape, close() and the signal, once"() {
    const controller = new AbortController();
    const ways = {
      "the page inside": ({ send }) => send("CLOSE_DIALOG"),
      "the button": ({ widget }) => widget.dialog.querySelector("button").click(),
      // What the browser does for the key.
      Escape: ({ widget }) => new Promise((resolve) => {
        widget.dialog.addEventListener("close", resolve);
        widget.dialog.close();
      }),
      "close()": ({ widget }) => widget.close(),
      "the signal": () => controller.abort(),
    };
    for (const [way, close] of Object.entries(ways)) {
      const opener = document.body.appendChild(document.createElement("button"));
      opener.focus();
      await withWidget(["a"], async (context) => {
        await close(context);
        const { seen, widget, send, clock } = context;
        equal([widget.dialog.isConnected, seen.closed], [false, 1], way);
        equal(document.activeElement === opener, true, `focus after ${way}`);
        widget.close();
        await send("auth_token_request");
        await clock.pass(HOUR);
        equal([seen.closed, seen.received, seen.mints, clock.timers.length], [1, [], 1, 0], `after ${way}`);
      }, { widget: { signal: controller.signal } });
      opener.remove();
    }
  },

  async "does not open for an aborted signal, or without a token"() {
    const controller = new AbortController();
    const client = {
      async mintToken() {
        controller.abort();
        return { widgetUrl: WIDGET_URL };
      },
    };
    equal((await rejection(openWidget({ client, signal: controller.signal }))).name, "AbortError");
    const failing = { mintToken: () => Promise.reject(new NetworkError("gone")) };
    equal((await rejection(openWidget({ client: failing }))).name, "NetworkError");
    equal(document.querySelector("dialog"), null, "dialog");
  },

  async "opens no page but of http and https"() {
    for (const widgetUrl of ["javascript:alert(1)", "data:text/html,hello", "blob:https://a.example/x", "no URL"]) {
      const client = { mintToken: async () => ({ scopedToken: "a", expiresIn: 1200, widgetUrl }) };
      equal((await rejection(openWidget({ client }))).name, "TypeError", widgetUrl);
    }
    equal(document.querySelector("dialog"), null, "dialog");
  },

  async "has names for screen readers, in the page's language"() {
    await withWidget(["a"], async ({ widget: { dialog } }) => {
      const names = [dialog.ariaLabel, dialog.querySelector("iframe").title, dialog.querySelector("button").ariaLabel];
      equal(names, ["Connect a source", "Connect a source", "Close"]);
    });
    const labels = { title: "Quelle verbinden", close: "Schließen", loading: "Lädt…" };
    await withWidget(["a"], async ({ widget: { dialog } }) => {
      const names = [dialog.ariaLabel, dialog.querySelector("iframe").title, dialog.querySelector("button").ariaLabel];
      equal(names, ["Quelle verbinden", "Quelle verbinden", "Schließen"]);
      equal(dialog.querySelector("[role=status]")?.textContent, "Lädt…");
    }, { widget: { labels } });
  },
};
