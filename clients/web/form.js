/**
 * A form for `POST /sources`: fields from a source template's connection specification (a JSON Schema), and a message
 * for every response.
 *
 * Nothing is validated here: Airbyte knows the rules, and returns which field breaks them.
 *
 * @module
 */
import { NetworkError, ProblemError } from "./client.js";

/** @import { Client, FieldError, Source } from "./types.js" */

/**
 * The part of a JSON Schema that is read. `airbyte_secret` is Airbyte's own.
 *
 * @typedef {object} Schema
 * @property {string} [type]
 * @property {string} [title]
 * @property {string} [description]
 * @property {string} [format]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {unknown[]} [enum]
 * @property {unknown} [default]
 * @property {number} [order]
 * @property {boolean} [airbyte_secret]
 * @property {boolean} [writeOnly]
 */

/**
 * @typedef {object} SourceTemplate
 * @property {string} id
 * @property {string} [mode]
 *   The mode of a template of Airbyte's `agents` API. In `DIRECT` and `MULTI` the specification is that of an object with
 *   `credentials` and `environment`.
 * @property {Schema} connection_specification
 */

/**
 * @typedef {object} SourceFormOptions
 * @property {() => Client} client            Called for each submit.
 * @property {SourceTemplate} template
 * @property {() => AbortSignal} [signal]     Called for each submit. Aborted when the user signs out.
 * @property {(source: Source) => void} [onCreated]
 * @property {(error: unknown) => boolean} [onError]  Returns true if the error needs no message, such as the end of the session.
 * @property {string} [submitLabel]
 */

/**
 * @typedef {object} Field
 * @property {string} pointer  The path of its value in the request's body.
 * @property {string} label
 * @property {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control
 * @property {HTMLElement} error
 */

/** The longest text from elsewhere that is shown, in characters. */
const MAX_TEXT = 500;

/**
 * Fills a form with the template's fields, a submit button and messages.
 *
 * @param {HTMLFormElement} form
 * @param {SourceFormOptions} options
 */
export function sourceForm(form, { client, template, signal, onCreated, onError, submitLabel = "Connect" }) {
  const summary = element("div", { className: "message", tabIndex: -1 });
  summary.setAttribute("role", "alert");
  const container = element("div", {});
  const button = element("button", { className: "primary", textContent: submitLabel });
  const message = element("div", { className: "message" });
  message.setAttribute("role", "status");
  form.noValidate = true;
  form.replaceChildren(summary, container, button, message);

  const hasCredentials = template.mode === "DIRECT" || template.mode === "MULTI";
  const createFields = () => schemaForm(container, template.connection_specification, hasCredentials ? "" : POINTER);
  let fields = createFields();
  /** The key of the user's intent: kept while the same values are submitted again. @type {string | undefined} */
  let key;
  /** What is typed and shown belongs to one user; so does what is still under way. */
  let generation = 0;

  const reset = () => {
    generation += 1;
    key = undefined;
    button.ariaBusy = "false";
    fields = createFields();
    showErrors([]);
    showMessage(message, undefined);
  };

  /** @param {FieldError[]} errors */
  function showErrors(errors) {
    const shown = fields.showErrors(errors);
    const items = shown.map(({ field, pointer, detail }) => {
      if (!field) return element("li", { textContent: bounded(pointer ? `${pointer}: ${detail}` : detail) });
      return element("li", {}, element("a", { href: `#${field.control.id}`, textContent: bounded(`${field.label}: ${detail}`) }));
    });
    showMessage(summary, errors.length > 0 ? { kind: "error", title: "Check what you entered." } : undefined, element("ul", {}, ...items));
    if (errors.length > 0) (shown.find(({ field }) => field)?.field?.control ?? summary).focus();
  }

  /** Returns what is filled in. Airbyte returns an error for what is missing, so that empty objects are not omitted. */
  function values() {
    const filledIn = fields.read();
    if (!hasCredentials) return { configuration: filledIn };
    const { credentials = {}, environment = {} } = /** @type {Record<string, any>} */ (filledIn);
    return { credentials, environment };
  }

  async function submit() {
    // Not `disabled`, which would take the keyboard's focus away.
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    showErrors([]);
    showMessage(message, { kind: "info", title: "Connecting…" });
    key ??= crypto.randomUUID();
    const own = generation;
    try {
      const request = { templateId: template.id, ...values(), idempotencyKey: key, signal: signal?.() };
      const source = await client().createSource(request);
      if (own !== generation) return;
      reset(); // the credentials are not left on the page
      const id = element("code", { textContent: bounded(source.id) });
      showMessage(message, { kind: "success", title: "Connected." }, element("span", {}, "Your new source is ", id));
      onCreated?.(source);
    } catch (error) {
      if (own !== generation) return;
      // Its outcome stays unknown, and another request needs another key.
      if (error instanceof ProblemError && NEEDS_NEW_KEY.has(error.type)) key = undefined;
      showMessage(message, undefined);
      if (isAbort(error) || onError?.(error)) return;
      if (error instanceof ProblemError && error.errors.length > 0) showErrors(error.errors);
      else showMessage(message, ...describeError(error));
    } finally {
      if (own === generation) button.ariaBusy = "false";
    }
  }

  const listening = new AbortController();
  form.addEventListener("input", () => (key = undefined), { signal: listening.signal });
  form.addEventListener(
    "submit",
    (event) => {
      event.preventDefault();
      submit();
    },
    { signal: listening.signal },
  );

  return {
    /** Empties the form: call it when the session ends. */
    reset,
    /** Empties and removes it. */
    remove() {
      reset();
      listening.abort();
      form.replaceChildren();
    },
  };
}

