import { backOff, mintTimes, NetworkError, ProblemError } from "./client.js";
import { now } from "./clock.js";

/** @import { Client, EmbeddedToken, RenewalCallbacks } from "./types.js" */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const MIN_PAUSE = 30 * SECOND;
const MAX_NETWORK_ERRORS = 10;

/**
 * Renews a token ahead of its expiry, for as long as something uses it.
 *
 * @param {Pick<Client, "mintToken">} client
 * @param {EmbeddedToken} token  The token, just minted.
 * @param {RenewalCallbacks} callbacks
 * @returns {() => void} Ends the renewal.
 */
export function keepFresh(client, token, callbacks) {
  return startRenewal(client, token, callbacks).stop;
}

/**
 * The renewal behind `keepFresh`, which can also be asked for a token.
 *
 * Timers stop while a computer sleeps and run late in hidden tabs. So the clock is read every half minute, and when the
 * page is shown again or the network is back.
 *
 * @param {Pick<Client, "mintToken">} client
 * @param {EmbeddedToken} token
 * @param {RenewalCallbacks} callbacks
 */
export function startRenewal(client, token, { onToken, onError = () => {} }) {
  const ended = new AbortController();
  const { signal } = ended;
  let { life, expires, due } = schedule(token);
  let attemptedAt = mintTimes.get(token) ?? now();
  let failures = 0;
  let networkErrors = 0;
  let renewing = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const stop = () => {
    clearTimeout(timer);
    ended.abort();
  };

  async function renew() {
    let renewed;
    renewing = true;
    attemptedAt = now();
    try {
      renewed = await client.mintToken({ signal });
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      networkErrors = error instanceof NetworkError ? networkErrors + 1 : 0;
      // A passed bound is not the end: the network may be back tomorrow.
      const willRetry = isPassing(error) && networkErrors < MAX_NETWORK_ERRORS;
      due = willRetry ? now() + backOff(failures, error) : Infinity;
      if (!isPassing(error)) stop();
      onError(error, willRetry);
      return;
    } finally {
      renewing = false;
    }
    ({ life, expires, due } = schedule(renewed));
    failures = networkErrors = 0;
    onToken(renewed);
  }

  async function check() {
    if (renewing || signal.aborted) return;
    clearTimeout(timer);
    if (now() >= due) await renew();
    if (!signal.aborted && due < Infinity) timer = setTimeout(check, Math.min(Math.max(due - now(), 0), 30 * SECOND));
  }

  const comeBack = () => {
    if (networkErrors) due = now();
    check();
  };

  document.addEventListener("visibilitychange", comeBack, { signal });
  window.addEventListener("pageshow", comeBack, { signal });
  window.addEventListener("online", comeBack, { signal });
  check();

  return {
    stop,

    /**
     * Renews the token now if it has expired, or if it was rejected and is not brand new.
     *
     * @param {boolean} wasRejected
     * @returns {boolean} Whether a new token is on its way to `onToken`.
     */
    demand(wasRejected) {
      const age = now() - attemptedAt;
      const isNeeded = now() >= expires || (wasRejected && age >= MIN_PAUSE);
      if (isNeeded && age >= Math.min(life, MIN_PAUSE)) {
        due = now();
        check();
      }
      return renewing || (isNeeded && !signal.aborted);
    },
  };
}

/**
 * Returns when a token expires and when to renew it: after three quarters of its life, at most five minutes ahead of
 * its end, which leaves time for some attempts; and not within half a minute, unless the token's life is shorter.
 *
 * @param {EmbeddedToken} token
 */
function schedule(token) {
  const mintedAt = mintTimes.get(token) ?? now();
  const life = token.expiresIn * SECOND;
  // Unknown, or over on arrival: then the server's clock is wrong, and minting in a loop would not help.
  if (!(life > 0)) return { life: MIN_PAUSE, expires: Infinity, due: mintedAt + 5 * MINUTE };
  const delay = life - Math.min(life / 4, 5 * MINUTE);
  return { life, expires: mintedAt + life, due: mintedAt + (life > MIN_PAUSE ? Math.max(delay, MIN_PAUSE) : delay) };
}

/** @param {unknown} error */
function isPassing(error) {
  return error instanceof NetworkError || (error instanceof ProblemError && (error.status === 429 || error.status >= 500));
}
