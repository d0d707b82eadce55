/** Small forms of users and projects, each with one act; its failure is shown below it. */

import { html, useEffect, useState } from "./vendor/preact.js";
import { call, newKey } from "./api.js";
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

/**
 * Limits that are set at once, with a reason; an empty one is none.
 * @param {{title: string, noun: string, hint: string, path: string, done: () => void,
 *   limits: {name: string, label: string, limit: number | null, least?: number}[]}} props `path`: where they are set, by their names
 */
export function LimitsForm({ title, noun, hint, path, done, limits }) {
  const before = limits.map(({ limit }) => String(limit ?? ""));
  const [texts, setTexts] = useState(before);
  const [reason, setReason] = useState("");
  const act = async () => {
    const order = Object.fromEntries(limits.map(({ name }, place) => [name, texts[place] ? Number(texts[place]) : null]));
    await call("PUT", path, { body: { ...order, reason: reason.trim() } });
    announce(`The ${noun} are changed.`);
    done();
  };
  const changed = texts.some((text, place) => text !== before[place]);
  const change = (/** @type {number} */ changedPlace) => (/** @type {string} */ text) => setTexts((old) => old.map((one, place) => (place === changedPlace ? text : one)));
  return html`<${SmallForm} title=${title} verb=${`Set the ${noun}`} ready=${changed} act=${act} hint=${hint}>
    ${limits.map(({ name, label, least }, place) => html`<${NumberField} key=${name} label=${label} least=${least} value=${texts[place]} placeholder="none" change=${change(place)} />`)}<${Reason} value=${reason} change=${setReason} /></${SmallForm}>`;
}

/** The caps of a user or a project. @param {{caps: any, path: string, done: () => void}} props `path`: where they are set */
export const CapsForm = ({ caps, path, done }) => html`<${LimitsForm} title="Caps on spend" noun="caps" path=${path} done=${done} hint=${`${caps.daily.spent.toLocaleString()} spent today, ${caps.monthly.spent.toLocaleString()} this month (UTC). Empty is no cap.`}
  limits=${[{ name: "daily", label: "A day", limit: caps.daily.limit, least: 0 }, { name: "monthly", label: "A month", limit: caps.monthly.limit, least: 0 }]} />`;

/**
 * A grant to a user or a project.
 * @param {{path: string, to: string, whose: string, mayEnd?: boolean, done: () => void}} props
 */
export function GrantForm({ path, to, whose, mayEnd = true, done }) {
  const [amount, setAmount] = useState("");
  const [reason, setReason] = useState("");
  const [day, setDay] = useState("");
  const [key, setKey] = useState(newKey);
  // Another amount is another grant; the same one sent again is not.
  useEffect(() => setKey(newKey()), [amount, reason, day]);
  const act = async () => {
    const body = { amount: Number(amount), ...(reason.trim() && { reason: reason.trim() }), ...(mayEnd && day && { expiresAt: new Date(`${day}T23:59:59`).toISOString() }) };
    await call("POST", path, { body, headers: { "Idempotency-Key": key } });
    announce(`${Number(amount).toLocaleString()} credits granted to ${to}.`);
    setAmount("");
    done();
  };
  return html`<${SmallForm} title="Grant" verb=${amount ? `Grant ${Number(amount).toLocaleString()} credits` : "Grant credits"} ready=${Number(amount) >= 1} act=${act} hint=${`The grant and its reason are in ${whose} ledger.`}>
    <${NumberField} label="Credits" value=${amount} change=${setAmount} />${mayEnd && html`<label class="compact">Until the end of<input type="date" value=${day} onInput=${(/** @type {any} */ event) => setDay(event.target.value)} /></label>`}<${Reason} value=${reason} change=${setReason} /></${SmallForm}>`;
}
