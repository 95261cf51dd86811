import { now } from "./clock.js";

/** @import { Client, ClientOptions, EmbeddedToken, ErrorAction, FieldError } from "./types.js" */

/** An error response of the API: problem details (RFC 9457), or API Gateway's own `{"message": …}`. */
export class ProblemError extends Error {
  name = "ProblemError";

  /**
   * @param {{ status: number, type?: string, title?: string, detail?: string, errors?: FieldError[],
   *   requestId?: string, retryAfter?: number, action?: ErrorAction }} problem
   */
  constructor({ status, type = "about:blank", title = `HTTP ${status}`, detail = title, errors = [], requestId, retryAfter, action }) {
    super(detail);
    /** The HTTP status. */
    this.status = status;
    /** The problem type, such as `token-expired`; `about:blank` if the response has none. */
    this.type = type;
    /** The problem type in words. */
    this.title = title;
    /** What failed, and what to do. */
    this.detail = detail;
    /** All invalid fields. */
    this.errors = errors;
    /** The ID to report to the operator. */
    this.requestId = requestId;
    /** Seconds to wait before a retry, where the API sent `Retry-After`. */
    this.retryAfter = retryAfter;
    /** What a person can do about it. */
    this.action = action ?? actionFor(status, type, false);
  }
}

/**
 * No response: offline, a lost connection, a timeout, or a response that the browser withheld because the API does not allow this
 * page's origin. A browser does not show a page which.
 */
export class NetworkError extends Error {
  name = "NetworkError";

  /**
   * @param {string} message
   * @param {{ cause?: unknown, action?: ErrorAction }} [options]
   */
  constructor(message, { cause, action = "retry" } = {}) {
    super(message, { cause });
    /** What a person can do about it. */
    this.action = action;
  }
}

/**
 * When tokens were asked for, on the clock of `clock.js`.
 *
 * @type {WeakMap<EmbeddedToken, number>}
 */
export const mintTimes = new WeakMap();

/**
 * Creates a client for one signed-in user. Create another one when another user signs in.
 *
 * @param {ClientOptions} options
 * @returns {Client}
 */
export function createClient({ apiUrl, getAccessToken, idempotencyKeys = true, fetch = globalThis.fetch.bind(globalThis) }) {
  const base = apiUrl.replace(/\/+$/, "");
  let networkErrors = 0; // in a row

  /**
   * @param {string} path
   * @param {{ body?: object, key?: string, signal?: AbortSignal }} request
   * @returns {Promise<any>}
   */
  async function post(path, { body, key, signal }) {
    const accessToken = await getAccessToken({ refresh: networkErrors > 1 && !isOffline() });
    signal?.throwIfAborted();
    /** @type {Record<string, string>} */
    const headers = { authorization: `Bearer ${accessToken}` };
    if (body) headers["content-type"] = "application/json";
    if (key) headers["idempotency-key"] = key;
    // A connection that died with a sleeping computer may otherwise stay pending. API Gateway responds within 30 seconds.
    const until = [AbortSignal.timeout(TIMEOUT), signal].filter((one) => !!one);
    let response, text;
    try {
      // No cookies, because the access token authenticates the caller.
      response = await fetch(base + path, {
        method: "POST",
        headers,
        body: body && JSON.stringify(body),
        credentials: "omit",
        signal: AbortSignal.any(until),
      });
      text = await response.text();
    } catch (cause) {
      signal?.throwIfAborted();
      networkErrors += 1;
      throw new NetworkError(`No response from ${base}.`, { cause, action: body && !key ? "check" : "retry" });
    }
    networkErrors = 0;
    const json = parseObject(text);
    if (response.ok && json) return json;
    throw toProblem(response, json, !!body);
  }

  /**
   * @template T
   * @param {() => Promise<T>} attempt
   * @param {AbortSignal} [signal]
   */
  async function retrying(attempt, signal) {
    for (let left = MAX_ATTEMPTS - 1; ; left -= 1) {
      try {
        return await attempt();
      } catch (error) {
        const delay = backOff(MAX_ATTEMPTS - left, error);
        if (!left || isOffline() || delay > MAX_DELAY || !isWorthRetrying(error)) throw error;
        await sleep(delay, signal);
      }
    }
  }

  const mint = shareInFlight((signal) =>
    retrying(async () => {
      const startedAt = now();
      const token = await post("/token", { signal });
      mintTimes.set(token, startedAt);
      return token;
    }, signal),
  );

  return {
    mintToken: ({ signal } = {}) => mint(signal),

    async createSource(source) {
      const { templateId, configuration, credentials, environment, name, token } = source;
      const { idempotencyKey = crypto.randomUUID(), signal } = source;
      const body = {
        source_config_template_id: templateId,
        connection_configuration: configuration,
        credentials,
        environment,
        name,
        token,
      };
      const key = idempotencyKeys ? idempotencyKey : undefined;
      const create = () => post("/sources", { body, key, signal });
      const created = await (key ? retrying(create, signal) : create());
      return { ...created, id: created.id ?? created.source_id };
    },
  };
}

