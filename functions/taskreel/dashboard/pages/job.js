/** One job: why it is where it is, its results, its way, its steps, and what can be done with it. */

import { html, useEffect, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, CopyButton, Dialog, Failure, Json, Loading, Preview, Progress, StatusPill, Time } from "../elements.js";
import { describeCredits, formatCredits, formatType, formatUsd } from "../format.js";
import { BulkDialog } from "../bulk_dialog.js";
import { ReplayDialog } from "../replay_dialog.js";
import { explainJob } from "../job_reason.js";
import { JobTimeline } from "../job_timeline.js";
import { live } from "../live.js";
import { StepGraph } from "../step_graph.js";
import { ResultText } from "../result_text.js";
import { useNow, useReading, useTitle } from "../reading.js";
import { mayChange, mayDelete } from "../rights.js";
import { go, ROOT } from "../router.js";
import { ACTIVE, canCancel, canReplay, canRetry, hasEnded, WAITING } from "../statuses.js";

/** How often a job is read again that is not in the caller's own stream of events. */
const OTHERS_SECONDS = 3;

/** @param {{id: string, caller: any}} props */
export default function JobPage({ id, caller }) {
  const [foreign, setForeign] = useState(false);
  const { data: job, error, loading, reload } = useReading(`/api/jobs/${id}`, { everySeconds: foreign ? OTHERS_SECONDS : 0 });
  const waits = job && WAITING.includes(job.status);
  const health = useReading(waits ? "/api/jobs/health" : null, { everySeconds: 10, accept: [503] });
  const providers = useReading(waits ? "/api/providers" : null, { everySeconds: 30 });
  const now = useNow();
  const [dialog, setDialog] = useState("");
  useEffect(() => live.subscribe((jobs) => {
    if (jobs.some((one) => one.jobId === id || one.parentId === id)) void reload();
  }), [id, reload]);
  // The stream has the caller's own jobs only; an ended job does not change.
  useEffect(() => setForeign(!!job && job.userId !== caller.userId && !hasEnded(job)), [job]);
  const title = useTitle(job);
  if (loading) return html`<${Loading} lines=${8} />`;
  if (!job) return html`<nav class="crumbs" aria-label="Way back"><a href=${`${ROOT}/jobs`}>Jobs</a></nav><h1>Job</h1><${Failure} error=${error} retry=${error.status === 404 ? undefined : reload} /><p><a href=${`${ROOT}/jobs`}>All jobs</a></p>`;
  const reason = explainJob(job, { now, health: health.data, providers: providers.data?.providers });
  return html`
    <nav class="crumbs" aria-label="Way back"><a href=${`${ROOT}/jobs`}>Jobs</a>${job.parentId && html` / <a href=${`${ROOT}/jobs/${job.parentId}`}>Pipeline</a>`}</nav>
    <div class="title job-title"><div><h1>${shorten(title, 160)}</h1><p class="hint">${formatType(job.jobType)} · <code>${job.jobId}</code> <${CopyButton} text=${job.jobId} label="Copy id" /></p></div></div>
    ${error && html`<${Failure} error=${error} />`}
    <section class=${`reason tone-${reason.tone}`} aria-live="polite">
      <${StatusPill} status=${job.status} />
      <p>${reason.text} ${reason.href && html`<a href=${reason.href}>${reason.link}</a>`}</p>
      ${ACTIVE.includes(job.status) && html`<${Progress} percent=${job.progress} label="Progress" />`}
      <div class="buttons">
        ${canCancel(job) && mayChange(caller, job) && html`<button class="danger" onClick=${() => setDialog("cancel")}>Cancel…</button>`}
        ${canRetry(job) && mayChange(caller, job) && html`<button class="primary" onClick=${() => setDialog("retry")}>Retry…</button>`}
        ${canReplay(job) && mayChange(caller, job) && html`<button onClick=${() => setDialog("replay")}>Replay with changes…</button>`}
        ${job.replayOf && html`<a class="button" href=${`${ROOT}/compare?a=${job.replayOf}&b=${job.jobId}`}>Compare with the original</a>`}
        ${hasEnded(job) && !job.parentId && mayDelete(caller, job) && html`<button class="quiet" onClick=${() => setDialog("delete")}>Delete…</button>`}
      </div>
    </section>
    <div class="job-columns">
      <div>
        <${Results} job=${job} prompt=${title} />
        ${job.steps.length > 0 && html`<section><h2>Steps</h2><${StepGraph} job=${job} /></section>`}
        <section><h2>Timeline</h2><${JobTimeline} job=${job} now=${now} /></section>
        <section><h2>Payload</h2><${Json} value=${job.payload} name="Payload" /></section>
      </div>
      <aside><${Facts} job=${job} now=${now} /></aside>
    </div>
    ${(dialog === "cancel" || dialog === "retry") && html`<${BulkDialog} act=${dialog} jobs=${[job]} caller=${caller} close=${() => setDialog("")} done=${reload} />`}
    ${dialog === "replay" && html`<${ReplayDialog} job=${job} close=${() => setDialog("")} />`}
    ${dialog === "delete" && html`<${DeleteDialog} job=${job} close=${() => setDialog("")} />`}`;
}

