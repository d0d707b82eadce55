/** Sign-in by the issuer's own page: OpenID Connect's authorization code with PKCE, in the browser alone. */

import { ROOT } from "./router.js";
import { readClaims } from "./session.js";

const RETURN_PATH = `${ROOT}/sign-in`;
/** What a sign-in that has begun must find again when it comes back, in this tab alone. */
const KEY = "taskreel.signIn";

/**
 * @typedef {{issuer: string, clientId: string, scopes: string, audience: string | null}} Issuer
 * @typedef {{state: string, nonce: string, verifier: string, remember: boolean, place: string}} Begun
 * @typedef {{params: Record<string, string>, begun: Begun | null}} IssuerAnswer
 */

/** The configured issuer; null where the dashboard takes tokens alone. @returns {Issuer | null} */
export function readIssuer() {
  const found = document.querySelector("meta[name=taskreel-sign-in]")?.getAttribute("content");
  return found ? JSON.parse(found) : null;
}

/** Take the issuer's answer out of the address, which becomes that of the page where the sign-in began. @returns {IssuerAnswer | null} */
export function takeIssuerAnswer() {
  if (location.pathname !== RETURN_PATH) return null;
  const params = Object.fromEntries(new URLSearchParams(location.search));
  const stored = sessionStorage.getItem(KEY);
  // One answer for each beginning: a second one finds nothing.
  sessionStorage.removeItem(KEY);
  /** @type {Begun | null} */ const begun = stored ? JSON.parse(stored) : null;
  history.replaceState(null, "", begun?.place ?? ROOT);
  return { params, begun };
}

/** Open the issuer's page, which leads back to RETURN_PATH. @param {Issuer} issuer @param {boolean} remember */
export async function openIssuerPage(issuer, remember) {
  if (!crypto.subtle) throw new Error("The issuer's page can be used over HTTPS only. Open the dashboard by its https:// address.");
  const { authorization_endpoint: endpoint } = await readConfiguration(issuer);
  const [state, nonce, verifier] = [makeSecret(), makeSecret(), makeSecret()];
  /** @type {Begun} */ const begun = { state, nonce, verifier, remember, place: location.pathname + location.search };
  sessionStorage.setItem(KEY, JSON.stringify(begun));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const address = new URL(endpoint);
  const params = {
    response_type: "code", client_id: issuer.clientId, redirect_uri: location.origin + RETURN_PATH, scope: issuer.scopes,
    state, nonce, code_challenge: encodeBytes(new Uint8Array(digest)), code_challenge_method: "S256",
    ...(sendsAccessToken(issuer) && { audience: /** @type {string} */ (issuer.audience) }),
  };
  for (const [name, value] of Object.entries(params)) address.searchParams.set(name, value);
  location.assign(address);
}

/**
 * The token for the API, in exchange for the answer's code. Throws an Error for the person who signs in.
 * @param {Issuer} issuer @param {IssuerAnswer} answer @returns {Promise<string>}
 */
export async function redeemIssuerAnswer(issuer, { params, begun }) {
  // Somebody else's answer in a link would sign a person in as somebody else.
  if (!begun || params.state !== begun.state) throw new Error("This sign-in was not begun in this tab, or is over. Sign in again.");
  if (params.iss && params.iss !== issuer.issuer) throw new Error(`The answer is that of another issuer, ${params.iss}.`);
  if (params.error) throw new Error(`The issuer refused: ${params.error_description ?? params.error}.`);
  const { token_endpoint: endpoint } = await readConfiguration(issuer);
  const found = await ask(endpoint, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "authorization_code", code: params.code ?? "", redirect_uri: location.origin + RETURN_PATH, client_id: issuer.clientId, code_verifier: begun.verifier }),
  });
  checkIdToken(issuer, found.id_token ?? "", begun.nonce);
  return sendsAccessToken(issuer) ? found.access_token : found.id_token;
}

/** The ID token is made for the dashboard; a token for another audience is the access token. @param {Issuer} issuer */
const sendsAccessToken = ({ audience, clientId }) => audience !== null && audience !== clientId;

/** It came from the issuer itself, by TLS; the API verifies the signature of what it takes. @param {Issuer} issuer @param {string} token @param {string} nonce */
function checkIdToken(issuer, token, nonce) {
  const claims = readClaims(token);
  if (claims.nonce !== nonce) throw new Error("The issuer's token is not that of this sign-in. Sign in again.");
  if (claims.iss !== issuer.issuer || ![claims.aud].flat().includes(issuer.clientId)) throw new Error("The issuer's token was made by or for somebody else.");
}

/** The issuer's own description. @param {Issuer} issuer */
async function readConfiguration({ issuer }) {
  const found = await ask(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (found.issuer !== issuer) throw new Error(`JWT_ISSUER is ${issuer}, and the issuer there calls itself ${found.issuer}.`);
  return found;
}

/** @param {string} url @param {RequestInit} [request] */
async function ask(url, request) {
  const answer = await fetch(url, { ...request, credentials: "omit", cache: "no-store" }).catch(() => null);
  if (!answer) throw new Error(`The issuer cannot be reached at ${url}. This address must be on the origin of JWT_ISSUER, and answer requests of the origin ${location.origin}.`);
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(`The issuer refused: ${found.error_description ?? found.error ?? `it answered ${answer.status}`}.`);
  return found;
}

const makeSecret = () => encodeBytes(crypto.getRandomValues(new Uint8Array(32)));

/** Base64 for addresses, without padding. @param {Uint8Array} bytes */
const encodeBytes = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
