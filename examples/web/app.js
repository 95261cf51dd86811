/**
 * The demo page: sign in, then connect a source with Airbyte's widget or with a form.
 *
 * @module
 */
import { createClient, ProblemError } from "./airbyte-embedded-web/index.js";
import { bounded, describeError, element, showMessage, sourceForm } from "./airbyte-embedded-web/form.js";
import { openWidget } from "./airbyte-embedded-web/widget.js";
import { SessionEndedError, signIn } from "./session.js";
import { openVendorWidget } from "./vendor-widget.js";

/** @import { Client } from "./airbyte-embedded-web/index.js" */
/** @import { WidgetEvent } from "./airbyte-embedded-web/widget.js" */
/** @import { SourceTemplate } from "./airbyte-embedded-web/form.js" */

/**
 * What the page is served with. Nothing in it is secret: a browser gets it.
 *
 * @typedef {object} Config
 * @property {string} apiUrl
 * @property {string} issuerUrl
 * @property {boolean} [idempotencyKeys]  Whether the API has a state table.
 * @property {string} [widgetScriptUrl]  Airbyte's widget script. Without it the page hosts the widget itself.
 * @property {string} [widgetScriptIntegrity]
 * @property {(SourceTemplate & { name: string })[]} templates
 */

const SESSION_ENDED = "Your session has ended. Sign in again to continue.";

/** How many events are kept on the page. */
const MAX_EVENTS = 50;

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (byId(id));

/** The client of the user who is signed in. @type {Client | undefined} */
let client;
/** Aborted when they sign out: closes the widget, and keeps pending requests from reaching the next user. */
let signedIn = new AbortController();
/** Closes the widget that is open. */
let closeWidget = () => {};
/** Empties the form. */
let resetForm = () => {};

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
  setUpForm(config);

  const form = byId("sign-in-form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(/** @type {HTMLElement} */ (form.querySelector("button")), byId("sign-in-message"), async () => {
      const user = input("user-name").value.trim();
      const session = await signIn(config.issuerUrl, user);
      const { apiUrl, idempotencyKeys } = config;
      client = createClient({ apiUrl, getAccessToken: session.getAccessToken, idempotencyKeys });
      signedIn = new AbortController();
      byId("user").textContent = bounded(user);
      showView("connect");
    });
  });

  byId("sign-out").addEventListener("click", () => signOut());

  const button = byId("open-widget");
  button.addEventListener("click", () => run(button, byId("widget-message"), (message) => connectWithWidget(config, message)));
  showView("sign-in");
}

/** Ends the session. Nothing that the user has typed or seen stays on the page. @param {string} [reason] */
function signOut(reason) {
  signedIn.abort();
  closeWidget();
  client = undefined;
  resetForm();
  byId("user").textContent = "";
  /** @type {HTMLFormElement} */ (byId("sign-in-form")).reset();
  byId("events").replaceChildren();
  byId("no-events").hidden = false;
  showView("sign-in");
  showMessage(byId("session-message"), reason ? { kind: "warning", title: reason } : undefined);
}

/** @param {"sign-in" | "connect"} view */
function showView(view) {
  for (const message of document.querySelectorAll(".message:not(#offline)")) message.replaceChildren();
  byId("sign-in").hidden = view !== "sign-in";
  byId("connect").hidden = view !== "connect";
  byId("account").hidden = view !== "connect";
  byId(`${view}-title`).focus();
}

// The widget

/**
 * @param {Config} config
 * @param {HTMLElement} message
 */
async function connectWithWidget({ widgetScriptUrl, widgetScriptIntegrity }, message) {
  closeWidget(); // the one opened before
  const options = {
    client: signedInClient(),
    signal: signedIn.signal,
    onEvent: (/** @type {WidgetEvent} */ { type, sourceId }) => addEvent(String(type).replaceAll("_", " "), sourceId),
    onToken: () => addEvent("Token received"),
    onError(/** @type {unknown} */ error, /** @type {boolean} */ willRetry) {
      if (isSessionEnd(error)) signOut(SESSION_ENDED);
      else if (willRetry) addEvent("The token could not be renewed; trying again");
      else showError(message, error);
    },
    onClose: () => addEvent("Widget closed"),
  };
  const widget = widgetScriptUrl
    ? await openVendorWidget({ ...options, scriptUrl: widgetScriptUrl, integrity: widgetScriptIntegrity })
    : await openWidget(options);
  closeWidget = widget.close;
}

/**
 * @param {string} text
 * @param {string} [id]
 */
function addEvent(text, id) {
  if (!client) return; // signed out
  byId("no-events").hidden = true;
  const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const entry = element("li", {}, element("time", { textContent: time }), element("span", { textContent: bounded(text) }));
  if (id) entry.append(element("code", { textContent: bounded(id) }));
  const events = byId("events");
  events.prepend(entry);
  while (events.childElementCount > MAX_EVENTS) events.lastElementChild?.remove();
}

// The form

/** @param {Config} config */
function setUpForm({ templates }) {
  const choice = input("template");
  choice.replaceChildren(...templates.map(({ id, name }) => element("option", { value: id, textContent: bounded(name) })));
  let remove = () => {};

  const showForm = () => {
    remove();
    const form = sourceForm(/** @type {HTMLFormElement} */ (byId("source-form")), {
      template: templates.find(({ id }) => id === choice.value) ?? templates[0],
      client: signedInClient,
      signal: () => signedIn.signal,
      onError(error) {
        if (isSessionEnd(error)) signOut(SESSION_ENDED);
        return isSessionEnd(error);
      },
    });
    remove = form.remove;
    resetForm = form.reset;
  };
  choice.addEventListener("change", showForm);
  showForm();
}

// Both

function signedInClient() {
  if (!client) throw new SessionEndedError("You are signed out.");
  return client;
}

/** @param {unknown} error */
function isSessionEnd(error) {
  return error instanceof SessionEndedError || (error instanceof ProblemError && error.action === "sign-in");
}

/**
 * Runs the action of a button, which is busy until it ends.
 *
 * @param {HTMLElement} button
 * @param {HTMLElement} message
 * @param {(message: HTMLElement) => Promise<void>} action
 */
async function run(button, message, action) {
  // Not `disabled`, which would take the keyboard's focus away.
  if (button.ariaBusy === "true") return;
  button.ariaBusy = "true";
  byId("busy").textContent = "One moment…";
  showMessage(message, undefined);
  try {
    await action(message);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return;
    if (isSessionEnd(error)) signOut(SESSION_ENDED);
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
  showMessage(message, ...describeError(error));
}

function showOffline() {
  const title = navigator.onLine ? undefined : "You are offline.";
  showMessage(byId("offline"), title ? { kind: "warning", title } : undefined, "What you entered is kept.");
}
