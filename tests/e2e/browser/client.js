// Checks of the client: requests, errors, and the renewal of tokens.

/** A renewal whose mints get `results` in turn, the last one again and again: lifetimes or errors. */
async function withRenewal(results, check, clockOptions) {
  await withClock(clockOptions, async (clock) => {
    const seen = { mints: [], tokens: [], errors: [] };
    const mint = (life) => ({
      token: `expires after ${life}`,
      expiresIn: Math.floor(life / SECOND),
      expires: clock.time + life,
    });
    const client = {
      async mintToken() {
        seen.mints.push(clock.time);
        const result = results[Math.min(seen.mints.length, results.length) - 1];
        if (typeof result !== "number") throw result;
        return mint(result);
      },
    };
    const callbacks = {
      onToken: (token) => seen.tokens.push(token),
      onError: (error, willRetry) => seen.errors.push([error.name, willRetry]),
    };
    let stop = () => {};
    const keep = (life) => {
      const token = mint(life);
      seen.tokens.push(token);
      stop = keepFresh(client, token, callbacks);
      return stop;
    };
    try {
      await check({ clock, seen, keep });
    } finally {
      stop();
    }
  });
}

const checks = {
  async "sends the access token and nothing else with a mint"() {
    const { client, requests } = network();
    const minted = client.mintToken();
    await settled();
    const [{ url, options, respond }] = requests;
    await respond(200, { token: "t" });
    equal(await minted, { token: "t" });
    equal(url, "https://api.example.com/stage/token");
    equal([options.method, options.headers, options.credentials], ["POST", { authorization: "Bearer access" }, "omit"]);
    equal(options.body === undefined, true, "no body");
  },

  async "sends the fields of a create"() {
    const { client, requests } = network();
    const created = client.createSource({ templateId: "template", configuration: { count: 1 }, token: "t" });
    await settled();
    const [{ url, options, respond }] = requests;
    await respond(201, { source_id: "s", name: "n" });
    equal(await created, { source_id: "s", name: "n", id: "s" });
    equal(url, "https://api.example.com/stage/sources");
    const { "idempotency-key": key, ...headers } = options.headers;
    equal(headers, { authorization: "Bearer access", "content-type": "application/json" });
    equal(/^[\x21-\x7e]{1,255}$/.test(key), true, "key");
    equal(JSON.parse(options.body), {
      source_config_template_id: "template",
      connection_configuration: { count: 1 },
      token: "t",
    });
  },

  async "sends the fields of a create with credentials"() {
    const { client, requests } = network();
    client.createSource({ templateId: "template", credentials: { api_token: "a" }, environment: {}, name: "n" });
    await settled();
    equal(JSON.parse(requests[0].options.body), {
      source_config_template_id: "template",
      credentials: { api_token: "a" },
      environment: {},
      name: "n",
    });
  },

  async "shares one request among concurrent mints"() {
    const { client, requests } = network();
    const both = [client.mintToken(), client.mintToken()];
    await settled();
    equal(requests.length, 1, "requests");
    await requests[0].respond(200, { token: "first" });
    equal(await Promise.all(both), [{ token: "first" }, { token: "first" }]);
    client.mintToken();
    await settled();
    equal(requests.length, 2, "requests");
  },

  async "never shares creates"() {
    const { client, requests } = network();
    for (let index = 0; index < 2; index += 1) client.createSource({ templateId: "template", configuration: {} });
    await settled();
    equal(requests.length, 2, "requests");
  },

  async "keeps a shared mint when one caller aborts"() {
    const { client, requests } = network();
    const controller = new AbortController();
    const leaving = rejection(client.mintToken({ signal: controller.signal }));
    const staying = client.mintToken({ signal: new AbortController().signal });
    await settled();
    controller.abort();
    equal((await leaving).name, "AbortError");
    equal(requests[0].options.signal.aborted, false, "request aborted");
    await requests[0].respond(200, { token: "t" });
    equal(await staying, { token: "t" });
  },

  async "aborts the request with the last caller, and mints again after it"() {
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

  async "sends nothing for an aborted signal"() {
    const { client, requests } = network();
    const error = await rejection(client.mintToken({ signal: AbortSignal.abort() }));
    await settled();
    equal([error.name, requests.length], ["AbortError", 0]);
  },

  async "rejects an aborted create with the abort"() {
    const { client } = network();
    const controller = new AbortController();
    const error = rejection(client.createSource({ templateId: "t", configuration: {}, signal: controller.signal }));
    await settled();
    controller.abort();
    equal((await error).name, "AbortError");
  },

  async "retries a mint after network errors, the third time with a new access token"() {
    await withClock({}, async (clock) => {
      const asked = [];
      const getAccessToken = ({ refresh }) => {
        asked.push(refresh);
        return refresh ? "new" : "cached";
      };
      const { client, requests } = network({ getAccessToken });
      const minted = client.mintToken();
      await settled();
      await requests[0].fail();
      await clock.pass(SECOND);
      await requests[1].fail();
      await clock.pass(2 * SECOND);
      await requests[2].respond(200, { token: "t" });
      equal(await minted, { token: "t" });
      equal(asked, [false, false, true], "refresh");
      equal(requests[2].options.headers.authorization, "Bearer new");

      client.mintToken();
      await settled();
      equal(asked, [false, false, true, false], "refresh after a response");
    });
  },

  async "gives up a mint after three network errors"() {
    await withClock({}, async (clock) => {
      const { client, requests } = network();
      const error = rejection(client.mintToken());
      await settled();
      for (let attempt = 0; attempt < 3; attempt += 1) {
        await requests[attempt].fail();
        await clock.pass(10 * SECOND);
      }
      equal([requests.length, (await error) instanceof NetworkError, (await error).action], [3, true, "retry"]);
      equal((await error).cause.message, "Failed to fetch");
    });
  },

  async "takes a request without a response for a network error"() {
    const real = AbortSignal.timeout;
    const timeouts = [];
    AbortSignal.timeout = (duration) => {
      const timeout = new AbortController();
      timeouts.push([duration, timeout]);
      return timeout.signal;
    };
    try {
      const { client } = network({ idempotencyKeys: false });
      const { signal } = new AbortController();
      const error = rejection(client.createSource({ templateId: "t", configuration: {}, signal }));
      await settled();
      const [[duration, timeout]] = timeouts;
      timeout.abort(new DOMException("late", "TimeoutError"));
      equal([duration, (await error).name, (await error).action], [MINUTE, "NetworkError", "check"]);
    } finally {
      AbortSignal.timeout = real;
    }
  },

  async "ends the wait for a retry with the abort"() {
    await withClock({}, async (clock) => {
      const { client, requests } = network();
      const controller = new AbortController();
      const error = rejection(client.mintToken({ signal: controller.signal }));
      await settled();
      await requests[0].fail();
      controller.abort();
      equal((await error).name, "AbortError");
      await clock.pass(MINUTE);
      equal([requests.length, clock.timers.length], [1, 0], "requests and timers");
    });
  },

  async "does not retry while offline"() {
    Object.defineProperty(navigator, "onLine", { value: false, configurable: true });
    try {
      const { client, requests } = network();
      const error = rejection(client.mintToken());
      await settled();
      await requests[0].fail();
      equal([(await error).name, requests.length], ["NetworkError", 1]);
    } finally {
      delete navigator.onLine;
    }
  },

  async "does not retry a create without an idempotency key"() {
    const { client, requests } = network({ idempotencyKeys: false });
    const error = rejection(client.createSource({ templateId: "t", configuration: {}, idempotencyKey: "ignored" }));
    await settled();
    equal("idempotency-key" in requests[0].options.headers, false, "header sent");
    await requests[0].fail();
    equal([(await error).name, (await error).action, requests.length], ["NetworkError", "check", 1]);
  },

  async "retries a create with its idempotency key"() {
    await withClock({}, async (clock) => {
      const { client, requests } = network();
      const created = client.createSource({ templateId: "t", configuration: {}, idempotencyKey: "intent" });
      await settled();
      await requests[0].fail();
      await clock.pass(SECOND);
      const [status, body, headers] = problem(409, "create-in-progress");
      await requests[1].respond(status, body, { ...headers, "retry-after": "5" });
      await clock.pass(5 * SECOND - 1);
      equal(requests.length, 2, "requests before Retry-After");
      await clock.pass(1);
      await requests[2].respond(201, { id: "s" });
      equal(await created, { id: "s" });
      equal(requests.map(({ options }) => options.headers["idempotency-key"]), ["intent", "intent", "intent"]);
    });
  },

  async "gives each create its own idempotency key"() {
    const { client, requests } = network();
    for (let index = 0; index < 2; index += 1) client.createSource({ templateId: "t", configuration: {} });
    await settled();
    const keys = requests.map(({ options }) => options.headers["idempotency-key"]);
    equal([new Set(keys).size, keys.every((key) => /^[\x21-\x7e]{1,255}$/.test(key))], [2, true], "keys");
  },

  async "passes on an error of getAccessToken unchanged"() {
    const cause = new Error("signed out");
    const client = createClient({ apiUrl: "https://api.example.com", getAccessToken: () => Promise.reject(cause) });
    equal((await rejection(client.mintToken())) === cause, true, "the same error");
  },

  async "keeps all details of a problem"() {
    const { client, requests } = network();
    const error = rejection(client.mintToken());
    await settled();
    const details = {
      type: "source-rejected",
      title: "Title",
      status: 422,
      detail: "Detail.",
      requestId: "r",
      errors: [{ pointer: "/a", detail: "Wrong." }],
    };
    await requests[0].respond(422, details, { "content-type": "application/problem+json", "retry-after": "7" });
    const { type, title, status, detail, requestId, errors, retryAfter, message, name } = await error;
    equal({ type, title, status, detail, requestId, errors }, details);
    equal([retryAfter, message, name], [7, "Detail.", "ProblemError"]);
  },

  async "names what a person can do about each problem"() {
    const actions = [
      [400, "invalid-request", "fix", "fix"],
      [400, "invalid-token", "fix", "fix"],
      [401, "unauthenticated", "sign-in", "sign-in"],
      [401, "token-expired", "retry", "retry"],
      [403, "forbidden", "report", "report"],
      [403, "origin-not-allowed", "report", "report"],
      [409, "create-in-progress", null, "retry"],
      [409, "create-outcome-unknown", null, "check"],
      [413, "payload-too-large", "fix", "fix"],
      [422, "source-rejected", null, "fix"],
      [422, "idempotency-key-reused", null, "fix"],
      [429, "rate-limited", "retry", "retry"],
      [500, "internal-error", "retry", "check"],
      [502, "upstream-error", "retry", "check"],
      [502, "credential-rejected", "report", "report"],
      [503, "credential-unavailable", "report", "report"],
      [503, "idempotency-unavailable", null, "retry"],
      [504, "upstream-timeout", "retry", "check"],
      [418, "not-known-yet", "report", "report"],
      [507, "not-known-yet", "retry", "check"],
    ];
    for (const [status, type, onMint, onCreate] of actions) {
      const { client, requests } = network({ idempotencyKeys: false });
      // Null: no response to a mint.
      const mint = onMint && rejection(client.mintToken());
      const create = rejection(client.createSource({ templateId: "t", configuration: {} }));
      await settled();
      for (const request of requests) await request.respond(...problem(status, type));
      equal([(await mint)?.action ?? null, (await create).action], [onMint, onCreate], type);
    }
  },

  async "makes problems of API Gateway's own errors"() {
    const gateway = {
      401: ["unauthenticated", "sign-in"],
      403: ["forbidden", "report"],
      404: ["about:blank", "report"],
      413: ["payload-too-large", "fix"],
      429: ["rate-limited", "retry"],
      503: ["about:blank", "check"],
    };
    for (const [status, [type, action]] of Object.entries(gateway)) {
      const { client, requests } = network();
      const error = rejection(client.createSource({ templateId: "t", configuration: {} }));
      await settled();
      await requests[0].respond(Number(status), { message: "Message" }, { "content-type": "application/json" });
      const { status: shown, type: kind, action: advice, title, detail, errors } = await error;
      equal([shown, kind, advice, title, detail, errors], [Number(status), type, action, "Message", "Message", []]);
    }
  },

  async "makes a problem of a response that is not JSON"() {
    for (const status of [200, 502]) {
      const fetch = async () => new Response("<html>", { status });
      const client = createClient({ apiUrl: "https://api.example.com", getAccessToken: () => "access", fetch });
      const error = await rejection(client.createSource({ templateId: "t", configuration: {} }));
      equal([error instanceof ProblemError, error.status, error.type, error.action], [true, status, "about:blank", "check"]);
    }
  },

  async "reads Retry-After as a date"() {
    const { client, requests } = network();
    const error = rejection(client.mintToken());
    await settled();
    await requests[0].respond(429, {}, { "retry-after": new Date(Date.now() + 10 * MINUTE).toUTCString() });
    const { retryAfter } = await error;
    equal(retryAfter > 595 && retryAfter <= 600, true, `${retryAfter} is about 600`);
  },

  async "renews five minutes ahead of expiry, again and again"() {
    await withRenewal([20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(20 * MINUTE);
      await clock.pass(15 * MINUTE - 1);
      equal(seen.mints.length, 0, "mints before");
      await clock.pass(1);
      equal(seen.mints.length, 1, "mints at 15 minutes");
      await clock.pass(30 * MINUTE);
      equal(seen.mints.length, 3, "mints at 45 minutes");
      equal(seen.tokens.length, 4, "tokens");
    });
  },

  async "renews a short token after three quarters of its life, others not within half a minute"() {
    for (const [life, delay] of [[8, 6], [30, 22.5], [31, 30], [39, 30], [60, 45]]) {
      await withRenewal([life * SECOND], async ({ clock, seen, keep }) => {
        keep(life * SECOND);
        await clock.pass(delay * SECOND - 1);
        equal(seen.mints.length, 0, `mints before ${delay} s of ${life} s`);
        await clock.pass(1);
        equal(seen.mints.length, 1, `mints after ${delay} s of ${life} s`);
      });
    }
  },

  async "counts the life of a token from its request"() {
    await withClock({}, async (clock) => {
      const { client, requests } = network();
      const minted = client.mintToken();
      await settled();
      await clock.pass(10 * SECOND);
      await requests[0].respond(200, { token: "t", expiresIn: 60 });
      const stop = keepFresh(client, await minted, { onToken() {} });
      await clock.pass(35 * SECOND - 1);
      equal(requests.length, 1, "requests before");
      await clock.pass(1);
      equal(requests.length, 2, "requests after 45 s");
      stop();
    });
  },

  // Every row is four hours with a token of twenty minutes, renewed in time whatever the computer's clock shows.
  async "has no minute with an expired token in four hours, whatever the clock shows"() {
    const offsets = [-8 * HOUR, -HOUR, -19 * MINUTE, -MINUTE, 0, MINUTE, 19 * MINUTE, 20 * MINUTE, HOUR, 8 * HOUR];
    const events = {
      steady: () => {},
      "clock set right": (clock) => (clock.offset = 0),
      "clock set wrong by 8 h more": (clock) => (clock.offset += 8 * HOUR),
      "clock set back by 8 h": (clock) => (clock.offset -= 8 * HOUR),
      "asleep for an hour": (clock) => clock.sleep(HOUR),
      "asleep for a minute": (clock) => clock.sleep(MINUTE),
    };
    for (const offset of offsets) {
      for (const stopsAsleep of [true, false]) {
        for (const [event, happen] of Object.entries(events)) {
          const row = `${offset / MINUTE} min, ${event}, monotonic clock ${stopsAsleep ? "stops" : "runs"} asleep`;
          const run = async ({ clock, seen, keep }) => {
            const end = clock.time + 4 * HOUR;
            keep(20 * MINUTE);
            for (let minute = 1; clock.time < end; minute += 1) {
              await clock.pass(MINUTE);
              const left = seen.tokens.at(-1).expires - clock.time;
              if (left <= 0) throw new Error(`${row}: expired for ${-left} ms in minute ${minute}`);
              if (minute % 50 === 0) {
                happen(clock);
                document.dispatchEvent(new Event("visibilitychange"));
                await settled();
              }
            }
            if (seen.mints.length > 30) throw new Error(`${row}: ${seen.mints.length} mints`);
            const gaps = seen.mints.slice(1).map((time, index) => time - seen.mints[index]);
            if (Math.min(...gaps) < 30 * SECOND) throw new Error(`${row}: mints ${Math.min(...gaps)} ms apart`);
          };
          await withRenewal([20 * MINUTE], run, { offset, stopsAsleep });
        }
      }
    }
  },

  async "renews at once when a computer wakes up"() {
    for (const [target, event] of [[document, "visibilitychange"], [window, "pageshow"], [window, "online"]]) {
      await withRenewal([20 * MINUTE], async ({ clock, seen, keep }) => {
        keep(20 * MINUTE);
        clock.sleep(60 * MINUTE);
        await settled();
        equal(seen.mints.length, 0, "mints asleep");
        target.dispatchEvent(new Event(event));
        await settled();
        equal(seen.mints.length, 1, `mints after ${event}`);
      });
    }
  },

  async "renews within half a minute when nothing reports that the computer woke up"() {
    await withRenewal([20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(20 * MINUTE);
      clock.sleep(60 * MINUTE);
      await clock.pass(MINUTE / 2);
      equal(seen.mints.length, 1, "mints");
    });
  },

  async "retries a passing failure more and more slowly"() {
    const results = [new NetworkError("gone"), new ProblemError({ status: 503 }), new ProblemError({ status: 429 }), 20 * MINUTE];
    await withRenewal(results, async ({ clock, seen, keep }) => {
      keep(20 * MINUTE);
      await clock.pass(15 * MINUTE + 8 * SECOND);
      equal(seen.errors, [["NetworkError", true], ["ProblemError", true], ["ProblemError", true]]);
      equal([seen.mints.length, seen.tokens.length], [4, 2], "mints and tokens");
    });
  },

  async "waits for Retry-After"() {
    await withRenewal([new ProblemError({ status: 429, retryAfter: 60 }), 20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(20 * MINUTE);
      await clock.pass(16 * MINUTE - 1);
      equal(seen.mints.length, 1, "mints before");
      await clock.pass(1);
      equal(seen.mints.length, 2, "mints");
    });
  },

  async "rests after ten network errors in a row, until the user or the network is back"() {
    for (const [target, event] of [[document, "visibilitychange"], [window, "pageshow"], [window, "online"]]) {
      await withRenewal([...Array(10).fill(new NetworkError("gone")), 20 * MINUTE], async ({ clock, seen, keep }) => {
        keep(20 * MINUTE);
        await clock.pass(3 * HOUR);
        equal(seen.errors, [...Array(9).fill(["NetworkError", true]), ["NetworkError", false]]);
        equal(clock.timers.length, 0, "timers");
        target.dispatchEvent(new Event(event));
        await settled();
        equal([seen.mints.length, seen.tokens.length], [11, 2], `mints and tokens after ${event}`);
        await clock.pass(15 * MINUTE);
        equal(seen.mints.length, 12, "mints after the rest");
      });
    }
  },

  async "renews at once when the network is back"() {
    await withRenewal([new NetworkError("gone"), 20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(20 * MINUTE);
      await clock.pass(15 * MINUTE);
      equal(seen.mints.length, 1, "mints before");
      window.dispatchEvent(new Event("online"));
      await settled();
      equal([seen.mints.length, seen.tokens.length], [2, 2], "mints and tokens");
    });
  },

  async "ends after a failure that would only recur"() {
    for (const error of [new ProblemError({ status: 401 }), new ProblemError({ status: 403 }), new Error("signed out")]) {
      await withRenewal([error], async ({ clock, seen, keep }) => {
        keep(20 * MINUTE);
        await clock.pass(60 * MINUTE);
        document.dispatchEvent(new Event("visibilitychange"));
        await settled();
        equal(seen.mints.length, 1, "mints");
        equal(seen.errors, [[error.name, false]]);
        equal(clock.timers.length, 0, "timers");
      });
    }
  },

  async "mints every five minutes where the server's lifetime is of no use"() {
    for (const life of [0, -MINUTE, NaN]) {
      await withRenewal([life], async ({ clock, seen, keep }) => {
        keep(life);
        await clock.pass(11 * MINUTE);
        equal(seen.mints.length, 2, `mints of ${life}`);
      });
    }
  },

  async "does nothing after it was stopped"() {
    await withRenewal([20 * MINUTE], async ({ clock, seen, keep }) => {
      keep(20 * MINUTE)();
      await clock.pass(60 * MINUTE);
      window.dispatchEvent(new Event("online"));
      document.dispatchEvent(new Event("visibilitychange"));
      await settled();
      equal([seen.mints.length, clock.timers.length], [0, 0], "mints and timers");
    });
  },
};
