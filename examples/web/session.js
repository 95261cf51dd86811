/**
 * Who is signed in. This is the part to replace: here the development issuer signs anyone in by name, in your app your
 * OIDC library (or your own session) gives the access token which API Gateway's authorizer checks.
 *
 * @module
 */

import { NetworkError } from "./airbyte-embedded.js";

/** The session has ended: the user has to sign in again. */
export class SessionEndedError extends Error {
  name = "SessionEndedError";
}

/**
 * @typedef {object} Session
 * @property {string} user
 * @property {() => string} getAccessToken  Throws {@link SessionEndedError} once the session has ended.
 */

/**
 * @param {string} issuerUrl
 * @param {string} user
 * @returns {Promise<Session>}
 */
export async function signIn(issuerUrl, user) {
  const request = fetch(`${issuerUrl}/token?sub=${encodeURIComponent(user)}`, { credentials: "omit" });
  const response = await request.catch((cause) => {
    throw new NetworkError(`No answer from ${issuerUrl}.`, { cause });
  });
  if (!response.ok) throw new Error(`The issuer answered with HTTP ${response.status}.`);

  // Held in memory only: what is in localStorage or sessionStorage can be read by any script that gets onto the page.
  const accessToken = (await response.text()).trim();
  const endsAt = expiry(accessToken);

  return {
    user,
    getAccessToken() {
      // API Gateway need not add CORS headers to its own 401, and without them the page cannot read it. So look first.
      if (Date.now() >= endsAt) throw new SessionEndedError("Your session has ended.");
      return accessToken;
    },
  };
}

/** The `exp` of a JWT, in milliseconds. Read to know when to ask for another one; it proves nothing. @param {string} jwt */
function expiry(jwt) {
  const payload = jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(atob(payload)).exp * 1000;
}
