/** Queues: what waits and runs on each, its limits, and an admin's orders: pause, resume, clear. */

import { html, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, ConfirmDialog, Loading, PageOf, Pill, Time } from "../elements.js";
import { countOf, formatCredits, formatMs, formatSeconds, formatType } from "../format.js";
import { useNow, useReading } from "../reading.js";
import { ROOT } from "../router.js";
import { ACTIVE } from "../statuses.js";

/** @typedef {import("../pages.js").PageProps} PageProps */
/** @typedef {{verb: "pause" | "resume" | "clear", queue: any}} Order */

/** @param {PageProps} props */
export default function Queues({ caller }) {
  const now = useNow();
  const queues = useReading("/api/jobs/queues/stats", { everySeconds: 5 });
  const health = useReading("/api/jobs/health", { everySeconds: 5, accept: [503] });
  const [order, setOrder] = useState(/** @type {Order | null} */ (null));
  const oldest = new Map((health.data?.queues ?? []).map((/** @type {any} */ one) => [one.jobType, one.oldestSeconds]));
  const reload = () => { void queues.reload(); void health.reload(); };
  return html`
    <div class="title"><h1>Queues</h1></div>
    <p class="lead">Each job type has its queue. A paused queue takes jobs and starts none; what runs goes on.</p>
    <${PageOf} reading=${queues} lines=${12}>${(/** @type {any} */ data) => html`
      <div class="table-wrap"><table class="queues">
        <thead><tr><th>Queue</th><th class="number">Waiting</th><th class="number">Running</th><th class="number wide-only">Later</th><th class="number wide-only">Oldest due</th><th class="number wide-only">A minute</th><th class="number wide-only">Wait, run</th><th class="number wide-only">Failed</th><th class="number wide-only" title="Jobs of the type on the queue; tasks that run at a time; tasks that start in a second">Limits</th>${caller.admin && html`<th><span class="hidden">Orders</span></th>`}</tr></thead>
        <tbody>${data.queues.map((/** @type {any} */ queue) => html`<${QueueRow} key=${queue.jobType} queue=${queue} oldest=${oldest.get(queue.jobType) ?? null} most=${data.countedUpTo} now=${now} admin=${caller.admin} give=${(/** @type {Order["verb"]} */ verb) => setOrder({ verb, queue })} />`)}</tbody>
      </table></div>
      <p class="hint">Limits: tasks that run at a time, and tasks that start in a second; the title of a row's limits also says how many jobs may be on the queue. Averages and shares are those of the last hour. A count of ${data.countedUpTo.toLocaleString()}+ means that there are more.</p>`}
    </${PageOf}>
    ${order?.verb === "clear" && html`<${ClearDialog} queue=${order.queue} close=${() => setOrder(null)} done=${reload} />`}
    ${order && order.verb !== "clear" && html`<${PauseDialog} queue=${order.queue} pause=${order.verb === "pause"} close=${() => setOrder(null)} done=${reload} />`}`;
}

/** @param {{queue: any, oldest: number | null, most: number, now: number, admin: boolean, give: (verb: Order["verb"]) => void}} props */
function QueueRow({ queue, oldest, most, now, admin, give }) {
  const { queue: counts, performance, limits, order } = queue;
  const count = (/** @type {number} */ number, /** @type {string} */ status) => number
    ? html`<a href=${`${ROOT}/jobs?status=${status}&type=${queue.jobType}&children=1`}>${number.toLocaleString()}${number >= most ? "+" : ""}</a>` : html`<span class="zero">0</span>`;
  return html`<tr>
    <th scope="row">${formatType(queue.jobType)}${counts.paused && html`<${Pill} text="paused" tone="warn" />`}
      ${order?.paused && html`<small class="why">by ${order.orderedBy} <${Time} at=${order.orderedAt} now=${now} />${order.reason && `: ${order.reason}`}</small>`}</th>
    <td class="number">${count(counts.waiting, "QUEUED,THROTTLED")}</td>
    <td class="number">${count(counts.active, String(ACTIVE))}</td>
    <td class="number wide-only">${count(counts.delayed, "SCHEDULED,RETRYING,BLOCKED")}</td>
    <td class="number wide-only">${oldest === null ? html`<span class="zero">–</span>` : formatSeconds(oldest)}</td>
    <td class="number wide-only">${performance.throughput ? performance.throughput.toLocaleString() : html`<span class="zero">0</span>`}</td>
    <td class="number wide-only">${performance.avgProcessingTime === null ? html`<span class="zero">–</span>` : `${formatMs(performance.avgWaitTime ?? 0)}, ${formatMs(performance.avgProcessingTime)}`}</td>
    <td class="number wide-only">${performance.errorRate === null ? html`<span class="zero">–</span>` : html`<span class=${performance.errorRate >= 0.1 ? "bad" : ""}>${Math.round(performance.errorRate * 100)}%</span>`}</td>
    <td class="number wide-only"><small title=${`${limits.jobs === null ? "No limit on the jobs of the type on the queue" : `At most ${countOf(limits.jobs, "job")} of the type on the queue`}; at most ${countOf(limits.concurrentDispatches, "task")} at a time, and ${limits.dispatchesPerSecond} that start in a second`}>${limits.concurrentDispatches} at a time<br />${limits.dispatchesPerSecond} a second</small></td>
    ${admin && html`<td class="row-buttons">${counts.paused ? html`<button onClick=${() => give("resume")} aria-label=${`Resume ${formatType(queue.jobType)}`}>Resume</button>` : html`<button class="quiet" onClick=${() => give("pause")} aria-label=${`Pause ${formatType(queue.jobType)}`}>Pause…</button>`}<button class="quiet" disabled=${!counts.waiting && !counts.delayed} onClick=${() => give("clear")} aria-label=${`Clear ${formatType(queue.jobType)}`}>Clear…</button></td>`}
  </tr>`;
}

/** @param {{value: string, change: (reason: string) => void}} props */
const Reason = ({ value, change }) => html`<label>Reason, for the audit log<input maxlength="500" value=${value} onInput=${(/** @type {any} */ event) => change(event.target.value)} /></label>`;

/** @param {{queue: any, pause: boolean, close: () => void, done: () => void}} props */
function PauseDialog({ queue, pause, close, done }) {
  const [reason, setReason] = useState("");
  const name = formatType(queue.jobType);
  const act = async () => {
    await call("POST", `/api/jobs/queues/${queue.jobType}/${pause ? "pause" : "resume"}`, { body: { reason: reason.trim() } });
    announce(pause ? `${name} is paused.` : `${name} starts jobs again.`);
    done();
  };
  return html`<${ConfirmDialog} title=${`${pause ? "Pause" : "Resume"} ${name}`} verb=${pause ? "Pause" : "Resume"} close=${close} act=${act}>
    <p>${pause
      ? html`No job of this type starts until it is resumed; <strong>${countOf(queue.queue.active, "job")}</strong> that run go on. New jobs are accepted and hold their credits. It survives restarts.`
      : html`<strong>${countOf(queue.queue.waiting, "job")}</strong> that wait start, in their order, as fast as the queue's limits allow.`}</p>
    <${Reason} value=${reason} change=${setReason} />
  </${ConfirmDialog}>`;
}

/** @param {{queue: any, close: () => void, done: () => void}} props */
function ClearDialog({ queue, close, done }) {
  const [reason, setReason] = useState("");
  const plan = useClearPlan(queue.jobType);
  const name = formatType(queue.jobType);
  const act = async () => {
    const made = await call("DELETE", `/api/jobs/queues/${queue.jobType}/clear`, { body: { reason: reason.trim() } });
    announce(`${countOf(made.cancelled, "job")} cancelled, ${formatCredits(made.refunded)} returned.${made.more ? " Others still wait: clear it again." : ""}`);
    done();
  };
  const dry = plan.data;
  return html`<${ConfirmDialog} title=${`Clear ${name}`} verb=${dry ? `Cancel ${countOf(dry.cancelled, "job")}` : "Cancel jobs"} danger ready=${!!dry && dry.cancelled > 0} close=${close} act=${act}>
    ${plan.error && html`<p class="bad">${plan.error.message}</p>`}
    ${!dry ? !plan.error && html`<${Loading} lines=${2} />` : dry.cancelled === 0 ? html`<p>Nothing waits in this queue now.</p>` : html`
      <p><strong>${countOf(dry.cancelled, "job")}</strong>${dry.more ? ", the newest of those" : ""} that wait${dry.cancelled === 1 && !dry.more ? "s" : ""} or ${dry.cancelled === 1 && !dry.more ? "is" : "are"} scheduled will be cancelled, and <strong>${formatCredits(dry.refunded)}</strong> ${dry.refunded === 1 ? "goes" : "go"} back to the owners.</p>
      <p class="hint">${dry.running ? `${countOf(dry.running, "job")} with work at a provider go on. ` : ""}Running jobs, schedules and jobs that wait for other jobs are not touched. Cancelled jobs cannot be brought back, only submitted or replayed.</p>`}
    ${!queue.queue.paused && html`<p class="hint">The queue is not paused: jobs that arrive or start meanwhile are not counted here.</p>`}
    <${Reason} value=${reason} change=${setReason} />
  </${ConfirmDialog}>`;
}

/** What clearing the queue would do; nothing is changed. @param {string} jobType */
function useClearPlan(jobType) {
  const [plan, setPlan] = useState(/** @type {{data: any, error: any}} */ ({ data: null, error: null }));
  useState(() => {
    call("DELETE", `/api/jobs/queues/${jobType}/clear?dryRun=true`, { body: {} }).then((data) => setPlan({ data, error: null }), (error) => setPlan({ data: null, error }));
  });
  return plan;
}
