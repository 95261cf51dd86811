/**
 * The demo page: sign in, then connect a source with Airbyte's widget or with a form of one's own.
 *
 * @module
 */
import { createClient, NetworkError, ProblemError } from "./airbyte-embedded.js";
import { openWidget } from "./connect-widget.js";
import { element, schemaForm } from "./schema-form.js";
import { SessionEndedError, signIn } from "./session.js";

/** @import { Client } from "./airbyte-embedded.js" */
/** @import { Schema } from "./schema-form.js" */

/**
 * What the page is served with. Nothing in it is secret: a browser gets it.
 *
 * @typedef {object} Config
 * @property {string} apiUrl
 * @property {string} issuerUrl
 * @property {string} widgetScriptUrl
 * @property {string} [widgetScriptIntegrity]
 * @property {{ id: string, name: string, connection_specification: Schema }[]} templates
 */

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));

/** The client of the user who is signed in. @type {Client | undefined} */
let client;
/** Aborted when they sign out: what is still under way for them must not reach whoever signs in next. */
let signedIn = new AbortController();
/** Takes the widget off the page. */
let removeWidget = () => {};

showOffline();
window.addEventListener("online", showOffline);
window.addEventListener("offline", showOffline);

try {
  start(await loadConfig());
} catch (error) {
  showError(byId("page-message"), error);
}

/** @returns {Promise<Config>} */
async function loadConfig() {
  const response = await fetch("config.json");
  if (!response.ok) throw new Error(`The page's configuration could not be loaded (HTTP ${response.status}).`);
  return response.json();
}

/** @param {Config} config */
function start(config) {
  const form = setUpForm(config);

  onSubmit("sign-in-form", byId("sign-in-message"), async () => {
    const user = input("user-name").value.trim();
    const session = await signIn(config.issuerUrl, user);
    // Someone else must not find what the user before has typed.
    if (byId("user").textContent !== user) {
      form.reset();
      forgetEvents();
    }
    client = createClient({ apiUrl: config.apiUrl, getAccessToken: session.getAccessToken });
    signedIn = new AbortController();
    byId("user").textContent = user;
    showView("connect");
  });

  byId("sign-out").addEventListener("click", () => {
    form.reset();
    forgetEvents();
    signOut();
  });

  onClick("open-widget", byId("widget-message"), (message) => connectWithWidget(config, message));
  showView("sign-in");
}

/** @param {string} [because] */
function signOut(because) {
  signedIn.abort();
  removeWidget();
  client = undefined;
  showView("sign-in");
  show(byId("session-message"), "warning", because);
}

/** @param {"sign-in" | "connect"} view */
function showView(view) {
  for (const message of document.querySelectorAll(".message:not(#offline)")) message.replaceChildren();
  byId("sign-in").hidden = view !== "sign-in";
  byId("connect").hidden = view !== "connect";
  byId("account").hidden = view !== "connect";
  byId(`${view}-title`).focus();
}

// (a) The widget

/**
 * @param {Config} config
 * @param {HTMLElement} message
 */
async function connectWithWidget(config, message) {
  removeWidget(); // the one opened before
  removeWidget = await openWidget({
    client: signedInClient(),
    scriptUrl: config.widgetScriptUrl,
    integrity: config.widgetScriptIntegrity,
    signal: signedIn.signal,
    onEvent: ({ type, message: text, data }) => addEvent(String(text ?? type).replaceAll("_", " "), data?.id),
    onToken: ({ expiresAt }) => addEvent(`Token valid until ${time(new Date(expiresAt))}`),
    onRenewalError(error, willRetry) {
      if (isSessionEnd(error)) signOut("Your session has ended. Sign in again to go on.");
      else if (willRetry) addEvent("The token could not be renewed; trying again");
      else showError(message, error);
    },
    onClose: () => addEvent("Widget closed"),
  });
}

/**
 * @param {string} text
 * @param {unknown} [id]
 */
function addEvent(text, id) {
  byId("no-events").hidden = true;
  const entry = element("li", {}, element("time", { textContent: time(new Date()) }), element("span", { textContent: text }));
  if (typeof id === "string") entry.append(element("code", { textContent: id }));
  byId("events").prepend(entry);
}

function forgetEvents() {
  byId("events").replaceChildren();
  byId("no-events").hidden = false;
}

// (b) A form of one's own

