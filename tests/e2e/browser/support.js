// What the checks of the package share: a simulated network and clock. `support.js`, a file with `checks` and `report.js`
// are the body of one async function that runs in a page that serves the package.

const { createClient, keepFresh, NetworkError, ProblemError } = await import("/airbyte-embedded-web/index.js");

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const equal = (actual, expected, what = "value") => {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== e) throw new Error(`${what} is ${a}, not ${e}`);
};

const rejection = (promise) =>
  promise.then(
    () => {
      throw new Error("there was no error");
    },
    (error) => error,
  );

/** Runs everything that waits for settled promises only. */
const settled = async () => {
  for (let turn = 0; turn < 50; turn += 1) await undefined;
};

/** A network that keeps the requests until a check responds to them. */
function network(options) {
  const requests = [];
  const fetch = (url, options) =>
    new Promise((resolve, reject) => {
      options.signal?.addEventListener("abort", () => reject(options.signal.reason));
      const respond = async (status, body, headers = {}) => {
        // Not a `Response`, whose text takes more than settled promises.
        resolve({ status, ok: status < 300, headers: new Headers(headers), text: async () => JSON.stringify(body) });
        await settled();
      };
      const fail = async () => {
        reject(new TypeError("Failed to fetch"));
        await settled();
      };
      requests.push({ url, options, respond, fail });
    });
  const client = createClient({ apiUrl: "https://api.example.com/stage/", getAccessToken: async () => "access", fetch, ...options });
  return { client, requests };
}

const problem = (status, type, more) => [status, { type, title: type, status, detail: "Detail.", ...more }, { "content-type": "application/problem+json" }];

/**
 * The page's clocks under control: `true` time, which the server knows; the computer's clock, which may be wrong by
 * `offset`; the monotonic one, which may stop while the computer sleeps; and the timers.
 */
async function withClock({ offset = 0, stopsAsleep = true } = {}, check) {
  const real = {
    dateNow: Date.now,
    performanceNow: performance.now,
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
  };
  const clock = {
    time: real.dateNow(),
    monotonic: performance.now(),
    offset,
    timers: [],
    /** Advances in steps, and runs the timers that are due. */
    async pass(duration) {
      const end = clock.monotonic + duration;
      while (clock.monotonic < end) {
        const next = Math.min(end, ...clock.timers.map(({ at }) => Math.max(at, clock.monotonic + 1)));
        clock.time += next - clock.monotonic;
        clock.monotonic = next;
        const due = clock.timers.filter(({ at }) => at <= next);
        clock.timers = clock.timers.filter(({ at }) => at > next);
        for (const { action } of due) action();
        await settled();
      }
    },
    /** Advances as a sleeping computer does: no timer runs. */
    sleep(duration) {
      clock.time += duration;
      if (stopsAsleep) return;
      clock.monotonic += duration;
      for (const timer of clock.timers) timer.at += duration;
    },
  };
  Date.now = () => clock.time + clock.offset;
  performance.now = () => clock.monotonic;
  globalThis.setTimeout = (action, delay) => {
    const timer = { action, at: clock.monotonic + delay };
    clock.timers.push(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    clock.timers = clock.timers.filter((other) => other !== timer);
  };
  try {
    await check(clock);
  } finally {
    Date.now = real.dateNow;
    performance.now = real.performanceNow;
    globalThis.setTimeout = real.setTimeout;
    globalThis.clearTimeout = real.clearTimeout;
  }
}
