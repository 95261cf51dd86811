/**
 * The types of the package. Nothing here exists at run time, and no other module loads this one.
 *
 * @module
 */

/**
 * The response of `POST /token`.
 *
 * @typedef {object} EmbeddedToken
 * @property {string} token        Airbyte's opaque token, for Airbyte's own widget script and for `createSource`.
 * @property {string} scopedToken  The bearer token inside it, for calls to Airbyte's API.
 * @property {string} widgetUrl    The page inside the widget.
 * @property {string} workspaceId  The user's workspace.
 * @property {string} expiresAt    When the token expires (RFC 3339), by the server's clock.
 * @property {number} expiresIn    The seconds until then when the response was created. Right even where this computer's clock is wrong.
 */

/**
 * A validation error of one field.
 *
 * @typedef {object} FieldError
 * @property {string} pointer  The path in the request's body, a JSON pointer (RFC 6901).
 * @property {string} detail   A phrase or sentence to show at the field.
 */

/**
 * What a person can do about an error:
 *
 * - `sign-in`: sign in again, the session has ended;
 * - `fix`: fix the fields in `errors`, or what `detail` names;
 * - `retry`: wait, for `retryAfter` seconds where that is set, then try again;
 * - `check`: check whether the source exists before trying again, because it may have been created;
 * - `report`: report it to the operator of the API with the `requestId`, because trying again does not help.
 *
 * @typedef {"sign-in" | "fix" | "retry" | "check" | "report"} ErrorAction
 */

/**
 * @typedef {object} ClientOptions
 * @property {string} apiUrl  The API's URL, with its stage if it has one.
 * @property {(options: { refresh: boolean }) => string | Promise<string>} getAccessToken
 *   Returns the user's access token for the API. It is called before every request. `refresh` is true after two network
 *   errors in a row: then get a new token rather than a cached one, because a browser shows a page a rejected token as a
 *   network error where API Gateway sends no CORS headers with it. What it throws reaches the caller unchanged.
 * @property {boolean} [idempotencyKeys]
 *   Whether each create carries an `Idempotency-Key`, by default true. Set it to false if the API has no state table,
 *   because it then rejects the header.
 * @property {typeof globalThis.fetch} [fetch]
 */

/**
 * @typedef {object} Client
 * @property {(options?: { signal?: AbortSignal }) => Promise<EmbeddedToken>} mintToken
 *   Mints a token for the signed-in user. Concurrent calls share one request. A network error is retried twice.
 * @property {(source: NewSource) => Promise<Source>} createSource
 *   Creates a source in the signed-in user's workspace. A network error is retried twice, and so is a create that is still
 *   in progress, because the idempotency key makes that safe. Without `idempotencyKeys` nothing is retried.
 */

/**
 * A source to create, with a configuration or, for a template in mode `DIRECT` or `MULTI`, with credentials. `credentials`,
 * `environment` and `name` are only for an API with `AIRBYTE_API=agents`.
 *
 * @typedef {NewSourceOptions & (
 *   { configuration: SourceObject, credentials?: SourceObject } | { configuration?: SourceObject, credentials: SourceObject }
 * )} NewSource
 */

/**
 * Fields of the template's specification.
 *
 * @typedef {Record<string, unknown>} SourceObject
 */

/**
 * @typedef {object} NewSourceOptions
 * @property {string} templateId            The source template's ID.
 * @property {SourceObject} [environment]   The fields beside the credentials; may be empty.
 * @property {string} [name]                The source's name, of 1 to 255 characters.
 * @property {string} [token]               The `token` of an {@link EmbeddedToken}; without it the function mints one.
 * @property {string} [idempotencyKey]
 *   Identifies the user's intent: one key for one submitted form, kept for every retry of it. Without a key each call gets
 *   its own. Not sent without the option `idempotencyKeys`.
 * @property {AbortSignal} [signal]         Stops waiting. The source may have been created all the same.
 */

/**
 * Airbyte's response to a create.
 *
 * @typedef {{ id: string, [name: string]: unknown }} Source
 */

/**
 * @typedef {object} RenewalCallbacks
 * @property {(token: EmbeddedToken) => void} onToken  Receives each new token.
 * @property {(error: unknown, willRetry: boolean) => void} [onError]
 *   Receives each failure. With `willRetry` another attempt follows. Without it the renewal has ended, except after too
 *   many network errors in a row: then it goes on when the network or the user is back.
 */

/**
 * Something that the user did in the widget, in one form for every generation of it.
 *
 * @typedef {object} WidgetEvent
 * @property {string} type          `source_created`, `source_create_error` and the like.
 * @property {string} [sourceId]
 * @property {string} [sourceName]
 * @property {string} [error]       The message of an error.
 * @property {unknown} data         The message as the widget sent it. It may contain whatever the user has entered.
 */

/**
 * @typedef {object} WidgetOptions
 * @property {Client} client
 * @property {AbortSignal} [signal]                        Closes the widget, or keeps it from opening.
 * @property {(event: WidgetEvent) => void} [onEvent]
 * @property {(token: EmbeddedToken) => void} [onToken]    Receives the first and each renewed token.
 * @property {(error: unknown, willRetry: boolean) => void} [onError]  Receives each failure to renew the token.
 * @property {() => void} [onClose]                        Called once the widget is off the page, whoever closed it.
 * @property {{ title?: string, close?: string, loading?: string }} [labels]  In the page's language.
 */

/**
 * An open widget.
 *
 * @typedef {object} Widget
 * @property {HTMLDialogElement} dialog
 * @property {(token: EmbeddedToken) => void} updateToken
 *   Replaces the token: later requests of the page inside get this one. The widget renews its token itself; this is for
 *   tokens that you minted.
 * @property {() => void} close  Closes the dialog and removes it from the page.
 */

export {};
