/** The sign-in: by the issuer's page where one is configured, and by a token. */

import { html, useEffect, useState } from "./vendor/preact.js";
import { openIssuerPage, readIssuer, redeemIssuerAnswer } from "./issuer_sign_in.js";
import { readClaims } from "./session.js";

/** @typedef {import("./issuer_sign_in.js").IssuerAnswer} IssuerAnswer */

export const Mark = () => html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8"/><circle cx="16" cy="16" r="9.5"/><path d="M13.2 11.3v9.4l7.8-4.7z"/></svg>`;

/** @param {{offered: string, answer: IssuerAnswer | null, ended: boolean, signIn: (token: string, remember: boolean) => void}} props */
export function SignIn({ offered, answer, ended, signIn }) {
  const issuer = readIssuer();
  const [token, setToken] = useState(offered);
  const [remember, setRemember] = useState(false);
  const [refusal, setRefusal] = useState("");
  const [busy, setBusy] = useState(!!(answer && issuer));
  const enter = async (/** @type {string} */ given, /** @type {boolean} */ stays) => {
    const checked = await fetch("/api/credits", { headers: { Authorization: `Bearer ${given}` } }).catch(() => null);
    if (checked?.ok) return signIn(given, stays);
    const problem = await checked?.json().catch(() => null);
    throw new Error(problem?.detail ?? "The server cannot be reached.");
  };
  const attempt = async (/** @type {() => Promise<void>} */ act) => {
    setRefusal("");
    setBusy(true);
    try {
      await act();
    } catch (error) {
      setRefusal(/** @type {Error} */ (error).message);
      setBusy(false);
    }
  };
  useEffect(() => {
    if (answer && issuer) void attempt(async () => enter(await redeemIssuerAnswer(issuer, answer), !!answer.begun?.remember));
  }, []);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    void attempt(() => enter(token.trim().replace(/^Bearer\s+/i, ""), remember));
  };
  const fields = html`<${TokenFields} token=${token} setToken=${setToken} primary=${!issuer} busy=${busy} />`;
  return html`<main class="sign-in"><form onSubmit=${submit}>
    <h1><${Mark} /> Taskreel</h1>
    ${ended && html`<p class="notice tone-warn">Your token has expired or was refused. Sign in again.</p>`}
    ${refusal && html`<p class="notice tone-bad" role="alert">${refusal}</p>`}
    ${issuer && html`<button type="button" class="primary" disabled=${busy} onClick=${() => attempt(() => openIssuerPage(issuer, remember))}>${busy ? "Signing in…" : `Sign in with ${new URL(issuer.issuer).host}`}</button>`}
    <label class="check"><input type="checkbox" checked=${remember} onChange=${(/** @type {any} */ event) => setRemember(event.target.checked)} /> Stay signed in on this device</label>
    ${issuer ? html`<details open=${!!offered}><summary>Use a token instead</summary>${fields}</details>` : fields}
  </form></main>`;
}

/** @param {{token: string, setToken: (token: string) => void, primary: boolean, busy: boolean}} props */
function TokenFields({ token, setToken, primary, busy }) {
  const claims = readClaims(token.trim());
  return html`<div class="token-fields">
    <label>Token<textarea rows="4" required autocomplete="off" spellcheck="false" value=${token} placeholder="eyJ…" aria-describedby="token-hint" onInput=${(/** @type {any} */ event) => setToken(event.target.value)}></textarea></label>
    <p id="token-hint" class="hint">${claims.sub ? html`It signs in <strong>${claims.sub}</strong>${claims.role ? `, ${claims.role}` : ""}.` : html`A JWT that the API accepts. On a laptop: <code>taskreel token --user me --role admin</code>`}</p>
    <button class=${primary ? "primary" : ""} disabled=${busy}>Sign in</button>
  </div>`;
}
