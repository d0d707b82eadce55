/** One job: why it is where it is, its results, its way, its steps, and what can be done with it. */

import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, CopyButton, Dialog, Failure, Json, Loading, Preview, Progress, StatusPill, Time } from "../elements.js";
import { describeCredits, formatCredits, formatFullTime, formatSeconds, formatTime, formatType, formatUsd } from "../format.js";
import { BulkDialog, ReplayDialog } from "../job_actions.js";
import { explainJob } from "../job_reason.js";
import { live } from "../live.js";
import { StepGraph } from "../step_graph.js";
import { ResultText } from "../result_text.js";
import { useNow, useReading, useTitle } from "../reading.js";
import { go, ROOT } from "../router.js";
import { ACTIVE, canCancel, canReplay, canRetry, describeStatus, hasEnded, WAITING } from "../statuses.js";

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
  if (!job) return html`<nav class="crumbs" aria-label="Way back"><a href=${`${ROOT}/jobs`}>Jobs</a></nav><h1>Job</h1><${Failure} error=${error} retry=${reload} /><p><a href=${`${ROOT}/jobs`}>All jobs</a></p>`;
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
        ${canCancel(job) && html`<button class="danger" onClick=${() => setDialog("cancel")}>Cancel…</button>`}
        ${canRetry(job) && html`<button class="primary" onClick=${() => setDialog("retry")}>Retry…</button>`}
        ${canReplay(job) && html`<button onClick=${() => setDialog("replay")}>Replay with changes…</button>`}
        ${job.replayOf && html`<a class="button" href=${`${ROOT}/compare?a=${job.replayOf}&b=${job.jobId}`}>Compare with the original</a>`}
        ${hasEnded(job) && !job.parentId && html`<button class="quiet" onClick=${() => setDialog("delete")}>Delete…</button>`}
      </div>
    </section>
    <div class="job-columns">
      <div>
        <${Results} job=${job} prompt=${title} />
        ${job.steps.length > 0 && html`<section><h2>Steps</h2><${StepGraph} job=${job} /></section>`}
        <section><h2>Timeline</h2><${Timeline} job=${job} now=${now} /><${History} job=${job} now=${now} /></section>
        <section><h2>Payload</h2><${Json} value=${job.payload} name="Payload" /></section>
      </div>
      <aside><${Facts} job=${job} now=${now} /></aside>
    </div>
    ${(dialog === "cancel" || dialog === "retry") && html`<${BulkDialog} act=${dialog} jobs=${[job]} close=${() => setDialog("")} done=${reload} />`}
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

/** The times of its statuses on one axis. @param {{job: any, now: number}} props */
function Timeline({ job, now }) {
  const stops = useMemo(() => Object.entries(job.statusAt).map(([status, at]) => ({ status, at: Date.parse(/** @type {string} */ (at)) })).sort((one, other) => one.at - other.at), [job]);
  const start = Math.min(Date.parse(job.createdAt), stops[0]?.at ?? now);
  const ended = hasEnded(job);
  const end = Math.max(ended ? stops.at(-1)?.at ?? now : now, start + 1);
  const share = (/** @type {number} */ at) => Math.min(100, (100 * (at - start)) / (end - start));
  return html`<div class="timeline">
    <div class="bar" aria-hidden="true">${stops.map((stop, index) => {
      const until = stops[index + 1]?.at ?? end;
      return html`<span key=${stop.status} class=${`tone-${describeStatus(stop.status).tone}`} title=${`${describeStatus(stop.status).word}: ${formatSeconds((until - stop.at) / 1000)}`} style=${{ left: `${share(stop.at)}%`, width: `${Math.max(0.6, share(until) - share(stop.at))}%` }}></span>`;
    })}</div>
    <div class="scale" aria-hidden="true"><span>${formatTime(new Date(start).toISOString(), now)}</span><span>${formatSeconds((end - start) / 1000)}</span></div>
    <ol>
      ${stops.map((stop, index) => {
        const until = stops[index + 1]?.at ?? (ended ? null : end);
        return html`<li key=${stop.status}><${StatusPill} status=${stop.status} /><time title=${formatFullTime(new Date(stop.at).toISOString())}>${formatTime(new Date(stop.at).toISOString(), now)}</time><span>${until === null ? "" : `for ${formatSeconds((until - stop.at) / 1000)}`}</span></li>`;
      })}
      ${job.tried.map((/** @type {any} */ one, /** @type {number} */ index) => html`<li key=${`tried-${index}`} class="attempt"><span class="bad">${one.provider} failed</span><span>${one.error?.message ?? one.message ?? one.code ?? ""}</span></li>`)}
      ${job.error && html`<li class="attempt"><span class="bad">Attempt ${job.error.details.attempt} of ${job.maxAttempts}</span><span>${job.error.message} <code>${job.error.code}</code></span></li>`}
    </ol>
  </div>`;
}

/** Each change of status with who caused it, and every failed attempt; read when it is opened. @param {{job: any, now: number}} props */
function History({ job, now }) {
  const [open, setOpen] = useState(false);
  const { data, error, reload } = useReading(open ? `/api/jobs/${job.jobType}/${job.jobId}/history` : null);
  useEffect(() => { if (open) void reload(); }, [job.status, job.attempt]);
  return html`<details onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}><summary>All changes and attempts</summary>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${open && !data && !error && html`<${Loading} lines=${3} />`}
    ${data && html`<div class="table-wrap"><table><thead><tr><th>Change</th><th>When</th><th>By</th><th class="number">Attempt</th><th class="wide-only">Facts</th></tr></thead><tbody>
      ${data.changes.map((/** @type {any} */ one, /** @type {number} */ index) => html`<tr key=${index}><td><${StatusPill} status=${one.status} /></td><td title=${formatFullTime(one.at)}>${formatTime(one.at, now)}</td><td>${one.by}</td><td class="number">${one.attempt || "–"}</td><td class="wide-only">${one.code && html`<code>${one.code}</code> `}${one.credits !== undefined && `${formatCredits(one.credits)} `}${one.costUsd !== undefined && formatUsd(one.costUsd)}</td></tr>`)}
      ${data.failedAttempts.map((/** @type {any} */ one, /** @type {number} */ index) => html`<tr key=${`failed-${index}`}><td class="bad">Failed call</td><td title=${formatFullTime(one.at)}>${formatTime(one.at, now)}</td><td>${one.provider ?? "–"}${one.model ? ` ${one.model}` : ""}</td><td class="number">${one.attempt}</td><td class="wide-only">${one.message} <code>${one.code}</code>${one.answer && html`<details><summary>The provider's answer</summary><pre>${one.answer}</pre></details>`}</td></tr>`)}
    </tbody></table></div>`}
  </details>`;
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
