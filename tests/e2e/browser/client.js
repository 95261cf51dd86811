// Checks of the browser client, with a network and a clock of their own. The body of an async function that runs in a
// page which serves the client; it returns the names of the checks that passed and what was wrong with the others.

const { createClient, keepFresh, NetworkError, ProblemError } = await import("/airbyte-embedded.js");

const MINUTE = 60_000;

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

/** Lets everything run that waits for settled promises only. */
const settled = async () => {
  for (let turn = 0; turn < 50; turn += 1) await undefined;
};

/** A network that keeps the requests and answers them when told to. */
function network() {
  const requests = [];
  const fetch = (url, options) =>
    new Promise((resolve, reject) => {
      options.signal?.addEventListener("abort", () => reject(options.signal.reason));
      const answer = (status, body, headers = {}) => resolve(new Response(JSON.stringify(body), { status, headers }));
      requests.push({ url, options, answer, fail: () => reject(new TypeError("Failed to fetch")) });
    });
  const client = createClient({ apiUrl: "https://api.example.com/stage/", getAccessToken: async () => "access", fetch });
  return { client, requests };
}

/** A client whose mints are answered by `answers` in turn, and the page's clock stopped. */
async function withClock(answers, check) {
  const real = { now: Date.now, setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
  let now = real.now();
  let timers = [];
  Date.now = () => now;
  globalThis.setTimeout = (action, delay) => {
    const timer = { action, at: now + delay };
    timers.push(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    timers = timers.filter((other) => other !== timer);
  };
  const clock = {
    expiresIn: (duration) => ({ token: `ends after ${duration}`, expiresAt: new Date(now + duration).toISOString() }),
    /** Moves on in steps, running what comes due. */
    async pass(duration) {
      for (const end = now + duration; now < end; ) {
        now = Math.min(end, ...timers.map(({ at }) => Math.max(at, now + 1)));
        const due = timers.filter(({ at }) => at <= now);
        timers = timers.filter(({ at }) => at > now);
        for (const { action } of due) action();
        await settled();
      }
    },
    /** Moves on as a sleeping computer does: no timer runs. */
    sleep(duration) {
      now += duration;
      for (const timer of timers) timer.at += duration;
    },
    timers: () => timers.length,
  };
  const seen = { mints: 0, tokens: [], errors: [] };
  const client = {
    async mintToken() {
      seen.mints += 1;
      const answer = answers[Math.min(seen.mints, answers.length) - 1];
      if (typeof answer !== "number") throw answer;
      return clock.expiresIn(answer);
    },
  };
  const callbacks = {
    onToken: ({ token }) => seen.tokens.push(token),
    onError: (error, willRetry) => seen.errors.push([error.name, willRetry]),
  };
  let stop = () => {};
  try {
    await check({ clock, seen, keep: (token) => (stop = keepFresh(client, token, callbacks)) });
  } finally {
    stop();
    Date.now = real.now;
    globalThis.setTimeout = real.setTimeout;
    globalThis.clearTimeout = real.clearTimeout;
  }
}

const checks = {
  async "a mint sends the access token and nothing else"() {
    const { client, requests } = network();
    const minted = client.mintToken();
    await settled();
    const [{ url, options, answer }] = requests;
    answer(200, { token: "t" });
    equal(await minted, { token: "t" });
    equal(url, "https://api.example.com/stage/token");
    equal([options.method, options.headers, options.credentials], ["POST", { authorization: "Bearer access" }, "omit"]);
    equal(options.body === undefined, true, "no body");
  },

  async "a create sends what the function asks for"() {
    const { client, requests } = network();
    const created = client.createSource({ templateId: "template", configuration: { count: 1 }, token: "t" });
    await settled();
    const [{ url, options, answer }] = requests;
    answer(201, { source_id: "s", name: "n" });
    equal(await created, { source_id: "s", name: "n", id: "s" });
    equal(url, "https://api.example.com/stage/sources");
    equal(options.headers, { authorization: "Bearer access", "content-type": "application/json" });
    equal(JSON.parse(options.body), {
      source_config_template_id: "template",
      connection_configuration: { count: 1 },
      token: "t",
    });
  },

  async "mints made at the same time share one request, later ones do not"() {
    const { client, requests } = network();
    const both = [client.mintToken(), client.mintToken()];
    await settled();
    equal(requests.length, 1, "requests");
    requests[0].answer(200, { token: "first" });
    equal(await Promise.all(both), [{ token: "first" }, { token: "first" }]);
    client.mintToken();
    await settled();
    equal(requests.length, 2, "requests");
  },

  async "creates are never shared"() {
    const { client, requests } = network();
    for (let index = 0; index < 2; index += 1) client.createSource({ templateId: "template", configuration: {} });
    await settled();
    equal(requests.length, 2, "requests");
  },

  async "one caller's abort leaves the others their answer"() {
    const { client, requests } = network();
    const controller = new AbortController();
    const leaving = rejection(client.mintToken({ signal: controller.signal }));
    const staying = client.mintToken({ signal: new AbortController().signal });
    await settled();
    controller.abort();
    equal((await leaving).name, "AbortError");
    equal(requests[0].options.signal.aborted, false, "request aborted");
    requests[0].answer(200, { token: "t" });
    equal(await staying, { token: "t" });
  },

  async "the last caller's abort stops the request, and the next mint starts another"() {
    const { client, requests } = network();
    const controller = new AbortController();
    const leaving = rejection(client.mintToken({ signal: controller.signal }));
    await settled();
    controller.abort();
    equal((await leaving).name, "AbortError");
    equal(requests[0].options.signal.aborted, true, "request aborted");
    client.mintToken();
    await settled();
    equal(requests.length, 2, "requests");
  },

  async "a signal that was aborted before sends nothing"() {
    const { client, requests } = network();
    const error = await rejection(client.mintToken({ signal: AbortSignal.abort() }));
    await settled();
    equal([error.name, requests.length], ["AbortError", 0]);
  },

  async "an aborted create is an abort, not a network error"() {
    const { client } = network();
    const controller = new AbortController();
    const error = rejection(client.createSource({ templateId: "t", configuration: {}, signal: controller.signal }));
    await settled();
    controller.abort();
    equal((await error).name, "AbortError");
  },

  async "no answer is a network error"() {
    const { client, requests } = network();
    const error = rejection(client.mintToken());
    await settled();
    requests[0].fail();
    equal((await error) instanceof NetworkError, true, "NetworkError");
    equal((await error).cause.message, "Failed to fetch");
  },

  async "an error of the access token's source reaches the caller unchanged"() {
    const cause = new Error("signed out");
    const client = createClient({ apiUrl: "https://api.example.com", getAccessToken: () => Promise.reject(cause) });
    equal((await rejection(client.mintToken())) === cause, true, "the same error");
  },

  async "a problem keeps all of its details"() {
    const { client, requests } = network();
    const error = rejection(client.mintToken());
    await settled();
    const problem = {
      type: "source-rejected",
      title: "Title",
      status: 422,
      detail: "Detail.",
      requestId: "r",
      errors: [{ pointer: "/a", detail: "Wrong." }],
    };
    requests[0].answer(422, problem, { "content-type": "application/problem+json", "retry-after": "7" });
    const { type, title, status, detail, requestId, errors, retryAfter, message, name } = await error;
    equal({ type, title, status, detail, requestId, errors }, problem);
    equal([retryAfter, message, name], [7, "Detail.", "ProblemError"]);
  },

  async "API Gateway's own answers are problems too"() {
    const types = { 401: "unauthenticated", 403: "forbidden", 413: "payload-too-large", 429: "rate-limited", 503: "about:blank" };
    for (const [status, type] of Object.entries(types)) {
      const { client, requests } = network();
      const error = rejection(client.mintToken());
      await settled();
      requests[0].answer(Number(status), { message: "Said so" }, { "content-type": "application/json" });
      const problem = await error;
      equal([problem instanceof ProblemError, problem.status, problem.type], [true, Number(status), type]);
      equal([problem.title, problem.detail, problem.errors], ["Said so", "Said so", []]);
    }
  },

  async "an answer that is not JSON is a problem"() {
    for (const status of [200, 502]) {
      const fetch = async () => new Response("<html>", { status });
      const client = createClient({ apiUrl: "https://api.example.com", getAccessToken: () => "access", fetch });
      const error = await rejection(client.mintToken());
      equal([error instanceof ProblemError, error.status, error.type], [true, status, "about:blank"]);
    }
  },

  async "Retry-After may be a date"() {
    const { client, requests } = network();
    const error = rejection(client.mintToken());
    await settled();
    requests[0].answer(429, {}, { "retry-after": new Date(Date.now() + 10 * MINUTE).toUTCString() });
    const { retryAfter } = await error;
    equal(retryAfter > 595 && retryAfter <= 600, true, `${retryAfter} is about 600`);
  },

  async "a token is renewed five minutes ahead of its end, again and again"() {
    await withClock([20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(clock.expiresIn(20 * MINUTE));
      await clock.pass(15 * MINUTE - 1);
      equal(seen.mints, 0, "mints before");
      await clock.pass(1);
      equal(seen.mints, 1, "mints at 15 minutes");
      await clock.pass(30 * MINUTE);
      equal(seen.mints, 3, "mints at 45 minutes");
      equal(seen.tokens.length, 3, "tokens handed over");
    });
  },

  async "a short token is renewed after three quarters of its life"() {
    await withClock([8_000], async ({ clock, seen, keep }) => {
      keep(clock.expiresIn(8_000));
      await clock.pass(5_999);
      equal(seen.mints, 0, "mints before");
      await clock.pass(1);
      equal(seen.mints, 1, "mints");
    });
  },

  async "a computer that wakes up renews at once"() {
    for (const [target, event] of [[document, "visibilitychange"], [window, "pageshow"], [window, "online"]]) {
      await withClock([20 * MINUTE], async ({ clock, seen, keep }) => {
        keep(clock.expiresIn(20 * MINUTE));
        clock.sleep(60 * MINUTE);
        await settled();
        equal(seen.mints, 0, "mints asleep");
        target.dispatchEvent(new Event(event));
        await settled();
        equal(seen.mints, 1, `mints after ${event}`);
      });
    }
  },

  async "a computer that wakes up unnoticed renews within half a minute"() {
    await withClock([20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(clock.expiresIn(20 * MINUTE));
      clock.sleep(60 * MINUTE);
      await clock.pass(MINUTE / 2);
      equal(seen.mints, 1, "mints");
    });
  },

  async "a passing failure is tried again, ever more slowly"() {
    const answers = [new NetworkError("gone"), new ProblemError({ status: 503 }), new ProblemError({ status: 429 }), 20 * MINUTE];
    await withClock(answers, async ({ clock, seen, keep }) => {
      keep(clock.expiresIn(20 * MINUTE));
      await clock.pass(15 * MINUTE + 8_000);
      equal(seen.errors, [["NetworkError", true], ["ProblemError", true], ["ProblemError", true]]);
      equal([seen.mints, seen.tokens.length], [4, 1], "mints and tokens");
    });
  },

  async "Retry-After is waited for"() {
    await withClock([new ProblemError({ status: 429, retryAfter: 60 }), 20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(clock.expiresIn(20 * MINUTE));
      await clock.pass(15 * MINUTE + 59_999);
      equal(seen.mints, 1, "mints before");
      await clock.pass(1);
      equal(seen.mints, 2, "mints");
    });
  },

  async "the network's return is used at once"() {
    await withClock([new NetworkError("gone"), 20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(clock.expiresIn(20 * MINUTE));
      await clock.pass(15 * MINUTE);
      equal(seen.mints, 1, "mints before");
      window.dispatchEvent(new Event("online"));
      await settled();
      equal([seen.mints, seen.tokens.length], [2, 1], "mints and tokens");
    });
  },

  async "a failure that would repeat itself ends the renewal"() {
    for (const error of [new ProblemError({ status: 401 }), new ProblemError({ status: 403 }), new Error("signed out")]) {
      await withClock([error], async ({ clock, seen, keep }) => {
        keep(clock.expiresIn(20 * MINUTE));
        await clock.pass(60 * MINUTE);
        equal(seen.mints, 1, "mints");
        equal(seen.errors, [[error.name, false]]);
        equal(clock.timers(), 0, "timers");
      });
    }
  },

  async "a wrong clock does not make it mint in a loop"() {
    await withClock([-MINUTE], async ({ clock, seen, keep }) => {
      keep(clock.expiresIn(-MINUTE));
      await clock.pass(11 * MINUTE);
      equal(seen.mints, 2, "mints");
    });
  },

  async "stopped, it stays so"() {
    await withClock([20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(clock.expiresIn(20 * MINUTE))();
      await clock.pass(60 * MINUTE);
      window.dispatchEvent(new Event("online"));
      document.dispatchEvent(new Event("visibilitychange"));
      await settled();
      equal([seen.mints, clock.timers()], [0, 0], "mints and timers");
    });
  },
};

const passed = [];
const failed = [];
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    passed.push(name);
  } catch (error) {
    failed.push(`${name}: ${error.message}`);
  }
}
return { passed, failed };
