/** One sentence that says why a job is where it is. Pure. */

import { countOf, formatCredits, formatDistance, formatSeconds, secondsBetween } from "./format.js";

/**
 * @typedef {{text: string, tone: "wait" | "busy" | "good" | "bad" | "warn" | "off", href?: string, link?: string}} Reason
 * @typedef {{now: number, health?: any, providers?: any[]}} Facts
 */

/** @param {any} job @param {Facts} facts @returns {Reason} */
export function explainJob(job, facts) {
  switch (job.status) {
    case "SCHEDULED": return explainScheduled(job, facts);
    case "BLOCKED": return explainBlocked(job);
    case "THROTTLED": case "QUEUED": return explainWaiting(job, facts);
    case "PROCESSING": return explainProcessing(job, facts);
    case "RETRYING": return explainRetrying(job, facts);
    case "COMPLETED": return explainCompleted(job);
    case "FAILED": return explainFailed(job);
    case "CANCELLED": return { tone: "off", text: `It was cancelled. ${describeSettlement(job)}` };
    case "EXPIRED": return { tone: "off", text: "It could not start before its start deadline, so it was not run and costs nothing." };
    default: return { tone: "off", text: `Its status ${job.status} is newer than this page.` };
  }
}

/** @param {any} job @param {Facts} facts @returns {Reason} */
function explainScheduled(job, { now }) {
  const at = job.nextAttemptAt ?? job.payload?.scheduleAt;
  return { tone: "wait", text: at ? `It was submitted for later and starts ${formatDistance(at, now)}.` : "It was submitted for later." };
}

/** @param {any} job @returns {Reason} */
function explainBlocked(job) {
  const needed = job.payload?.dependsOn ?? [];
  if (!needed.length) return { tone: "wait", text: "It waits for other jobs to end." };
  return {
    tone: "wait",
    text: `It starts when ${needed.length === 1 ? "the job that it depends on has" : `all ${needed.length} jobs that it depends on have`} ended.`,
    href: `/dashboard/jobs/${needed[0].jobId}`,
    link: needed.length === 1 ? "See that job" : "See the first of them",
  };
}

/** @param {any} job @param {Facts} facts @returns {Reason} */
function explainWaiting(job, { now, health, providers }) {
  const queue = health?.queues?.find((/** @type {any} */ one) => one.jobType === job.jobType);
  if (queue?.paused) {
    return { tone: "warn", text: `It waits because the queue ${queue.queue} is paused.`, href: "/dashboard/queues", link: "See the queues" };
  }
  const breaker = findOpenBreaker(job, providers);
  if (breaker) {
    const until = breaker.admitsAt && !breaker.byHand ? `; the next call is allowed ${formatDistance(breaker.admitsAt, now)}` : "";
    return {
      tone: "warn",
      text: `It waits because ${breaker.provider} ${breaker.model} is ${breaker.byHand ? "stopped by an admin" : "paused after failures"}${until}.`,
      href: `/dashboard/providers?text=${encodeURIComponent(`${breaker.provider} ${breaker.model}`)}`,
      link: "See the provider",
    };
  }
  const place = describePlace(job.queue);
  if (place) return { tone: "wait", text: `It waits for room: ${place}` };
  if (job.status === "THROTTLED") {
    return { tone: "wait", text: "It waits for room: its owner, its type or its provider has as many jobs running as are allowed. It starts by itself when one ends." };
  }
  const waited = formatSeconds(Math.max(0, (now - Date.parse(job.statusAt.QUEUED ?? job.createdAt)) / 1000));
  if (queue?.depth > 1) {
    return { tone: "wait", text: `It is one of ${countOf(queue.depth, "task")} on ${queue.queue}, and has waited for ${waited}.` };
  }
  return { tone: "wait", text: `It is on its queue and starts in a moment; it has waited for ${waited}.` };
}

/** The server's own position and estimate. @param {any} queue @returns {string} */
function describePlace(queue) {
  if (!queue || (queue.ahead === null && !queue.startsIn)) return "";
  const ahead = queue.ahead === null ? "" : queue.ahead === 0 ? "it is the next of its type" : `${queue.aheadText ?? queue.ahead} ${queue.ahead === 1 ? "job is" : "jobs are"} ahead of it`;
  if (!queue.startsIn) return `${ahead}.`;
  const times = `about ${formatSeconds(queue.startsIn.p50)} to go, nine times in ten at most ${formatSeconds(queue.startsIn.p90)}`;
  return ahead ? `${ahead}; ${times}.` : `${times}.`;
}

