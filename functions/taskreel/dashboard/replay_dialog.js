/** Replay a job with another payload, and what a submission costs before it is made. */

import { html, useEffect, useMemo, useState } from "./vendor/preact.js";
import { call, newKey } from "./api.js";
import { announce, Dialog, Failure, Loading } from "./elements.js";
import { formatCredits, formatType, formatUsd } from "./format.js";
import { useReading } from "./reading.js";
import { go, ROOT } from "./router.js";
import { SchemaForm } from "./schema_form.js";
import { buildMergePatch, readFields, renameAliases } from "./schema_fields.js";

/** @param {any} job */
export const pathOf = (job) => `/api/jobs/${job.jobType}/${job.jobId}`;

/**
 * Replay a job, with another payload if wanted: the form of its type, and what it will cost.
 * @param {{job: any, close: () => void}} props
 */
export function ReplayDialog({ job, close }) {
  const types = useReading("/api/jobs/types");
  const type = types.data?.jobTypes.find((/** @type {any} */ one) => one.jobType === job.jobType);
  const [changed, setValues] = useState(/** @type {any} */ (null));
  const [fromStep, setFromStep] = useState("");
  const payload = job.payload ?? {};
  const values = changed ?? renameAliases(type?.schema ?? {}, payload);
  const edit = useMemo(() => changed && buildMergePatch(payload, changed), [changed]);
  const body = useMemo(() => ({ ...(edit && { edit }), ...(fromStep && { fromStep }) }), [edit, fromStep]);
  const quote = useQuote(`${pathOf(job)}/replay`, body, !!type);
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const submit = async () => {
    setBusy(true);
    try {
      const made = await call("POST", `${pathOf(job)}/replay`, { body, headers: { "Idempotency-Key": newKey() } });
      announce("A new job was created from this one.");
      close();
      go(`${ROOT}/compare?a=${job.jobId}&b=${made.jobId}`);
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return html`<${Dialog} title="Replay with changes" close=${close} wide>
    <p class="hint">A new job of ${formatType(job.jobType)}. What this one finished and your changes leave alone is not bought again.</p>
    ${job.steps?.length > 0 && html`<label>Repeat from step<select value=${fromStep} onChange=${(/** @type {any} */ event) => setFromStep(event.target.value)}><option value="">Only what the changes need</option>${job.steps.map((/** @type {any} */ step) => html`<option key=${step.name} value=${step.name}>${step.name}</option>`)}</select></label>`}
    ${type ? html`<${SchemaForm} fields=${readFields(type.schema)} example=${renameAliases(type.schema, { ...type.example, ...payload })} values=${values} change=${setValues} errors=${shiftPaths((error ?? quote.error)?.errors)} />` : html`<${Loading} />`}
    ${edit && html`<details class="changes" open><summary>Changes</summary><pre>${JSON.stringify(edit, null, 2)}</pre></details>`}
    ${error && html`<${Failure} error=${error} />`}
    <div class="buttons"><${QuoteLine} quote=${quote} /><button onClick=${close}>Back</button><button class="primary" disabled=${busy || !type || !!quote.error} onClick=${submit}>Replay</button></div>
  </${Dialog}>`;
}

/** A replay's errors are at `edit.prompt`; the form's field is `prompt`. @param {any[] | undefined} errors */
const shiftPaths = (errors) => (errors ?? []).map((one) => ({ ...one, path: one.path.replace(/^edit\./, "") }));

/**
 * The cost of a submission, asked again when it has not changed for a moment.
 * @param {string} path @param {any} body @param {boolean} ready
 * @returns {{quote: any, error: any, loading: boolean}}
 */
export function useQuote(path, body, ready) {
  const [state, setState] = useState(/** @type {any} */ ({ quote: null, error: null, loading: true }));
  const text = JSON.stringify(body);
  useEffect(() => {
    if (!ready) return undefined;
    let current = true;
    setState((/** @type {any} */ old) => ({ ...old, loading: true }));
    const timer = setTimeout(async () => {
      try {
        const quote = await call("POST", `${path}?validateOnly=true`, { body: JSON.parse(text) });
        if (current) setState({ quote, error: null, loading: false });
      } catch (error) {
        if (current) setState({ quote: null, error, loading: false });
      }
    }, 350);
    return () => { current = false; clearTimeout(timer); };
  }, [path, text, ready]);
  return state;
}

/** @param {{quote: {quote: any, error: any, loading: boolean}}} props */
export function QuoteLine({ quote: { quote, error, loading } }) {
  if (error) return html`<p class="quote tone-bad" aria-live="polite"><strong>${error.status === 422 || error.status === 400 ? "Something is wrong" : "Refused"}</strong><small>${error.message}</small></p>`;
  if (!quote) return html`<p class="quote" aria-live="polite"><strong>${loading ? "…" : ""}</strong></p>`;
  const after = quote.credits.available - quote.cost;
  return html`<p class=${`quote ${quote.credits.sufficient ? "" : "tone-bad"}`} aria-live="polite">
    <strong>${quote.cost === 0 ? "Free" : formatCredits(quote.cost)}${quote.usd ? html` <span class="usd">≈ ${formatUsd(quote.usd)} at the provider</span>` : ""}</strong>
    <small>${quote.credits.sufficient ? `${after.toLocaleString()} left afterwards` : quote.credits.reason || `You have ${quote.credits.available.toLocaleString()}, which is not enough`}${quote.servedBy ? ` · served by ${quote.servedBy}` : ""}</small>
  </p>`;
}
