/**
 * Connect with Airbyte's own widget: mint a token, open the widget with it, keep the token fresh while it is open.
 *
 * @module
 */
import { keepFresh } from "./airbyte-embedded.js";

/** @import { Client, EmbeddedToken } from "./airbyte-embedded.js" */

/**
 * @typedef {object} WidgetOptions
 * @property {Client} client
 * @property {string} scriptUrl      Where the widget's script is.
 * @property {string} [integrity]    Its hash (Subresource Integrity): see README.md for why.
 * @property {AbortSignal} [signal]  Keeps a widget from opening that is still on its way: the user has signed out.
 * @property {(event: { type: string, [name: string]: any }) => void} onEvent  Takes the widget's events.
 * @property {(token: EmbeddedToken) => void} onToken                           Takes the first and each renewed token.
 * @property {(error: unknown, willRetry: boolean) => void} onRenewalError
 * @property {() => void} onClose    Called when the user closes the dialog.
 */

/**
 * @param {WidgetOptions} options
 * @returns {Promise<() => void>} Takes the widget off the page.
 */
export async function openWidget({ client, scriptUrl, integrity, signal, onEvent, onToken, onRenewalError, onClose }) {
  const [token, AirbyteEmbeddedWidget] = await Promise.all([
    client.mintToken({ signal }),
    unlessAborted(loadWidget(scriptUrl, integrity), signal),
  ]);

  const dialogsBefore = new Set(document.querySelectorAll("dialog"));
  const widget = new AirbyteEmbeddedWidget({ ...token, onEvent });
  widget.open();
  onToken(token);

  const stopRenewal = keepFresh(client, token, {
    onToken(renewed) {
      widget.updateToken(renewed.token);
      onToken(renewed);
    },
    onError: onRenewalError,
  });

  // The widget does not say when it is closed, but its <dialog> does; if that is not there yet, any dialog. `close` does
  // not bubble; it can be captured.
  const listening = new AbortController();
  const closed = () => {
    listening.abort();
    stopRenewal();
    onClose();
  };
  const dialog = [...document.querySelectorAll("dialog")].find((dialog) => !dialogsBefore.has(dialog));
  (dialog ?? document).addEventListener("close", closed, { capture: true, signal: listening.signal });

  return () => {
    listening.abort();
    stopRenewal();
    widget.destroy();
  };
}

/**
 * What the work comes to, unless nobody waits for it any more.
 *
 * @template T
 * @param {Promise<T>} work
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
function unlessAborted(work, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
}

/** @type {Promise<any> | undefined} */
let loading;

/**
 * Loads the vendor's script when it is first needed. It sets one global, the class.
 *
 * @param {string} url
 * @param {string} [integrity]
 * @returns {Promise<any>}
 */
function loadWidget(url, integrity) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    if (integrity) {
      script.integrity = integrity;
      script.crossOrigin = "anonymous"; // else the browser may not compare a script of another origin with the hash
    }
    const fail = (/** @type {string} */ problem) => {
      script.remove();
      loading = undefined; // so that the next click tries again
      reject(new Error(problem));
    };
    script.onload = () => {
      const { AirbyteEmbeddedWidget } = /** @type {any} */ (globalThis);
      if (typeof AirbyteEmbeddedWidget === "function") resolve(AirbyteEmbeddedWidget);
      else fail("The widget's script is not the one for <script> elements: it sets no AirbyteEmbeddedWidget.");
    };
    // Unreachable, refused by the Content-Security-Policy, or not what the hash says: the page is not told which.
    script.onerror = () => fail("The widget's script could not be loaded.");
    document.head.append(script);
  });
  return loading;
}
