// The page inside the widget's iframe. It talks to the page around it by messages, as Airbyte's own does:
//
//   out  "auth_token_request"                       it needs a scoped token
//   in   {scopedAuthToken: "…"}                     an answer to that, or a newer token at any time
//   out  {type: "end_user_action_result", message: "source_created", data: source}
//   out  {type: "end_user_action_result", message: "source_create_error", error: Error}
//   out  "CLOSE_DIALOG"                             the user is done
//
// Messages are sent to `allowedOrigin` and taken from it only, compared letter by letter. Where the two differ by as
// little as a trailing slash, nothing happens: no token ever arrives, and the page says nothing about it.

const parameters = new URLSearchParams(location.search);
const allowedOrigin = parameters.get("allowedOrigin") ?? "";
const workspaceId = parameters.get("workspaceId");

/** How long a renewed token may take to arrive, in milliseconds. */
const RENEWAL_TIMEOUT = 5000;

const element = (id) => document.getElementById(id);

/** An error whose message is for the user; `fields` holds FastAPI's list of faults, if there is one. */
class Failure extends Error {
  constructor(message, fields = []) {
    super(message);
    this.fields = fields;
  }
}

const SESSION_ENDED = "Your session has ended. Try again, or close this window and open it anew.";

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
function tell(message) {
  try {
    window.parent.postMessage(message, allowedOrigin);
  } catch {
    // `allowedOrigin` is no origin at all, so there is nobody to tell.
  }
}

/** Asks for a token. Without a timeout it waits for as long as it takes. */
function requestToken(timeout) {
  return new Promise((resolve, reject) => {
    tokenArrived = resolve;
    if (timeout) setTimeout(() => reject(new Failure(SESSION_ENDED)), timeout);
    tell("auth_token_request");
  });
}

/* Airbyte's API. */

/** Calls the API; a token that is refused is asked for anew, once. */
async function call(path, options = {}) {
  let response = await send(path, options);
  if (response.status === 401) {
    await requestToken(RENEWAL_TIMEOUT);
    response = await send(path, options);
  }
  if (response.status === 401) throw new Failure(SESSION_ENDED);
  const body = await response.json().catch(() => undefined);
  if (response.ok && body !== undefined) return body;
  if (Array.isArray(body?.detail)) throw new Failure("Please check the marked fields.", body.detail);
  throw new Failure(`Airbyte could not do this (${response.status}). Please try again.`);
}

async function send(path, options) {
  try {
    return await fetch(path, { ...options, headers: { ...options.headers, authorization: `Bearer ${token}` } });
  } catch {
    throw new Failure("Airbyte cannot be reached. Check your connection and try again.");
  }
}

async function listTemplates() {
  const { data } = await call("/api/v1/integrations/templates/sources/");
  return data;
}

function createSource(template, configuration) {
  return call("/api/v1/integrations/sources/", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      workspace_id: workspaceId,
      source_config_template_id: template.id,
      connection_configuration: configuration,
    }),
  });
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
    const templates = await listTemplates();
    element("templates").replaceChildren(...templates.map(templateItem));
    show("templates");
  } catch (failure) {
    element("failure").textContent = failure.message;
    show("failed");
  }
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

function showForm(template) {
  currentTemplate = template;
  const { properties, required = [] } = template.connection_specification;
  const fields = Object.entries(properties).sort(([, a], [, b]) => (a.order ?? 0) - (b.order ?? 0));
  element("form-title").textContent = `Connect ${template.name}`;
  element("form-error").textContent = "";
  element("fields").replaceChildren(...fields.map(([name, schema]) => field(name, schema, required.includes(name))));
  show("form");
}

function field(name, schema, required) {
  const control = schema.enum ? choice(schema) : input(schema);
  control.id = `field-${name}`;
  control.name = name;
  control.required = required;

  const label = document.createElement("label");
  label.htmlFor = control.id;
  label.textContent = schema.title ?? name;
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

/** What the form holds. What is empty is left out, and what is no number is sent as it is: Airbyte says what is wrong. */
function configuration() {
  const { properties } = currentTemplate.connection_specification;
  const entries = Object.entries(properties).map(([name, schema]) => {
    const control = element(`field-${name}`);
    if (schema.type === "boolean") return [name, control.checked];
    if (control.value === "") return [name, undefined];
    const number = Number(control.value);
    const isNumber = schema.type === "integer" ? Number.isSafeInteger(number) : Number.isFinite(number);
    return [name, schema.type !== "string" && isNumber ? number : control.value];
  });
  return Object.fromEntries(entries);
}

/** Marks each field that `faults` names; gives back what belongs to no field of the form. */
function markFields(faults) {
  const elsewhere = [];
  for (const control of element("form").elements) {
    control.removeAttribute("aria-invalid");
    const error = element(`error-${control.name}`);
    if (error) error.textContent = "";
  }
  for (const { loc, msg } of faults) {
    const error = element(`error-${loc[2]}`);
    if (error) {
      error.textContent = msg;
      element(`field-${loc[2]}`).setAttribute("aria-invalid", "true");
    } else {
      elsewhere.push(`${loc.slice(1).join(".")}: ${msg}`);
    }
  }
  return elsewhere;
}

async function submit() {
  const button = element("create");
  button.disabled = true;
  button.textContent = "Connecting…";
  element("form-error").textContent = "";
  markFields([]);
  try {
    const source = await createSource(currentTemplate, configuration());
    tell({ type: "end_user_action_result", message: "source_created", data: source });
    element("created-title").textContent = `${currentTemplate.name} is connected`;
    element("created-id").textContent = source.id;
    show("created");
  } catch (failure) {
    // A plain Error: other classes cannot be sent to another page.
    tell({ type: "end_user_action_result", message: "source_create_error", error: new Error(failure.message) });
    element("form-error").textContent = [failure.message, ...markFields(failure.fields ?? [])].join(" ");
    element("form").querySelector("[aria-invalid]")?.focus();
  } finally {
    button.disabled = false;
    button.textContent = "Connect";
  }
}

const close = () => tell("CLOSE_DIALOG");

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
element("retry").addEventListener("click", showTemplates);
element("back").addEventListener("click", showTemplates);
element("another").addEventListener("click", showTemplates);
element("done").addEventListener("click", close);
element("close").addEventListener("click", close);
// The key is heard by the page that has the focus, which is this one and not the dialog around it.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});

if (window.parent === window) {
  element("waiting").textContent = "This page is shown inside the Airbyte Embedded Widget.";
}
showTemplates();