const POINTER = "/connection_configuration";
const NEEDS_NEW_KEY = new Set(["create-outcome-unknown", "idempotency-key-reused"]);

/** @param {unknown} error */
function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** @typedef {{ kind: "info" | "success" | "warning" | "error", title: string }} Message */

/**
 * Returns what to show for an error of the client: a message, then its details.
 *
 * @param {unknown} error
 * @returns {[Message, ...(Node | string)[]]}
 */
export function describeError(error) {
  if (error instanceof ProblemError) {
    const advice = error.action === "retry" && error.retryAfter ? retryAdvice(error.retryAfter) : ADVICE[error.action];
    const details = [element("span", { textContent: advice })];
    if (error.detail !== error.title) details.push(element("small", { textContent: bounded(error.detail) }));
    if (error.requestId) details.push(element("small", {}, "Reference: ", element("code", { textContent: bounded(error.requestId) })));
    return [{ kind: error.action === "check" ? "warning" : "error", title: bounded(error.title) }, ...details];
  }
  if (error instanceof NetworkError) {
    const detail = navigator.onLine
      ? "Check your connection. If that does not help, this page may not be allowed to use the service. "
      : "You are offline. ";
    return [{ kind: "error", title: "The service could not be reached." }, detail, ADVICE[error.action]];
  }
  return [{ kind: "error", title: "That did not work." }, error instanceof Error ? bounded(error.message) : ""];
}

/** @type {Record<import("./types.js").ErrorAction, string>} */
const ADVICE = {
  "sign-in": "Sign in again.",
  fix: "Change what you entered, then try again.",
  retry: "Try again in a moment.",
  check: "The source may have been created: check your sources before you try again.",
  report: "Trying again does not help. Report this to support.",
};

/** @param {number} seconds */
function retryAdvice(seconds) {
  const whole = Math.ceil(seconds);
  return `Try again in ${whole} ${whole === 1 ? "second" : "seconds"}.`;
}

/**
 * Shows a message in place of the one before, or none.
 *
 * @param {HTMLElement} container
 * @param {Message | undefined} message
 * @param {(Node | string)[]} details
 */
export function showMessage(container, message, ...details) {
  container.replaceChildren();
  if (!message) return;
  container.dataset.kind = message.kind;
  container.append(element("strong", { textContent: message.title }), ...details);
}

/** @param {unknown} text */
export function bounded(text) {
  const whole = String(text);
  return whole.length > MAX_TEXT ? `${whole.slice(0, MAX_TEXT)}…` : whole;
}

/**
 * Fills `container` with the schema's fields.
 *
 * @param {HTMLElement} container
 * @param {Schema} schema
 * @param {string} pointer  The path in the request's body of what the schema describes.
 */
function schemaForm(container, schema, pointer) {
  /** @type {Field[]} */
  const fields = [];
  const { nodes, read } = objectFields(schema, pointer, isSecret(schema), fields);
  container.replaceChildren(...nodes);

  return {
    /** What is filled in. Empty fields are omitted. */
    read: () => read() ?? {},

    /**
     * Shows each error at its field, in place of those shown before.
     *
     * @param {FieldError[]} errors
     * @returns {(FieldError & { field?: Field })[]} The errors, each with its field if there is one.
     */
    showErrors(errors) {
      for (const { control, error } of fields) {
        control.removeAttribute("aria-invalid");
        error.textContent = "";
      }
      return errors.map((fieldError) => {
        const field = fields.find((candidate) => isWithin(fieldError.pointer, candidate.pointer));
        if (!field) return fieldError;
        field.control.setAttribute("aria-invalid", "true");
        field.error.textContent = bounded([field.error.textContent, fieldError.detail].filter(Boolean).join(" "));
        return { ...fieldError, field };
      });
    },
  };
}

/**
 * @param {Schema} schema
 * @param {string} pointer
 * @param {boolean} isInSecret  Whether the schema is a part of a secret.
 * @param {Field[]} fields      Gets the fields made here.
 * @returns {{ nodes: Node[], read: () => Record<string, unknown> | undefined }}
 */
