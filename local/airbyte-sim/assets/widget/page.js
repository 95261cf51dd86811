// The page inside the widget's iframe. It exchanges messages with the page around it, as Airbyte's page does:
//
//   out  "auth_token_request"                       requests a scoped token
//   in   {scopedAuthToken: "…"}                     the response, or a newer token at any time
//   out  {type: "end_user_action_result", message: "source_created", data: source}
//   out  {type: "end_user_action_result", message: "source_create_error", error: Error}
//   out  "CLOSE_DIALOG"                             the user is done
//
// Messages are sent to `allowedOrigin` and accepted from it only, compared exactly. If the two origins differ by as little
// as a trailing slash, no token ever arrives, and the page does not report why.
//
// The page has an address in each generation of Airbyte's API, and calls that generation.

const parameters = new URLSearchParams(location.search);
const allowedOrigin = parameters.get("allowedOrigin") ?? "";
const workspaceId = parameters.get("workspaceId");
const templateTags = new URLSearchParams([...parameters].filter(([name]) => name.startsWith("tags")));

/** The timeout of a token renewal, in milliseconds. */
const RENEWAL_TIMEOUT = 5000;

const element = (id) => document.getElementById(id);

/** An error with a message for the user, and the field errors as `{path: ["host"], message}`. */
class UserError extends Error {
  constructor(message, fieldErrors = []) {
    super(message);
    this.fieldErrors = fieldErrors;
  }
}

const SESSION_ENDED = "Your session has ended. Try again, or close this window and open it again.";

/* The token. */

let token;
let tokenArrived = () => {};

window.addEventListener("message", (event) => {
  if (event.origin !== allowedOrigin) return;
  if (!event.data?.scopedAuthToken) return;
  token = event.data.scopedAuthToken;
  tokenArrived();
});

/** Sends a message to the page around this one. */
function send(message) {
  try {
    window.parent.postMessage(message, allowedOrigin);
  } catch {
    // `allowedOrigin` is not an origin, so that no page can receive the message.
  }
}

/** Requests a token. Without a timeout it waits until one arrives. */
function requestToken(timeout) {
  return new Promise((resolve, reject) => {
    tokenArrived = resolve;
    if (timeout) setTimeout(() => reject(new UserError(SESSION_ENDED)), timeout);
    send("auth_token_request");
  });
}

/* Airbyte's API. */

/** Calls the API. If it rejects the token, requests another one and retries once. */
async function call(path, options = {}) {
  let response = await fetchWithToken(path, options);
  if (response.status === 401) {
    await requestToken(RENEWAL_TIMEOUT);
    response = await fetchWithToken(path, options);
  }
  if (response.status === 401) throw new UserError(SESSION_ENDED);
  const body = await response.json().catch(() => undefined);
  if (response.ok && body !== undefined) return body;
  const fieldErrors = response.status === 422 ? api.fieldErrors(body) : [];
  if (fieldErrors.length > 0) throw new UserError("Please check the marked fields.", fieldErrors);
  throw new UserError(`The request failed (${response.status}). Please try again.`);
}

async function fetchWithToken(path, options) {
  try {
    return await fetch(path, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } });
  } catch {
    throw new UserError("Airbyte cannot be reached. Check your connection and try again.");
  }
}

