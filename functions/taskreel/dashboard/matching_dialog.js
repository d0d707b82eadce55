/** Act on every job that the filters mean: after a dry run, in the background, with its progress. */

import { html, useEffect, useState } from "./vendor/preact.js";
import { call } from "./api.js";
import { Dialog, Failure, Loading } from "./elements.js";
import { buildOperationFilter } from "./filters.js";
import { countOf, formatCredits } from "./format.js";

const MOST = 100_000;
const POLL_MS = 1000;
/** @type {[string, string, string][]} the API's word, the page's, and the effect */
const ACTIONS = [
  ["cancel", "Cancel", "will end. What is finished of them is charged and stays readable; the rest of what they hold goes back."],
  ["retry", "Retry", "get new attempts under their ids. A job that fails again is not charged."],
  ["replay", "Replay", "are made anew as new jobs. What the old ones have finished is not bought again."],
  ["delete", "Delete", "are removed with their files, for good. The ledger stays."],
];

/** @param {import("./filters.js").Filters} filters */
const suggestAction = (filters) => (filters.status.join() === "FAILED" ? "retry" : filters.status.join() === "COMPLETED" ? "replay" : "cancel");

/** @param {{filters: import("./filters.js").Filters, close: () => void, done: () => void}} props */
export function MatchingDialog({ filters, close, done }) {
  const [action, setAction] = useState(suggestAction(filters));
  const [reason, setReason] = useState("");
  const [forecast, setForecast] = useState(/** @type {any} */ (null));
  const [operation, setOperation] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  // One time for the dry run and the act: both mean the same jobs.
  const [filter] = useState(() => buildOperationFilter(filters, Date.now()));
  useEffect(() => {
    let current = true;
    setForecast(null);
    setError(null);
    call("POST", "/api/operations", { body: { action, filter, limit: MOST, dryRun: true } })
      .then((found) => { if (current) setForecast(found); }, (failure) => { if (current) setError(failure); });
    return () => { current = false; };
  }, [action]);
  const run = async () => {
    try {
      setOperation(await call("POST", "/api/operations", { body: { action, filter, limit: MOST, reason: reason.trim() } }));
    } catch (failure) { setError(failure); }
  };
  const leave = () => { if (operation) done(); close(); };
  const [, verb, effect] = /** @type {[string, string, string]} */ (ACTIONS.find(([name]) => name === action));
  if (operation) return html`<${Dialog} title=${`${verb} every job that matches`} close=${leave}><${Running} first=${operation} leave=${leave} /></${Dialog}>`;
  return html`<${Dialog} title="Every job that matches" close=${leave}>
    <label>Act<select value=${action} onChange=${(/** @type {any} */ event) => setAction(event.target.value)}>${ACTIONS.map(([name, word]) => html`<option key=${name} value=${name}>${word}</option>`)}</select></label>
    ${error && html`<${Failure} error=${error} />`}
    ${!forecast ? !error && html`<${Loading} lines=${2} />` : forecast.eligible === 0 ? html`<p>None of ${countOf(forecast.seen, "matching job")} can be changed so.</p>` : html`
      <p><strong>${forecast.complete ? "" : "At least "}${countOf(forecast.eligible, "job")}</strong> ${effect} ${(action === "retry" || action === "replay") && html`<strong>${formatCredits(forecast.cost)}</strong> will be held.`}</p>
      ${!forecast.complete && html`<p class="hint">The dry run has checked the newest ${forecast.seen.toLocaleString()} of them; all that match are changed, up to ${MOST.toLocaleString()}.</p>`}`}
    ${forecast?.refused > 0 && html`<p class="hint">${countOf(forecast.refused, "job")} will stay as they are: ${Object.entries(forecast.reasons).map(([text, number]) => `${text} (${number})`).join("; ")}</p>`}
    <label>Reason, for the audit log<input maxlength="500" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /></label>
    <div class="buttons"><button onClick=${leave}>Back</button><button class=${action === "cancel" || action === "delete" ? "danger" : "primary"} disabled=${!forecast?.eligible} onClick=${run}>${verb} all</button></div>
  </${Dialog}>`;
}

/** An operation until it has ended. @param {{first: any, leave: () => void}} props */
function Running({ first, leave }) {
  const [operation, setOperation] = useState(first);
  const path = `/api/operations/${operation.operationId}`;
  const ended = !!operation.endedAt;
  useEffect(() => {
    if (ended) return undefined;
    const timer = setInterval(() => { void call("GET", path).then(setOperation, () => {}); }, POLL_MS);
    return () => clearInterval(timer);
  }, [ended]);
  return html`
    <p aria-live="polite"><strong>${countOf(operation.changed, "job")} changed</strong>${operation.refused ? `, ${operation.refused.toLocaleString()} left as they are` : ""}${ended ? `. It is ${operation.state.toLowerCase()}.` : "…"}</p>
    <p class="hint">${ended ? operation.cost ? `${formatCredits(operation.cost)} were held.` : "Nothing was charged for it." : "It runs in the background: this page may be closed."}</p>
    ${operation.refusedJobs.length > 0 && html`<details><summary>Jobs that were left</summary><ul>${operation.refusedJobs.map((/** @type {any} */ one) => html`<li key=${one.jobId}><code>${one.jobId}</code>: ${one.reason}</li>`)}</ul></details>`}
    <div class="buttons">${!ended && html`<button class="danger" onClick=${() => call("POST", `${path}/abort`).then(setOperation, () => {})}>Abort</button>`}<button class="primary" onClick=${leave}>${ended ? "Done" : "Close"}</button></div>`;
}
