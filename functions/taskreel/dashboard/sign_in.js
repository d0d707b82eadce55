/** The form for a token. */

import { html, useState } from "./vendor/preact.js";
import { readClaims } from "./session.js";

export const Mark = () => html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8"/><circle cx="16" cy="16" r="9.5"/><path d="M13.2 11.3v9.4l7.8-4.7z"/></svg>`;

/** @param {{offered: string, ended: boolean, signIn: (token: string, remember: boolean) => void}} props */
export function SignIn({ offered, ended, signIn }) {
  const [token, setToken] = useState(offered);
  const [remember, setRemember] = useState(false);
  const [refusal, setRefusal] = useState("");
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const given = token.trim().replace(/^Bearer\s+/i, "");
    const answer = await fetch("/api/credits", { headers: { Authorization: `Bearer ${given}` } }).catch(() => null);
    if (answer?.ok) return signIn(given, remember);
    const problem = await answer?.json().catch(() => null);
    setRefusal(problem?.detail ?? "The server cannot be reached.");
  };
  const claims = readClaims(token.trim());
  return html`<main class="sign-in"><form onSubmit=${submit}>
    <h1><${Mark} /> Taskreel</h1>
    ${ended && html`<p class="notice tone-warn">Your token has expired or was refused. Sign in again.</p>`}
    <label>Token<textarea rows="4" required autocomplete="off" spellcheck="false" value=${token} placeholder="eyJ…" aria-describedby="token-hint" onInput=${(/** @type {any} */ event) => setToken(event.target.value)}></textarea></label>
    <p id="token-hint" class="hint">${claims.sub ? html`It signs in <strong>${claims.sub}</strong>${claims.role ? `, ${claims.role}` : ""}.` : html`A JWT that the API accepts. On a laptop: <code>taskreel token --user me --role admin</code>`}</p>
    <label class="check"><input type="checkbox" checked=${remember} onChange=${(/** @type {any} */ event) => setRemember(event.target.checked)} /> Stay signed in on this device</label>
    ${refusal && html`<p class="notice tone-bad" role="alert">${refusal}</p>`}
    <button class="primary">Sign in</button>
  </form></main>`;
}
