// Checks of the form: a message for every response of POST /sources, secrets, and bounds.

const { sourceForm } = await import("/airbyte-embedded-web/form.js");

const SPECIFICATION = {
  type: "object",
  required: ["host"],
  properties: {
    host: { type: "string", title: "Host", order: 0 },
    password: { type: "string", airbyte_secret: true, default: "default-secret" },
    port: { type: "integer", default: 5432 },
  },
};

/** A form whose creates get `results` in turn, the last one again and again. */
async function withForm({ results = [{ id: "s" }], specification = SPECIFICATION, mode, onError }, check) {
  const sent = [];
  const client = {
    async createSource(source) {
      sent.push(source);
      const result = results[Math.min(sent.length, results.length) - 1];
      if (result instanceof Error) throw result;
      return result;
    },
  };
  const form = document.body.appendChild(document.createElement("form"));
  const template = { id: "template", mode, connection_specification: specification };
  const created = [];
  const handle = sourceForm(form, { client: () => client, template, onError, onCreated: ({ id }) => created.push(id) });
  const control = (name) => form.querySelector(`[name="/connection_configuration/${name}"]`);
  const fill = (name, value) => {
    control(name).value = value;
    control(name).dispatchEvent(new Event("input", { bubbles: true }));
  };
  const submit = async () => {
    form.requestSubmit();
    await settled();
    return [...form.querySelectorAll(".message")].map(({ innerText }) => innerText).join("");
  };
  try {
    await check({ form, handle, control, fill, submit, sent, created });
  } finally {
    handle.remove();
    form.remove();
  }
}

const withoutFields = (status, type, more) => new ProblemError({ status, type, title: `Title of ${type}`, detail: `Detail of ${type}.`, ...more });

