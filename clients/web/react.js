"use client";

import { useCallback, useEffect, useRef, useState } from "react";
import { openWidget } from "./widget.js";

/** @import { WidgetOptions } from "./types.js" */

/** @typedef {import("./types.js").WidgetEvent} WidgetEvent */

/**
 * @typedef {object} AirbyteEmbedded
 * @property {() => Promise<void>} open  Opens the widget; does nothing while it is open or opening. It never rejects.
 * @property {() => void} close
 * @property {"closed" | "opening" | "open"} status
 * @property {unknown} error  Why the widget could not be opened or its token not be renewed, until it is opened again.
 */

/**
 * A React hook that opens Airbyte's widget and renews its token. The widget closes when the component unmounts.
 *
 * Create the client once per signed-in user, for example with `useMemo`.
 *
 * @param {Omit<WidgetOptions, "signal">} options  The callbacks may differ on every render.
 * @returns {AirbyteEmbedded}
 */
export function useAirbyteEmbedded(options) {
  const [status, setStatus] = useState(/** @type {AirbyteEmbedded["status"]} */ ("closed"));
  const [error, setError] = useState(/** @type {unknown} */ (undefined));
  const latest = useRef(options);
  const opened = useRef(/** @type {AbortController | undefined} */ (undefined));

  useEffect(() => {
    latest.current = options;
  });

  const close = useCallback(() => {
    opened.current?.abort();
    opened.current = undefined;
  }, []);

  const open = useCallback(async () => {
    if (opened.current) return;
    const controller = new AbortController();
    opened.current = controller;
    // A later opening, or none, has taken its place: its state is not this one's to set.
    const isCurrent = () => opened.current === controller;
    setStatus("opening");
    setError(undefined);
    try {
      await openWidget({
        client: latest.current.client,
        labels: latest.current.labels,
        signal: controller.signal,
        onEvent: (event) => latest.current.onEvent?.(event),
        onToken: (token) => latest.current.onToken?.(token),
        onError(failure, willRetry) {
          if (!willRetry) setError(failure);
          latest.current.onError?.(failure, willRetry);
        },
        onClose() {
          if (isCurrent()) opened.current = undefined;
          if (!opened.current) setStatus("closed");
          latest.current.onClose?.();
        },
      });
      setStatus("open");
    } catch (failure) {
      if (opened.current && !isCurrent()) return;
      setStatus("closed");
      if (!opened.current) return; // closed while it was opening
      opened.current = undefined;
      setError(failure);
      latest.current.onError?.(failure, false);
    }
  }, []);

  useEffect(() => close, [close]);

  return { open, close, status, error };
}