const SECOND = 1000;
const TIMEOUT = 60 * SECOND;
const MAX_ATTEMPTS = 3;
const MAX_DELAY = 30 * SECOND;

/** @param {unknown} error */
function isWorthRetrying(error) {
  return error instanceof NetworkError || (error instanceof ProblemError && error.type === "create-in-progress");
}

/**
 * Returns milliseconds to wait: doubled from one second to half a minute, with jitter so that many pages do not return
 * at the same moment, and at least what `Retry-After` asks for.
 *
 * @param {number} failures
 * @param {unknown} error
 */
export function backOff(failures, error) {
  const asked = error instanceof ProblemError ? (error.retryAfter ?? 0) : 0;
  return Math.max(asked * SECOND, Math.min(SECOND * 2 ** (failures - 1), MAX_DELAY) * (0.5 + Math.random() / 2));
}

/**
 * @param {number} delay
 * @param {AbortSignal} [signal]
 */
function sleep(delay, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, delay);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

function isOffline() {
  return globalThis.navigator?.onLine === false;
}

/**
 * Lets concurrent callers share one request. A caller's signal makes that caller leave; the request is aborted when the
 * last one has left.
 *
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} start
 * @returns {(signal?: AbortSignal) => Promise<T>}
 */
function shareInFlight(start) {
  /** @type {{ waiting: number, controller: AbortController, result: Promise<T> } | undefined} */
  let flight;

  return async (signal) => {
    signal?.throwIfAborted();
    if (!flight) {
      const controller = new AbortController();
      const result = start(controller.signal).finally(() => {
        if (flight === started) flight = undefined;
      });
      const started = { waiting: 0, controller, result };
      flight = started;
    }
    const joined = flight;
    joined.waiting += 1;
    if (!signal) return joined.result;

    return new Promise((resolve, reject) => {
      const leave = () => {
        reject(signal.reason);
        joined.waiting -= 1;
        if (joined.waiting > 0) return;
        if (flight === joined) flight = undefined;
        joined.controller.abort(signal.reason);
      };
      signal.addEventListener("abort", leave, { once: true });
      joined.result.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
    });
  };
}

/**
 * @param {Response} response
 * @param {any} body
 * @param {boolean} isCreate
 */
function toProblem({ status, ok, headers }, body, isCreate) {
  const retryAfter = parseRetryAfter(headers.get("retry-after"));
  // API Gateway's own errors never reach a function: they are {"message": "Unauthorized"} and the like.
  let problem = { type: GATEWAY_TYPES[status], title: ok ? "Invalid response of the API" : body?.message };
  if (headers.get("content-type")?.startsWith("application/problem+json") && body) problem = body;
  const errors = Array.isArray(body?.errors) ? body.errors : undefined;
  return new ProblemError({ ...problem, status, errors, retryAfter, action: actionFor(status, problem.type, isCreate) });
}

/** The problem types of API Gateway's own responses. @type {Record<number, string>} */
const GATEWAY_TYPES = { 401: "unauthenticated", 403: "forbidden", 413: "payload-too-large", 429: "rate-limited" };

/** @type {Record<string, ErrorAction>} */
const ACTIONS = {
  unauthenticated: "sign-in",
  "invalid-request": "fix",
  "invalid-token": "fix",
  "source-rejected": "fix",
  "payload-too-large": "fix",
  "idempotency-key-reused": "fix",
  "token-expired": "retry",
  "rate-limited": "retry",
  "create-in-progress": "retry",
  "idempotency-unavailable": "retry",
  "create-outcome-unknown": "check",
  "credential-rejected": "report",
  "credential-unavailable": "report",
};

/**
 * @param {number} status
 * @param {string} type
 * @param {boolean} isCreate
 */
function actionFor(status, type, isCreate) {
  if (status >= 500 || status < 300) return ACTIONS[type] ?? (isCreate ? "check" : "retry");
  return ACTIONS[type] ?? "report";
}

/**
 * Returns seconds, from either form of `Retry-After` (RFC 9110, section 10.2.3).
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