const checks = {
  async "shows every response of POST /sources with what to do"() {
    const SIGN_IN = "Sign in again.";
    const FIX = "Change what you entered, then try again.";
    const RETRY = "Try again in a moment.";
    const CHECK = "The source may have been created: check your sources before you try again.";
    const REPORT = "Trying again does not help. Report this to support.";
    const cases = [
      [{ status: 401, type: "unauthenticated" }, SIGN_IN],
      [{ status: 400, type: "invalid-request" }, FIX],
      [{ status: 400, type: "invalid-token" }, FIX],
      [{ status: 401, type: "token-expired" }, RETRY],
      [{ status: 403, type: "forbidden" }, REPORT],
      [{ status: 403, type: "origin-not-allowed" }, REPORT],
      [{ status: 409, type: "create-in-progress", retryAfter: 1 }, "Try again in 1 second."],
      [{ status: 409, type: "create-outcome-unknown" }, CHECK],
      [{ status: 413, type: "payload-too-large" }, FIX],
      [{ status: 422, type: "source-rejected" }, FIX],
      [{ status: 422, type: "idempotency-key-reused" }, FIX],
      [{ status: 429, type: "rate-limited", retryAfter: 4.2 }, "Try again in 5 seconds."],
      [{ status: 500, type: "internal-error", action: "check" }, CHECK],
      [{ status: 502, type: "upstream-error", action: "check" }, CHECK],
      [{ status: 502, type: "credential-rejected" }, REPORT],
      [{ status: 503, type: "credential-unavailable" }, REPORT],
      [{ status: 503, type: "idempotency-unavailable" }, RETRY],
      [{ status: 504, type: "upstream-timeout", action: "check" }, CHECK],
    ];
    for (const [{ status, type, ...more }, advice] of cases) {
      await withForm({ results: [withoutFields(status, type, { requestId: "r-1", ...more })] }, async ({ submit, control, fill }) => {
        fill("host", "db");
        equal((await submit()).split("\n").filter(Boolean), [`Title of ${type}`, advice, `Detail of ${type}.`, "Reference: r-1"], type);
        equal(control("host").value, "db", "what was entered");
      });
    }
    for (const [action, advice] of [["retry", RETRY], ["check", CHECK]]) {
      await withForm({ results: [new NetworkError("gone", { action })] }, async ({ submit }) => {
        const shown = await submit();
        equal([shown.startsWith("The service could not be reached."), shown.endsWith(advice)], [true, true], shown);
      });
    }
    await withForm({ results: [new Error("Odd.")] }, async ({ submit }) => equal(await submit(), "That did not work.\nOdd."));
    await withForm({}, async ({ submit, created }) => {
      equal([await submit(), created], ["Connected.\nYour new source is s", ["s"]]);
    });
  },

  async "shows field errors at their fields and in a list with links"() {
    const errors = [
      { pointer: "/connection_configuration/host", detail: "is required" },
      { pointer: "/connection_configuration/port/x", detail: "must be a number" },
      { pointer: "", detail: "is odd" },
      { pointer: "/name", detail: "unknown field" },
    ];
    await withForm({ results: [withoutFields(422, "source-rejected", { errors })] }, async ({ form, submit, control }) => {
      await submit();
      const invalid = [...form.querySelectorAll("[aria-invalid=true]")].map(({ name }) => name);
      equal(invalid, ["/connection_configuration/host", "/connection_configuration/port"]);
      const items = [...form.querySelectorAll("[role=alert] li")].map(({ textContent }) => textContent);
      equal(items, ["Host: is required", "port: must be a number", "is odd", "/name: unknown field"]);
      equal(form.querySelector("[role=alert] a").getAttribute("href"), `#${control("host").id}`);
      equal(document.activeElement === control("host"), true, "focus");
      await submit();
      equal(form.querySelectorAll("[role=alert] li").length, 4, "errors are replaced");
    });
  },

  async "sends credentials and environment in a mode that takes them"() {
    const text = (title) => ({ type: "object", title, properties: { value: { type: "string" } } });
    const specification = { type: "object", properties: { credentials: text("Credentials"), environment: text("Environment") } };
    const errors = [{ pointer: "/credentials/value", detail: "is required" }];
    for (const mode of ["DIRECT", "MULTI"]) {
      const results = [withoutFields(422, "source-rejected", { errors }), { id: "s" }];
      await withForm({ results, specification, mode }, async ({ form, submit, sent }) => {
        await submit();
        const invalid = form.querySelector("[aria-invalid=true]");
        equal(invalid.name, "/credentials/value", mode);
        invalid.value = "a";
        await submit();
        const bodies = sent.map(({ configuration, credentials, environment }) => ({ configuration, credentials, environment }));
        equal(bodies, [{ credentials: {}, environment: {} }, { credentials: { value: "a" }, environment: {} }], mode);
      });
    }
    await withForm({ mode: "REPLICATION" }, async ({ submit, sent }) => {
      await submit();
      equal([sent[0].configuration.port, "credentials" in sent[0]], [5432, false]);
    });
  },

  async "keeps one idempotency key for one intent"() {
    const results = [new NetworkError("gone"), withoutFields(504, "upstream-timeout"), withoutFields(409, "create-outcome-unknown"), { id: "s" }];
    await withForm({ results }, async ({ submit, fill, sent }) => {
      for (let index = 0; index < 3; index += 1) await submit();
      const keys = () => sent.map(({ idempotencyKey }) => idempotencyKey);
      equal(new Set(keys()).size, 1, "keys while the same is submitted again");
      await submit();
      equal(new Set(keys()).size, 2, "keys after an unknown outcome");
      await submit();
      equal(new Set(keys()).size, 3, "keys after a success");
    });
    await withForm({ results: [new NetworkError("gone")] }, async ({ submit, fill, sent }) => {
      await submit();
      fill("host", "other");
      await submit();
      equal(sent[0].idempotencyKey === sent[1].idempotencyKey, false, "the same key for other values");
    });
  },

  async "ignores a second submit while the first one is pending"() {
    let release;
    const pending = new Promise((resolve) => (release = resolve));
    const form = document.body.appendChild(document.createElement("form"));
    let creates = 0;
    const client = { createSource: () => ((creates += 1), pending) };
    const handle = sourceForm(form, { client: () => client, template: { id: "t", connection_specification: SPECIFICATION } });
    for (let index = 0; index < 3; index += 1) form.requestSubmit();
    await settled();
    equal([creates, form.querySelector("button").ariaBusy], [1, "true"]);
    release({ id: "s" });
    await settled();
    equal(form.querySelector("button").ariaBusy, "false");
    handle.remove();
    form.remove();
  },

  async "leaves nothing that was typed or shown after a reset"() {
    await withForm({ results: [withoutFields(422, "source-rejected", { errors: [{ pointer: "/connection_configuration/host", detail: "secret-echo" }] })] }, async ({ form, handle, control, fill, submit }) => {
      fill("host", "secret-host");
      fill("password", "secret-password");
      await submit();
      const before = control("password");
      handle.reset();
      equal([before.isConnected, control("host").value, control("password").value], [false, "", ""]);
      equal([form.outerHTML.includes("secret-"), form.innerText.includes("secret-")], [false, false]);
    });
  },

  async "shows nothing of a create that ends after a reset"() {
    let release;
    const pending = new Promise((resolve, reject) => (release = { resolve, reject }));
    const form = document.body.appendChild(document.createElement("form"));
    const created = [];
    const handle = sourceForm(form, {
      client: () => ({ createSource: () => pending }),
      template: { id: "t", connection_specification: SPECIFICATION },
      onCreated: ({ id }) => created.push(id),
    });
    form.requestSubmit();
    await settled();
    handle.reset();
    release.resolve({ id: "of-the-user-before" });
    await settled();
    equal([created, form.innerText.includes("of-the-user-before")], [[], false]);
    handle.remove();
    form.remove();
  },

  async "masks secrets of every type, and keeps their defaults off the page"() {
    const secret = { airbyte_secret: true };
    const specification = {
      type: "object",
      properties: {
        string: { type: "string", ...secret, default: "default-secret-1" },
        integer: { type: "integer", ...secret, default: 424242 },
        boolean: { type: "boolean", ...secret, default: true },
        choice: { type: "string", enum: ["default-secret-2", "b"], ...secret, default: "default-secret-2" },
        untyped: { ...secret, default: "default-secret-3" },
        list: { type: "array", items: { type: "string" }, ...secret, default: ["default-secret-4"] },
        inside: { type: "object", ...secret, properties: { part: { type: "string", default: "default-secret-5" } } },
        alternatives: { oneOf: [{ type: "object", properties: { key: { type: "string", ...secret, default: "default-secret-6" } } }] },
        format: { type: "string", format: "password" },
        writeOnly: { type: "string", writeOnly: true },
        plain: { type: "string", default: "plain-default" },
      },
    };
    await withForm({ specification }, async ({ form, control, fill, submit, sent }) => {
      const unmasked = [...form.querySelectorAll("input, select, textarea")].filter(({ type }) => type !== "password");
      equal(unmasked.map(({ name }) => name), ["/connection_configuration/plain"]);
      equal([form.innerHTML.includes("default-secret"), form.innerHTML.includes("424242")], [false, false], "defaults on the page");
      await submit();
      equal(sent[0].configuration, {
        string: "default-secret-1",
        integer: 424242,
        boolean: true,
        choice: "default-secret-2",
        untyped: "default-secret-3",
        list: ["default-secret-4"],
        inside: { part: "default-secret-5" },
        plain: "plain-default",
      });
      for (const [name, value] of [["integer", "7"], ["boolean", "false"], ["list", '["x"]'], ["string", "7"], ["untyped", "no JSON"]]) fill(name, value);
      await submit();
      const { integer, boolean, list, string, untyped } = sent[1].configuration;
      equal([integer, boolean, list, string, untyped], [7, false, ["x"], "7", "no JSON"]);
    });
  },

  async "bounds every text from elsewhere"() {
    const long = "x".repeat(100_000);
    const specification = {
      type: "object",
      properties: {
        a: { type: "string", title: long, description: long },
        b: { type: "string", enum: [long] },
        c: { type: "object", title: long, properties: {} },
        d: { type: "object", title: long, properties: { e: { type: "string" } } },
      },
    };
    const errors = [{ pointer: "/connection_configuration/a", detail: long }, { pointer: `/${long}`, detail: long }];
    const results = [
      withoutFields(422, "source-rejected", { errors }),
      new ProblemError({ status: 500, title: long, detail: `${long}.`, requestId: long }),
      new Error(long),
      { id: long },
    ];
    await withForm({ results, specification }, async ({ form, submit }) => {
      for (const _ of results) {
        await submit();
        equal(form.textContent.length < 6_000, true, `${form.textContent.length} characters on the page`);
      }
    });
  },

  async "leaves errors to onError that it takes"() {
    const seen = [];
    const onError = (error) => seen.push(error.type) > 0;
    await withForm({ results: [withoutFields(401, "unauthenticated")], onError }, async ({ submit }) => {
      equal([await submit(), seen], ["", ["unauthenticated"]]);
    });
  },

  async "keeps numbers that a double would change as text"() {
    const specification = { type: "object", properties: { number: { type: "integer" } } };
    const cases = [["7", 7], ["-1", -1], ["9007199254740993", "9007199254740993"], ["1e999", "1e999"], ["ten", "ten"], [" ", " "]];
    for (const [entered, expected] of cases) {
      await withForm({ specification }, async ({ fill, submit, sent }) => {
        fill("number", entered);
        await submit();
        equal(sent[0].configuration, { number: expected }, entered);
      });
    }
  },
};
