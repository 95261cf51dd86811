// A script with the interface of Airbyte's widget script, which speaks the same messages with the page at `widgetUrl`. As
// Airbyte's does, it adds a `<style>` element, so that a Content-Security-Policy that is too strict for it fails a test.
(() => {
  "use strict";

  const STYLE = `
    .vendor-widget { padding: 0; border: 0; border-radius: 12px; overflow: hidden; max-width: 100vw; max-height: 100dvh;
      box-shadow: 0 0 0 1px rgb(255 255 255 / 25%); /* an edge in the dark */ }
    .vendor-widget::backdrop { background: rgb(15 17 40 / 60%); }
    .vendor-widget iframe { display: block; width: 500px; max-width: 100vw; height: 720px; max-height: 100dvh; border: 0; }
  `;

  class AirbyteEmbeddedWidget {
    #onEvent;
    #scopedToken;
    #origin;
    #style = document.createElement("style");
    #dialog = document.createElement("dialog");
    #iframe = document.createElement("iframe");

    /**
     * @param {object} options
     * @param {string} options.token  The opaque token: base64 of `{"token": …, "widgetUrl": …}`.
     * @param {(event: { type: string }) => void} [options.onEvent]
     */
    constructor({ token, onEvent = () => {} }) {
      this.#onEvent = onEvent;
      const { widgetUrl } = this.#take(token);

      this.#style.textContent = STYLE;
      this.#dialog.className = "vendor-widget";
      this.#dialog.setAttribute("aria-label", "Airbyte Widget");
      this.#iframe.title = "Airbyte Widget";
      this.#iframe.src = widgetUrl;
      this.#dialog.append(this.#iframe);

      // Listening starts before the page can ask.
      window.addEventListener("message", this.#onMessage);
      document.head.append(this.#style);
      document.body.append(this.#dialog);
    }

    open() {
      this.#dialog.showModal();
    }

    /** Replaces the token and sends the new one to the page, even unasked. */
    updateToken(token) {
      this.#take(token);
      this.#sendToken();
    }

    destroy() {
      window.removeEventListener("message", this.#onMessage);
      this.#dialog.remove();
      this.#style.remove();
    }

    #take(opaqueToken) {
      const decoded = decode(opaqueToken);
      this.#scopedToken = decoded.token;
      this.#origin = new URL(decoded.widgetUrl).origin;
      return decoded;
    }

    #sendToken() {
      this.#iframe.contentWindow?.postMessage({ scopedAuthToken: this.#scopedToken }, this.#origin);
    }

    #onMessage = ({ source, origin, data }) => {
      if (source !== this.#iframe.contentWindow || origin !== this.#origin) return;
      if (data === "auth_token_request") this.#sendToken();
      else if (data === "CLOSE_DIALOG") this.#dialog.close();
      else if (data?.type) this.#onEvent(data);
    };
  }

  /** Either base64 alphabet, padded or not. */
  function decode(opaqueToken) {
    if (!opaqueToken) throw new Error("AirbyteEmbeddedWidget: a token is required.");
    let decoded;
    try {
      decoded = JSON.parse(atob(opaqueToken.replaceAll("-", "+").replaceAll("_", "/")));
    } catch (cause) {
      throw new Error("AirbyteEmbeddedWidget: the token cannot be decoded.", { cause });
    }
    if (!decoded.widgetUrl) throw new Error("AirbyteEmbeddedWidget: the token has no widgetUrl.");
    return decoded;
  }

  window.AirbyteEmbeddedWidget = AirbyteEmbeddedWidget;
})();
