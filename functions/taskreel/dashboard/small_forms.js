/** Small forms of users and projects, each with one act; its failure is shown below it. */

import { html, useState } from "./vendor/preact.js";
import { call } from "./api.js";
import { announce } from "./elements.js";

/**
 * A small form whose failure is shown below it.
 * @param {{title: string, hint: any, verb: string, ready: boolean, act: () => Promise<void>, children?: any}} props
 */
export function SmallForm({ title, hint, verb, ready, act, children }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await act();
      setError(null);
    } catch (failure) { setError(failure); }
    setBusy(false);
  };
  return html`<form class="small-form" onSubmit=${submit}><h3>${title}</h3>${children}<p class="hint">${hint}</p>${error && html`<p class="field-error" role="alert">${error.message}</p>`}<button disabled=${!ready || busy}>${verb}</button></form>`;
}

/** @param {{label: string, value: string, change: (text: string) => void, least?: number, placeholder?: string}} props */
export const NumberField = ({ label, value, change, least = 1, placeholder = "" }) => html`<label class="compact">${label}<input type="number" min=${least} step="1" value=${value} placeholder=${placeholder} onInput=${(/** @type {any} */ event) => change(event.target.value)} /></label>`;
/** @param {{value: string, change: (text: string) => void}} props */
export const Reason = ({ value, change }) => html`<label class="compact">Reason<input maxlength="500" value=${value} onInput=${(/** @type {any} */ event) => change(event.target.value)} /></label>`;

/** The caps of a user or a project. @param {{caps: any, path: string, done: () => void}} props `path`: where they are set */
export function CapsForm({ caps, path, done }) {
  const [daily, setDaily] = useState(caps.daily.limit === null ? "" : String(caps.daily.limit));
  const [monthly, setMonthly] = useState(caps.monthly.limit === null ? "" : String(caps.monthly.limit));
  const [reason, setReason] = useState("");
  const act = async () => {
    await call("PUT", path, { body: { daily: daily ? Number(daily) : null, monthly: monthly ? Number(monthly) : null, reason: reason.trim() } });
    announce("The caps are changed.");
    done();
  };
  const changed = daily !== String(caps.daily.limit ?? "") || monthly !== String(caps.monthly.limit ?? "");
  return html`<${SmallForm} title="Caps on spend" verb="Set the caps" ready=${changed} act=${act} hint=${`${caps.daily.spent.toLocaleString()} spent today, ${caps.monthly.spent.toLocaleString()} this month (UTC). Empty is no cap.`}>
    <${NumberField} label="A day" least=${0} value=${daily} placeholder="none" change=${setDaily} /><${NumberField} label="A month" least=${0} value=${monthly} placeholder="none" change=${setMonthly} /><${Reason} value=${reason} change=${setReason} /></${SmallForm}>`;
}