function objectFields(schema, pointer, isInSecret, fields) {
  const properties = Object.entries(schema.properties ?? {}).sort(([, a], [, b]) => (a.order ?? 0) - (b.order ?? 0));
  const children = properties.map(([name, property]) => {
    const isRequired = schema.required?.includes(name) ?? false;
    const path = `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const label = bounded(property.title ?? name);
    const isMasked = isInSecret || isSecret(property);
    if (property.type !== "object" || !property.properties) {
      return { name, ...valueField(property, { label, isRequired, isMasked: isMasked || containsSecret(property), path }, fields) };
    }
    const { nodes, read } = objectFields(property, path, isMasked, fields);
    const legend = element("legend", { textContent: label });
    return { name, node: element("fieldset", {}, legend, ...nodes), read };
  });

  return {
    nodes: children.map(({ node }) => node),
    read() {
      const filledIn = children.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined);
      return filledIn.length > 0 ? Object.fromEntries(filledIn) : undefined;
    },
  };
}

/** @param {Schema} schema */
function isSecret({ airbyte_secret, writeOnly, format }) {
  return airbyte_secret === true || writeOnly === true || format === "password";
}

/** Whether any part of a schema is a secret, such as one of several alternatives. @param {unknown} schema @returns {boolean} */
function containsSecret(schema) {
  if (typeof schema !== "object" || schema === null) return false;
  return isSecret(schema) || Object.values(schema).some(containsSecret);
}

/**
 * @param {Schema} schema
 * @param {{ label: string, isRequired: boolean, isMasked: boolean, path: string }} options
 * @param {Field[]} fields
 */
function valueField(schema, { label, isRequired, isMasked, path }, fields) {
  const { control, read } = isMasked ? secretControl(schema) : valueControl(schema);
  control.id = `field-${fields.length}`;
  control.name = path;
  control.setAttribute("aria-required", String(isRequired));

  const hint = element("p", { id: `${control.id}-hint`, className: "hint", textContent: bounded(schema.description ?? "") });
  const error = element("p", { id: `${control.id}-error`, className: "field-error" });
  control.setAttribute("aria-describedby", `${hint.id} ${error.id}`);
  fields.push({ pointer: path, label, control, error });

  const text = element("label", { htmlFor: control.id, textContent: label });
  const isCheckbox = control.type === "checkbox";
  if (!isRequired && !isCheckbox) text.append(element("span", { className: "optional", textContent: " (optional)" }));
  return { node: element("div", { className: isCheckbox ? "field check" : "field" }, text, hint, control, error), read };
}

/**
 * The control of a secret of any type: always masked. A default never gets into the page: it is used where nothing is
 * entered.
 *
 * @param {Schema} schema
 */
function secretControl(schema) {
  // These are the data source's credentials, not the user's own for this site: keep the password manager out.
  const control = element("input", { type: "password", autocomplete: "new-password", spellcheck: false });
  if (schema.default !== undefined) control.placeholder = "Leave empty for the default";
  const convert = schema.type === "string" ? String : schema.type === "integer" || schema.type === "number" ? toNumber : toJson;
  return { control, read: () => (control.value === "" ? schema.default : convert(control.value)) };
}

/**
 * The control that suits the schema, and a function that reads its value (undefined where nothing was entered).
 *
 * @param {Schema} schema
 */
function valueControl(schema) {
  if (schema.enum) {
    const choices = schema.enum;
    const options = choices.map((value, index) =>
      element("option", { value: String(index), textContent: bounded(value), defaultSelected: value === schema.default }),
    );
    const control = element("select", {}, element("option", { value: "" }), ...options);
    return { control, read: () => (control.value === "" ? undefined : choices[Number(control.value)]) };
  }

  if (schema.type === "boolean") {
    const control = element("input", { type: "checkbox", defaultChecked: schema.default === true });
    return { control, read: () => control.checked };
  }

  if (schema.type === "string" || schema.type === "integer" || schema.type === "number") {
    const control = element("input", {
      type: "text",
      inputMode: { string: "text", integer: "numeric", number: "decimal" }[schema.type],
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: false,
      defaultValue: schema.default === undefined ? "" : String(schema.default),
    });
    const convert = schema.type === "string" ? String : toNumber;
    return { control, read: () => (control.value === "" ? undefined : convert(control.value)) };
  }

  // Lists, alternatives and the like are entered as JSON. Knowing your templates, you can do better.
  const control = element("textarea", {
    rows: 4,
    spellcheck: false,
    defaultValue: schema.default === undefined ? "" : JSON.stringify(schema.default, null, 2),
  });
  return { control, read: () => (control.value.trim() === "" ? undefined : toJson(control.value)) };
}

/**
 * Returns the number, or the text unchanged where it is none or one that a double would change: Airbyte then returns an
 * error for the field.
 *
 * @param {string} text
 */
function toNumber(text) {
  const number = Number(text);
  const isExact = Number.isFinite(number) && (!Number.isInteger(number) || Number.isSafeInteger(number));
  return isExact && text.trim() !== "" ? number : text;
}

/** @param {string} text */
function toJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * @param {string} pointer
 * @param {string} ancestor
 */
function isWithin(pointer, ancestor) {
  return pointer === ancestor || pointer.startsWith(`${ancestor}/`);
}

/**
 * Creates an element. Text goes in as `textContent`, never as HTML, because labels, hints and errors are someone else's.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, unknown>} properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, properties, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}
