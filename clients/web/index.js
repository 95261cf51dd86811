/**
 * A browser client for the two Airbyte Embedded functions. It stores no token and logs nothing.
 *
 *     const client = createClient({ apiUrl: "https://api.example.com", getAccessToken: () => session.accessToken });
 *     const token = await client.mintToken();
 *     const stop = keepFresh(client, token, { onToken: (renewed) => use(renewed) });
 *
 * @module
 */
export { createClient, NetworkError, ProblemError } from "./client.js";
export { keepFresh } from "./renewal.js";

/** @typedef {import("./types.js").Client} Client */
/** @typedef {import("./types.js").ClientOptions} ClientOptions */
/** @typedef {import("./types.js").EmbeddedToken} EmbeddedToken */
/** @typedef {import("./types.js").ErrorAction} ErrorAction */
/** @typedef {import("./types.js").FieldError} FieldError */
/** @typedef {import("./types.js").NewSource} NewSource */
/** @typedef {import("./types.js").Source} Source */
