/** The signed-in caller's token, and the user that it names. */

const KEY = "taskreel.token";
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * @typedef {{sub?: string, iss?: string, aud?: string | string[], nonce?: string, role?: string, exp?: number, projectRoles?: Record<string, string>}} Claims The server verifies them; here
 *   they only decide what is shown.
 */

/** @returns {string | null} */
export function readToken() {
  return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
}

/** @param {string} token @param {boolean} remember in other tabs, and after the browser ends */
export function storeToken(token, remember) {
  removeToken();
  (remember ? localStorage : sessionStorage).setItem(KEY, token);
}

export function removeToken() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

/**
 * Take the token out of the address, so that it is neither shown nor stored in the history.
 *
 * On this machine it signs in, since `scripts/dev` prints such an address. Elsewhere a link could
 * sign a person in as somebody else: there it only fills the sign-in form.
 * @returns {{token: string, stored: boolean} | null} not stored: it is for the form
 */
export function takeTokenFromAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!found) return null;
  history.replaceState(null, "", location.pathname + location.search);
  if (!LOOPBACK.has(location.hostname)) return { token: found, stored: false };
  storeToken(found, true);
  return { token: found, stored: true };
}

/** @param {string} token @returns {Claims} */
export function readClaims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}
