/**
 * A browser client for the two Airbyte Embedded functions. One file, no dependencies: copy it as it is.
 *
 *     const client = createClient({ apiUrl: "https://api.example.com", getAccessToken: () => session.accessToken });
 *     const token = await client.mintToken();
 *     const widget = new AirbyteEmbeddedWidget({ ...token, onEvent });
 *     const stop = keepFresh(client, token, { onToken: (renewed) => widget.updateToken(renewed.token) });
 *
 * It keeps no token, stores nothing and logs nothing.
 *
 * @module
 */

/**
 * The answer of `POST /token`. It can be handed to the Airbyte Embedded Widget as it is.
 *
 * @typedef {object} EmbeddedToken
 * @property {string} token        Airbyte's opaque token, for the widget and for `createSource`.
 * @property {string} scopedToken  The bearer token inside it, for calls to Airbyte's own API.
 * @property {string} widgetUrl    The page which the widget shows.
 * @property {string} workspaceId  The user's workspace.
 * @property {string} expiresAt    When the token ends (RFC 3339).
 */

/**
 * One fault of a request.
 *
 * @typedef {object} FieldError
 * @property {string} pointer  Where it is in the request's body, a JSON Pointer (RFC 6901).
 * @property {string} detail   What is wrong there.
 */

/**
 * @typedef {object} Client
 * @property {(options?: { signal?: AbortSignal }) => Promise<EmbeddedToken>} mintToken
 *   Mints a token for the signed-in user. Calls made while a mint is under way share it.
 * @property {(source: NewSource) => Promise<{ id: string, [name: string]: unknown }>} createSource
 *   Creates a source in the signed-in user's workspace and gives Airbyte's answer. It is never repeated by itself,
 *   since Airbyte would make two sources of two requests.
 */

/**
 * @typedef {object} NewSource
 * @property {string} templateId             The source template's id.
 * @property {Record<string, unknown>} configuration  What the template asks for.
 * @property {string} [token]                The `token` of an {@link EmbeddedToken}; without it the function mints one itself.
 * @property {AbortSignal} [signal]          Stops waiting. The source may have been created all the same.
 */

/** The API answered with an error: problem details (RFC 9457), or API Gateway's own `{"message": …}`. */
export class ProblemError extends Error {
  name = "ProblemError";

  /**
   * @param {{ status: number, type?: string, title?: string, detail?: string, errors?: FieldError[],
   *   requestId?: string, retryAfter?: number }} problem
   */
  constructor({ status, type = "about:blank", title = `HTTP ${status}`, detail = title, errors = [], requestId, retryAfter }) {
    super(detail);
    /** The HTTP status. */
    this.status = status;
    /** Which kind of problem it is, such as `token-expired`; `about:blank` if the answer did not say. */
    this.type = type;
    /** The kind of problem in words. */
    this.title = title;
    /** What went wrong and what to do next. */
    this.detail = detail;
    /** Every fault of the request, in the order given. */
    this.errors = errors;
    /** What to quote to whoever runs the API. */
    this.requestId = requestId;
    /** Seconds to wait before another try, where the API asked for it (and its CORS rules expose `Retry-After`). */
    this.retryAfter = retryAfter;
  }
}

/**
 * No answer arrived: offline, a connection that died, or an answer which the browser withheld because the API
 * does not allow this page's origin. A browser does not tell a page which of them it was.
 */
export class NetworkError extends Error {
  name = "NetworkError";
}

/**
 * Makes a client for one signed-in user. Make another one when another user signs in.
 *
 * @param {object} options
 * @param {string} options.apiUrl  Where the API is, with its stage if it has one.
 * @param {() => string | Promise<string>} options.getAccessToken
 *   Gives the user's access token for the API. Called before every request, so that your OIDC library can renew it;
 *   what it throws reaches the caller unchanged.
 * @param {typeof globalThis.fetch} [options.fetch]
 * @returns {Client}
 */
export function createClient({ apiUrl, getAccessToken, fetch = globalThis.fetch.bind(globalThis) }) {
  const base = apiUrl.replace(/\/+$/, "");

  /**
   * @param {string} path
   * @param {object | undefined} body
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<any>}
   */
  async function post(path, body, signal) {
    const authorization = `Bearer ${await getAccessToken()}`;
    const headers = { authorization, ...(body && { "content-type": "application/json" }) };
    let response, text;
    try {
      // The access token says who calls: no cookies are needed, and none are sent.
      response = await fetch(base + path, { method: "POST", headers, body: body && JSON.stringify(body), credentials: "omit", signal });
      text = await response.text();
    } catch (cause) {
      signal?.throwIfAborted();
      throw new NetworkError(`No answer from ${base}.`, { cause });
    }
    const json = parseObject(text);
    if (!response.ok) throw toProblem(response, json);
    if (!json) throw new ProblemError({ status: response.status, title: "The API's answer is not understood." });
    return json;
  }

  const mint = shareInFlight((signal) => post("/token", undefined, signal));

  return {
    mintToken: ({ signal } = {}) => mint(signal),

    async createSource({ templateId, configuration, token, signal }) {
      const source = await post(
        "/sources",
        { source_config_template_id: templateId, connection_configuration: configuration, token },
        signal,
      );
      return { ...source, id: source.id ?? source.source_id };
    },
  };
}

