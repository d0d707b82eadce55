/** Cancel, retry or replay several jobs, after saying how many may be and what that costs. */

import { html, useEffect, useState } from "./vendor/preact.js";
import { call, newKey } from "./api.js";
import { announce, Dialog } from "./elements.js";
import { countOf, formatCredits } from "./format.js";
import { mayChange } from "./rights.js";
import { pathOf } from "./replay_dialog.js";
import { canCancel, canReplay, canRetry } from "./statuses.js";

/** @typedef {"cancel" | "retry" | "replay"} Act */
const AT_ONCE = 6;

/** @type {Record<Act, {verb: string, done: string, can: (job: any) => boolean, others: string, none: string, run: (job: any) => Promise<any>}>} */
const ACTS = {
  cancel: { verb: "Cancel", done: "cancelled", can: canCancel, others: "already ended, or not yours to change", none: "None of them can be cancelled: all have ended.", run: (job) => call("DELETE", pathOf(job)) },
  retry: { verb: "Retry", done: "started again", can: canRetry, others: "not failed, part of a pipeline, or not yours to change", none: "None of them can be retried: only failed jobs can, and a pipeline's jobs only as a whole.", run: (job) => call("POST", `${pathOf(job)}/retry`) },
  replay: { verb: "Replay", done: "replayed", can: canReplay, others: "not ended, part of a pipeline, or not yours to change", none: "None of them can be replayed: only ended jobs can, and a pipeline's jobs only as a whole.", run: (job) => call("POST", `${pathOf(job)}/replay`, { body: {}, headers: { "Idempotency-Key": newKey() } }) },
};

/** Run something for each job, a few at a time. @param {any[]} jobs @param {(job: any) => Promise<void>} work */
async function forEachJob(jobs, work) {
  const waiting = [...jobs];
  const loop = async () => { for (let job = waiting.shift(); job; job = waiting.shift()) await work(job); };
  await Promise.all(Array.from({ length: AT_ONCE }, loop));
}

/** @param {{act: Act, jobs: any[], caller: import("./rights.js").Caller, close: () => void, done: () => void}} props */
export function BulkDialog({ act, jobs, caller, close, done }) {
  const { verb, can, run, others, none, done: word } = ACTS[act];
  // Those that it was opened for, whatever the stream says meanwhile.
  const [able] = useState(() => jobs.filter((job) => can(job) && mayChange(caller, job)));
  const cost = useCost(act, able);
  const [progress, setProgress] = useState(-1);
  const [failures, setFailures] = useState(/** @type {{job: any, error: any}[]} */ ([]));
  const runAll = async () => {
    setProgress(0);
    /** @type {{job: any, error: any}[]} */ const failed = [];
    await forEachJob(able, async (job) => {
      try { await run(job); } catch (error) { failed.push({ job, error }); }
      setProgress((count) => count + 1);
    });
    done();
    const succeeded = able.length - failed.length;
    if (succeeded) announce(`${countOf(succeeded, "job")} ${word}.`);
    if (failed.length) setFailures(failed);
    else close();
  };
  const left = jobs.length - able.length;
  return html`<${Dialog} title=${`${verb} ${countOf(able.length, "job")}`} close=${close}>
    ${failures.length ? html`<p>${countOf(failures.length, "job")} could not be changed:</p><ul>${failures.map(({ job, error }) => html`<li key=${job.jobId}><code>${job.jobId}</code>: ${error.message}</li>`)}</ul>` : html`
      <p>${able.length ? html`<${Effect} act=${act} count=${able.length} cost=${cost} />` : none}</p>
      ${left > 0 && able.length > 0 && html`<p class="hint">${countOf(left, "selected job")} ${left === 1 ? "is" : "are"} left as ${left === 1 ? "it is" : "they are"}: ${others}.</p>`}
      ${progress >= 0 && html`<progress max=${able.length} value=${progress} aria-label="Progress"></progress>`}
      <div class="buttons"><button onClick=${close}>Back</button><button class=${act === "cancel" ? "danger" : "primary"} disabled=${!able.length || progress >= 0 || cost === null} onClick=${runAll}>${verb} ${countOf(able.length, "job")}</button></div>`}
  </${Dialog}>`;
}

/** @param {{act: Act, count: number, cost: number | null}} props */
function Effect({ act, count, cost }) {
  const sum = cost === null ? "…" : formatCredits(cost);
  const one = count === 1;
  if (act === "cancel") return html`${one ? "It ends" : "They end"} now. What is finished of ${one ? "it" : "them"} is charged and stays readable; the rest of <strong>${sum}</strong> held goes back.`;
  if (act === "retry") return html`New attempts under the same ids. About <strong>${sum}</strong> will be held; a job that fails again is not charged.`;
  return html`${one ? "A new job" : "New jobs"} with the same payload${one ? "" : "s"}. <strong>${sum}</strong> will be held: what the old ${one ? "one has" : "ones have"} finished is not bought again.`;
}

/** The credits that it moves; null while they are asked for. @param {Act} act @param {any[]} able @returns {number | null} */
function useCost(act, able) {
  // What a settled job had held is what its next round will hold: its charge and what came back.
  const known = act === "replay" ? null : able.reduce((sum, job) => sum + (act === "retry" ? job.credits.released : job.credits.held), 0);
  const [quoted, setQuoted] = useState(/** @type {number | null} */ (null));
  useEffect(() => {
    if (act !== "replay") return;
    let sum = 0;
    // One that cannot be quoted cannot be replayed either, and says so when it is tried.
    void forEachJob(able, async (job) => {
      sum += await call("POST", `${pathOf(job)}/replay?validateOnly=true`, { body: {} }).then((quote) => quote.cost, () => 0);
    }).then(() => setQuoted(sum));
  }, []);
  return act === "replay" ? quoted : known;
}