/** @param {string} text @param {number} most */
const shorten = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** @param {{job: any, prompt: string}} props */
function Results({ job, prompt }) {
  const artifacts = job.result?.artifacts ?? [];
  const { artifacts: _, items, ...facts } = job.result ?? {};
  if (!job.result) return null;
  return html`<section><h2>${job.status === "COMPLETED" ? "Result" : "What was finished"}</h2>
    ${artifacts.length > 0 && html`<div class=${`previews count-${Math.min(artifacts.length, 3)}`}>${artifacts.map((/** @type {any} */ one, /** @type {number} */ index) => html`<${Preview} key=${one.name} artifact=${one} label=${items?.[index]?.prompt ?? prompt ?? one.name} />`)}</div>`}
    <${ResultText} facts=${facts} />
    ${items && html`<details><summary>${items.length} units</summary><table><thead><tr><th class="number">#</th><th>State</th><th>Provider</th><th>Files or error</th></tr></thead><tbody>${items.map((/** @type {any} */ item) => html`<tr key=${item.index}><td class="number">${item.index + 1}</td><td>${item.status}</td><td>${item.servedBy}</td><td>${item.error ? html`<span class="bad">${item.error.message}</span>` : item.artifacts.join(", ")}</td></tr>`)}</tbody></table></details>`}
  </section>`;
}

/** @param {{job: any, now: number}} props */
function Facts({ job, now }) {
  /** @type {[string, any][]} */
  const rows = [
    ["Created", html`<${Time} at=${job.createdAt} now=${now} />`],
    ["User", html`<a href=${`${ROOT}/jobs?user=${encodeURIComponent(job.userId)}`}>${job.userId}</a>`],
    ["Project", job.projectId && html`<a href=${`${ROOT}/jobs?project=${encodeURIComponent(job.projectId)}`}>${job.projectId}</a>`],
    ["Type", html`<a href=${`${ROOT}/jobs?type=${job.jobType}`}>${formatType(job.jobType)}</a>`],
    ["Provider", job.servedBy],
    ["Model", job.payload?.model],
    ["Priority", job.priority],
    ["Attempts", `${job.attempt} of ${job.maxAttempts}`],
    ["Credits", describeCredits(job.credits)],
    ["Provider's charge", job.costUsd !== null && `${formatUsd(job.costUsd)}${job.costEstimated ? " (estimated)" : ""}`],
    ["Step", job.step && `${job.step}${job.index !== null ? `, ${job.index + 1}` : ""}`],
    ["Replay of", job.replayOf && html`<a href=${`${ROOT}/jobs/${job.replayOf}`}>the original</a>`],
  ];
  return html`<section class="facts"><h2>Facts</h2><dl>${rows.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${job.error && html`<h3>Error</h3><dl><div><dt>Code</dt><dd><code>${job.error.code}</code></dd></div><div><dt>Kind</dt><dd>${job.error.category}</dd></div><div><dt>When</dt><dd><${Time} at=${job.error.timestamp} now=${now} /></dd></div></dl>`}
  </section>`;
}

/** @param {{job: any, close: () => void}} props */
function DeleteDialog({ job, close }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const run = async () => {
    try {
      await call("DELETE", `/api/jobs/${job.jobType}/${job.jobId}`);
      announce("The job was deleted.");
      go(`${ROOT}/jobs`);
    } catch (failure) { setError(failure); }
  };
  return html`<${Dialog} title="Delete this job" close=${close}>
    <p>The job and its files are removed, for good. The ledger stays: ${formatCredits(job.credits.captured)} charged.</p>
    ${error && html`<${Failure} error=${error} />`}
    <div class="buttons"><button onClick=${close}>Back</button><button class="danger" onClick=${run}>Delete</button></div>
  </${Dialog}>`;
}