const post = (path, body) =>
  call(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** The API of mid-2025. */
const embedded = {
  async listTemplates() {
    const { data } = await call("/api/v1/integrations/templates/sources/");
    return data;
  },
  async specification(template) {
    return template.connection_specification;
  },
  createSource(template, configuration) {
    return post("/api/v1/integrations/sources/", {
      workspace_id: workspaceId,
      source_config_template_id: template.id,
      connection_configuration: configuration,
    });
  },
  fieldErrors(body) {
    if (!Array.isArray(body?.detail)) return [];
    return body.detail.map(({ loc, msg }) => ({ path: configurationPath(loc.map(String)), message: msg }));
  },
};

/** The API documented in 2026. */
const agents = {
  async listTemplates() {
    const { data } = await call(`/api/v1/integrations/templates/sources?${templateTags}`);
    return data;
  },
  async specification(template) {
    const { user_config_spec } = await call(`/api/v1/integrations/templates/sources/${template.id}`);
    return user_config_spec.connectionSpecification;
  },
  async createSource(template, configuration) {
    const { workspace_name } = await call("/api/v1/account/applications/scoped-token/info");
    const configured = template.mode === "DIRECT" ? configuration : { replication_config: configuration };
    return post("/api/v1/integrations/connectors", { workspace_name, source_template_id: template.id, ...configured });
  },
  fieldErrors(body) {
    if (!Array.isArray(body?.errors)) return [];
    return body.errors.map(({ field, message }) => ({ path: configurationPath(String(field ?? "").split(".")), message }));
  },
};

const api = location.pathname === "/quick-start/widget" ? agents : embedded;

/** The path of a field within the configuration, from its path within the request. */
function configurationPath([, first, ...rest]) {
  if (first === "connection_configuration" || first === "replication_config") return rest;
  return first === undefined ? [] : [first, ...rest];
}

/* The views. */

function show(view) {
  document.body.dataset.view = view;
  for (const section of document.querySelectorAll("section[data-view]")) {
    section.hidden = section.dataset.view !== view;
    if (!section.hidden) section.querySelector("h1")?.focus();
  }
}

async function showTemplates() {
  show("waiting");
  try {
    token ?? (await requestToken());
    const templates = await api.listTemplates();
    element("templates").replaceChildren(...templates.map(templateItem));
    show("templates");
  } catch (error) {
    showFailure(error);
  }
}

function showFailure(error) {
  element("failure").textContent = error.message;
  show("failed");
}

function templateItem(template) {
  const initial = document.createElement("span");
  initial.className = "initial";
  initial.ariaHidden = "true";
  initial.textContent = template.name[0];
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.template = template.id;
  button.append(initial, template.name);
  button.addEventListener("click", () => showForm(template));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

/* The form: one field for each property of the template's JSON Schema. */

let currentTemplate;
/** The form's fields: `{path: ["host"], schema, required}`. */
let currentFields = [];

async function showForm(template) {
  show("waiting");
  try {
    currentFields = fieldsOf(await api.specification(template));
  } catch (error) {
    showFailure(error);
    return;
  }
  currentTemplate = template;
  element("form-title").textContent = `Connect ${template.name}`;
  element("form-error").textContent = "";
  element("fields").replaceChildren(...currentFields.map(field));
  show("form");
}

/** The fields of an object's schema, those of nested objects included, in order. */
function fieldsOf({ properties = {}, required = [] }, parent = []) {
  return Object.entries(properties)
    .sort(([, a], [, b]) => (a.order ?? 0) - (b.order ?? 0))
    .flatMap(([name, schema]) => {
      const path = [...parent, name];
      return schema.properties ? fieldsOf(schema, path) : [{ path, schema, required: required.includes(name) }];
    });
}

const nameOf = (path) => path.join("-");

function field({ path, schema, required }) {
  const name = nameOf(path);
  const control = schema.enum ? choice(schema) : input(schema);
  control.id = `field-${name}`;
  control.name = name;
  control.required = required;

  const label = document.createElement("label");
  label.htmlFor = control.id;
  label.textContent = schema.title ?? path.at(-1);
  if (!required) label.append(" ", paragraph("span", "optional", "(optional)"));

  const hint = paragraph("p", "hint", schema.description ?? "");
  hint.id = `hint-${name}`;
  hint.hidden = !schema.description;
  const error = paragraph("p", "error", "");
  error.id = `error-${name}`;
  control.setAttribute("aria-describedby", `${error.id} ${hint.id}`);

  const group = document.createElement("div");
  group.className = "field";
  group.append(label, control, error, hint);
  return group;
}

function paragraph(tag, className, text) {
  const result = document.createElement(tag);
  result.className = className;
  result.textContent = text;
  return result;
}

function input(schema) {
  const control = document.createElement("input");
  control.type = schema.airbyte_secret ? "password" : schema.type === "boolean" ? "checkbox" : "text";
  control.autocomplete = schema.airbyte_secret ? "new-password" : "off";
  control.spellcheck = false;
  if (schema.type === "integer") control.inputMode = "numeric";
  if (schema.examples?.length) control.placeholder = `for example ${schema.examples[0]}`;
  return control;
}

function choice(schema) {
  const control = document.createElement("select");
  control.append(...["", ...schema.enum].map((value) => new Option(value, value)));
  return control;
}

/** The form's values. Omits empty ones, and sends invalid numbers unchanged, so that Airbyte reports them. */
function configuration() {
  const result = {};
  for (const { path, schema } of currentFields) {
    const value = valueOf(element(`field-${nameOf(path)}`), schema);
    if (value === undefined) continue;
    let parent = result;
    for (const name of path.slice(0, -1)) parent = parent[name] ??= {};
    parent[path.at(-1)] = value;
  }
  return result;
}

function valueOf(control, schema) {
  if (schema.type === "boolean") return control.checked;
  if (control.value === "") return undefined;
  const number = Number(control.value);
  const isNumber = schema.type === "integer" ? Number.isSafeInteger(number) : Number.isFinite(number);
  return schema.type !== "string" && isNumber ? number : control.value;
}

/** Marks each field that has an error. Returns the messages that belong to no field of the form. */
function markFields(fieldErrors) {
  const others = [];
  for (const control of element("form").elements) {
    control.removeAttribute("aria-invalid");
    const error = element(`error-${control.name}`);
    if (error) error.textContent = "";
  }
  for (const { path, message } of fieldErrors) {
    // An error of a nested object belongs to its first field.
    const named = currentFields.find((field) => path.length > 0 && path.every((name, i) => field.path[i] === name));
    if (named) {
      const name = nameOf(named.path);
      element(`error-${name}`).textContent = message;
      element(`field-${name}`).setAttribute("aria-invalid", "true");
    } else {
      others.push([path.join("."), message].filter(Boolean).join(": "));
    }
  }
  return others;
}

async function submit() {
  const button = element("create");
  button.disabled = true;
  button.textContent = "Connecting…";
  element("form-error").textContent = "";
  markFields([]);
  try {
    const source = await api.createSource(currentTemplate, configuration());
    send({ type: "end_user_action_result", message: "source_created", data: source });
    element("created-title").textContent = `${currentTemplate.name} is connected`;
    element("created-id").textContent = source.id;
    show("created");
  } catch (error) {
    // A plain Error, because other classes cannot be cloned.
    send({ type: "end_user_action_result", message: "source_create_error", error: new Error(error.message) });
    element("form-error").textContent = [error.message, ...markFields(error.fieldErrors ?? [])].join(" ");
    element("form").querySelector("[aria-invalid]")?.focus();
  } finally {
    button.disabled = false;
    button.textContent = "Connect";
  }
}

const close = () => send("CLOSE_DIALOG");

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
element("retry").addEventListener("click", showTemplates);
element("back").addEventListener("click", showTemplates);
element("another").addEventListener("click", showTemplates);
element("done").addEventListener("click", close);
element("close").addEventListener("click", close);
// The focused page receives the key: this one, not the page around it.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});

if (window.parent === window) {
  element("waiting").textContent = "This page is shown inside the Airbyte Embedded Widget.";
}
showTemplates();
