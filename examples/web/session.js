/**
 * The session of the signed-in user. Replace this: here the development issuer signs anyone in by name; in your app, your
 * OIDC library (or your own session) returns the access token that API Gateway's authorizer checks.
 *
 * @module
 */

import { now } from "./airbyte-embedded-web/clock.js";
import { NetworkError } from "./airbyte-embedded-web/index.js";

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
    throw new NetworkError(`No response from ${issuerUrl}.`, { cause });
  });
  if (!response.ok) throw new Error(`The issuer returned HTTP ${response.status}.`);

  // In memory only, because any script in the page can read localStorage and sessionStorage.
  const accessToken = (await response.text()).trim();
  const endsAt = now() + lifetime(accessToken);

  return {
    user,
    getAccessToken() {
      // API Gateway may send its own 401 without CORS headers, and then the page cannot read it. So check first.
      if (now() >= endsAt) throw new SessionEndedError("Your session has ended.");
      return accessToken;
    },
  };
}

/**
 * Returns the lifetime of a JWT in milliseconds: the difference of two times of the issuer's, because this computer's
 * clock may be wrong. Not verified: it only schedules the next sign-in.
 *
 * @param {string} jwt
 */
function lifetime(jwt) {
  const payload = jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const { iat, exp } = JSON.parse(atob(payload));
  return (exp - iat) * 1000;
}
