/**
 * An alternative to the package's `openWidget`: the widget's script by Airbyte. It takes the same options.
 *
 * @module
 */
import { keepFresh } from "./airbyte-embedded-web/index.js";
import { normalizeEvent } from "./airbyte-embedded-web/widget.js";

/** @import { WidgetOptions } from "./airbyte-embedded-web/widget.js" */

/**
 * @param {WidgetOptions & { scriptUrl: string, integrity?: string }} options
 *   Where the script is, and its hash (Subresource Integrity): README.md has the reason.
 * @returns {Promise<{ close: () => void }>}
 */
export async function openVendorWidget({ client, scriptUrl, integrity, signal, onEvent, onToken, onError, onClose }) {
  const [token, AirbyteEmbeddedWidget] = await Promise.all([
    client.mintToken({ signal }),
    unlessAborted(loadScript(scriptUrl, integrity), signal),
  ]);

  const dialogsBefore = new Set(document.querySelectorAll("dialog"));
  const widget = new AirbyteEmbeddedWidget({ ...token, onEvent: (/** @type {any} */ event) => onEvent?.(normalizeEvent(event)) });
  widget.open();
  onToken?.(token);

  const stopRenewal = keepFresh(client, token, {
    onToken(renewed) {
      widget.updateToken(renewed.token);
      onToken?.(renewed);
    },
    onError,
  });

  // The widget does not report that it was closed, but its <dialog> does; if that is not there yet, any dialog. `close`
  // does not bubble; it can be captured.
  const listening = new AbortController();
  const closed = () => {
    listening.abort();
    stopRenewal();
    onClose?.();
  };
  const close = () => {
    if (!listening.signal.aborted) closed();
    widget.destroy();
  };
  const until = { capture: true, signal: listening.signal };
  const dialog = [...document.querySelectorAll("dialog")].find((dialog) => !dialogsBefore.has(dialog));
  (dialog ?? document).addEventListener("close", closed, until);
  signal?.addEventListener("abort", close, until);
  return { close };
}

/**
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
 * Loads the script when it is first needed. It sets one global, the class.
 *
 * @param {string} url
 * @param {string} [integrity]
 * @returns {Promise<any>}
 */
function loadScript(url, integrity) {
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
    // Unreachable, blocked by the Content-Security-Policy, or another file than the hash is of: the page cannot know.
    script.onerror = () => fail("The widget's script could not be loaded.");
    document.head.append(script);
  });
  return loading;
}