/**
 * Renews a token ahead of its end, for as long as something uses it.
 *
 * Timers stand still while a computer sleeps and run late in hidden tabs. So the clock is looked at every half
 * minute, and whenever the page is shown again or the network is back.
 *
 * @param {Client} client
 * @param {EmbeddedToken} token  As it was just minted.
 * @param {object} callbacks
 * @param {(token: EmbeddedToken) => void} callbacks.onToken  Takes each new token.
 * @param {(error: unknown, willRetry: boolean) => void} [callbacks.onError]
 *   Takes each failure. After a passing one (network, 429, 5xx) another try follows; after any other renewal has ended.
 * @returns {() => void} Ends the renewal.
 */
export function keepFresh(client, token, { onToken, onError = () => {} }) {
  const ended = new AbortController();
  const { signal } = ended;
  let due = renewalTime(token);
  let failures = 0;
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
    try {
      renewed = await client.mintToken({ signal });
    } catch (error) {
      if (signal.aborted) return;
      const willRetry = isPassing(error);
      due = Date.now() + retryDelay(failures, error);
      failures += 1;
      if (!willRetry) stop();
      onError(error, willRetry);
      return;
    } finally {
      renewing = false;
    }
    due = renewalTime(renewed);
    failures = 0;
    onToken(renewed);
  }

  async function check() {
    if (renewing) return;
    clearTimeout(timer);
    if (Date.now() >= due) await renew();
    if (!signal.aborted) timer = setTimeout(check, Math.min(Math.max(due - Date.now(), 0), 30 * SECOND));
  }

  const networkIsBack = () => {
    if (failures > 0) due = Date.now();
    check();
  };

  document.addEventListener("visibilitychange", check, { signal });
  window.addEventListener("pageshow", check, { signal });
  window.addEventListener("online", networkIsBack, { signal });
  check();
  return stop;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/**
 * After three quarters of the token's life, at most five minutes ahead of its end: time for a few tries, and for a
 * clock that runs a little behind.
 *
 * @param {EmbeddedToken} token
 */
function renewalTime({ expiresAt }) {
  const now = Date.now();
  const life = Date.parse(expiresAt) - now;
  // Ended on arrival: this computer's clock is wrong, so the time given is of no use. Do not mint in a loop.
  if (!(life > 0)) return now + 5 * MINUTE;
  return now + life - Math.min(life / 4, 5 * MINUTE);
}

/** @param {unknown} error */
function isPassing(error) {
  return error instanceof NetworkError || (error instanceof ProblemError && (error.status === 429 || error.status >= 500));
}

/**
 * Doubles from one second to half a minute, with jitter so that many pages do not come back at the same moment.
 *
 * @param {number} failures
 * @param {unknown} error
 */
function retryDelay(failures, error) {
  const asked = error instanceof ProblemError ? (error.retryAfter ?? 0) : 0;
  const backOff = Math.min(SECOND * 2 ** failures, 30 * SECOND) * (0.5 + Math.random() / 2);
  return Math.max(asked * SECOND, backOff);
}

/**
 * Lets calls made while one is under way share its answer. A caller's signal makes that caller leave; the work itself
 * is stopped when the last one has left.
 *
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} start
 * @returns {(signal?: AbortSignal) => Promise<T>}
 */
function shareInFlight(start) {
  /** @type {{ waiting: number, controller: AbortController, answer: Promise<T> } | undefined} */
  let flight;

  return async (signal) => {
    signal?.throwIfAborted();
    if (!flight) {
      const controller = new AbortController();
      const answer = start(controller.signal).finally(() => {
        if (flight === started) flight = undefined;
      });
      const started = { waiting: 0, controller, answer };
      flight = started;
    }
    const joined = flight;
    joined.waiting += 1;
    if (!signal) return joined.answer;

    return new Promise((resolve, reject) => {
      const leave = () => {
        reject(signal.reason);
        joined.waiting -= 1;
        if (joined.waiting > 0) return;
        if (flight === joined) flight = undefined;
        joined.controller.abort(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      joined.answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
    });
  };
}

/**
 * @param {Response} response
 * @param {any} body
 */
function toProblem(response, body) {
  const { status } = response;
  const retryAfter = parseRetryAfter(response.headers.get("retry-after"));
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json") && body;
  if (isProblem) {
    const errors = Array.isArray(body.errors) ? body.errors : undefined;
    return new ProblemError({ ...body, status, errors, retryAfter });
  }
  // What API Gateway refuses by itself never reaches a function: it answers {"message": "Unauthorized"} and the like.
  return new ProblemError({ status, type: GATEWAY_TYPES[status], title: body?.message, retryAfter });
}

/** The functions' problem types for the statuses which API Gateway answers by itself. @type {Record<number, string>} */
const GATEWAY_TYPES = { 401: "unauthenticated", 403: "forbidden", 413: "payload-too-large", 429: "rate-limited" };

/**
 * Seconds, from either form of `Retry-After` (RFC 9110, section 10.2.3).
 *
 * @param {string | null} value
 */
function parseRetryAfter(value) {
  if (!value) return undefined;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / SECOND;
  return Number.isNaN(seconds) ? undefined : Math.max(seconds, 0);
}

/** @param {string} text */
function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