/** @param {Config} config */
function setUpForm({ templates }) {
  const choice = input("template");
  choice.replaceChildren(...templates.map(({ id, name }) => element("option", { value: id, textContent: name })));

  const chosen = () => templates.find(({ id }) => id === choice.value) ?? templates[0];
  const showFields = () => schemaForm(byId("template-fields"), chosen().connection_specification, "/connection_configuration");
  let fields = showFields();
  choice.addEventListener("change", () => {
    fields = showFields();
    showFormErrors(fields, []);
  });

  onSubmit("source-form", byId("form-message"), async (message) => {
    showFormErrors(fields, []);
    try {
      const source = await signedInClient().createSource({
        templateId: chosen().id,
        configuration: fields.read(),
        signal: signedIn.signal,
      });
      fields = showFields(); // emptied: the credentials are not kept on the page
      show(message, "success", "Connected.", element("span", {}, "Your new source is ", element("code", { textContent: source.id })));
    } catch (error) {
      if (!(error instanceof ProblemError) || error.errors.length === 0) throw error;
      showFormErrors(fields, error.errors);
    }
  });

  return {
    reset() {
      fields = showFields();
    },
  };
}

/**
 * The errors at their fields, and all of them in a list above, with links to the fields.
 *
 * @param {ReturnType<typeof schemaForm>} fields
 * @param {import("./airbyte-embedded.js").FieldError[]} errors
 */
function showFormErrors(fields, errors) {
  const shown = fields.showErrors(errors);
  const items = shown.map(({ field, pointer, detail }) => {
    if (!field) return element("li", { textContent: pointer ? `${pointer}: ${detail}` : detail });
    return element("li", {}, element("a", { href: `#${field.control.id}`, textContent: `${field.label}: ${detail}` }));
  });
  const summary = byId("form-errors");
  show(summary, "error", errors.length > 0 ? "Please check what you entered." : undefined, element("ul", {}, ...items));
  const first = shown.find(({ field }) => field)?.field?.control;
  if (errors.length > 0) (first ?? summary).focus();
}

// What both share

function signedInClient() {
  if (!client) throw new SessionEndedError("You are signed out.");
  return client;
}

/** @param {unknown} error */
function isSessionEnd(error) {
  return error instanceof SessionEndedError || (error instanceof ProblemError && error.type === "unauthenticated");
}

/** @param {unknown} error */
function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * Runs the action when the form is submitted; its button is busy until then.
 *
 * @param {string} formId
 * @param {HTMLElement} message
 * @param {(message: HTMLElement) => Promise<void>} action
 */
function onSubmit(formId, message, action) {
  const form = byId(formId);
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(button, message, action);
  });
}

/**
 * @param {string} buttonId
 * @param {HTMLElement} message
 * @param {(message: HTMLElement) => Promise<void>} action
 */
function onClick(buttonId, message, action) {
  const button = byId(buttonId);
  button.addEventListener("click", () => run(button, message, action));
}

/**
 * @param {HTMLElement} button
 * @param {HTMLElement} message
 * @param {(message: HTMLElement) => Promise<void>} action
 */
async function run(button, message, action) {
  // Not `disabled`, which would take the keyboard's focus away.
  if (button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  byId("busy").textContent = "One moment…";
  show(message, "info", undefined);
  try {
    await action(message);
  } catch (error) {
    if (isAbort(error)) return;
    if (isSessionEnd(error)) signOut("Your session has ended. Sign in again to go on.");
    else showError(message, error);
  } finally {
    button.ariaBusy = "false";
    byId("busy").textContent = "";
  }
}

/**
 * @param {HTMLElement} message
 * @param {unknown} error
 */
function showError(message, error) {
  if (error instanceof ProblemError) {
    const wait = error.retryAfter ? ` Try again in ${Math.ceil(error.retryAfter)} seconds.` : "";
    const reference = error.requestId ? element("small", {}, "Reference: ", element("code", { textContent: error.requestId })) : "";
    const detail = error.detail === error.title ? "" : error.detail;
    show(message, "error", error.title, detail + wait, reference);
  } else if (error instanceof NetworkError || !navigator.onLine) {
    const detail = navigator.onLine
      ? "Check your connection and try again. If that does not help, this site’s origin may not be allowed to use the service."
      : "What you entered is kept. Try again when you are back online.";
    show(message, "error", "The service could not be reached.", detail);
  } else {
    show(message, "error", "That did not work.", error instanceof Error ? error.message : "");
  }
}

/**
 * @param {HTMLElement} message
 * @param {"info" | "success" | "warning" | "error"} kind
 * @param {string | undefined} title  Without one the message is taken away.
 * @param {(Node | string)[]} details
 */
function show(message, kind, title, ...details) {
  message.dataset.kind = kind;
  message.replaceChildren();
  if (title) message.append(element("strong", { textContent: title }), ...details);
}

function showOffline() {
  const title = navigator.onLine ? undefined : "You are offline.";
  show(byId("offline"), "warning", title, "What you entered is kept.");
}

/** @param {Date} date */
function time(date) {
  return date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