/** @param {any} job @param {any[] | undefined} providers */
function findOpenBreaker(job, providers) {
  const wanted = job.payload?.provider ?? job.servedBy;
  const provider = providers?.find((one) => one.provider === wanted);
  const name = job.payload?.model;
  const model = provider?.models.find((/** @type {any} */ one) => one.name === name || one.aliases?.includes(name));
  if (!model || model.breaker.state !== "open") return null;
  return { ...model.breaker, provider: provider.provider, model: model.name };
}

/** @param {any} job @param {Facts} facts @returns {Reason} */
function explainProcessing(job, { now }) {
  const since = formatSeconds(Math.max(0, (now - Date.parse(job.statusAt.PROCESSING)) / 1000));
  const running = job.steps?.filter((/** @type {any} */ step) => step.status === "running") ?? [];
  if (running.length) {
    const parts = running.map((/** @type {any} */ step) => (step.width > 1 ? `${step.name} (${step.ended} of ${step.width})` : step.name));
    return { tone: "busy", text: `It is making ${joinWords(parts)}, and has run for ${since}.` };
  }
  const again = job.attempt > 1 ? `, attempt ${job.attempt} of ${job.maxAttempts}` : "";
  return { tone: "busy", text: `${job.servedBy ?? "A worker"} works on it since ${since}${again}.` };
}

/** @param {any} job @param {Facts} facts @returns {Reason} */
function explainRetrying(job, { now }) {
  const next = job.nextAttemptAt ? ` Attempt ${job.attempt + 1} of ${job.maxAttempts} starts ${formatDistance(job.nextAttemptAt, now)}.` : "";
  return { tone: "warn", text: `Attempt ${job.attempt} failed: ${trimStop(job.error?.message ?? "no reason was given")}.${next}` };
}

/** @param {any} job @returns {Reason} */
function explainCompleted(job) {
  const sent = job.jobType === "webhook" && job.result;
  if (sent?.milliseconds !== undefined) return { tone: "good", text: `Delivered (${sent.status}) in ${sent.milliseconds} ms.` };
  const end = job.statusAt.COMPLETED;
  const ran = job.statusAt.PROCESSING ? ` in ${formatSeconds(Math.max(0, secondsBetween(job.statusAt.PROCESSING, end)))}` : "";
  const waited = job.statusAt.PROCESSING ? secondsBetween(job.createdAt, job.statusAt.PROCESSING) : 0;
  const wait = waited >= 1 ? `, after a wait of ${formatSeconds(waited)}` : "";
  const by = job.servedBy ? ` by ${joinWords(job.servedBy.split(", "))}` : "";
  return { tone: "good", text: `It was made${by}${ran}${wait}, for ${formatCredits(job.credits.captured)}.` };
}

/** @param {any} job @returns {Reason} */
function explainFailed(job) {
  const error = job.error;
  if (!error) return { tone: "bad", text: `It failed. ${describeSettlement(job)}` };
  const where = error.step ? `Its step ${error.step} failed` : job.attempt > 1 ? `It failed after ${job.attempt} attempts` : "It failed";
  const said = `Step ${error.step} failed: `;
  const message = error.message.startsWith(said) ? error.message.slice(said.length) : error.message;
  const reason = `${where}: ${trimStop(message)}.`;
  const link = error.jobId ? { href: `/dashboard/jobs/${error.jobId}`, link: "See the job that failed" } : {};
  return { tone: "bad", text: `${reason} ${describeSettlement(job)}`, ...link };
}

/** @param {any} job */
function describeSettlement(job) {
  if (job.credits.captured) return `What was finished stays, for ${formatCredits(job.credits.captured)}.`;
  if (job.credits.held) return `${formatCredits(job.credits.held)} are held until it is settled.`;
  return "Nothing was charged.";
}

/** @param {string} text */
const trimStop = (text) => text.trim().replace(/\.$/, "");

/** @param {string[]} words */
const joinWords = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
