/** From the API's lists to what a person should see first. Pure. */

import { countOf, formatType } from "./format.js";
import { isRequestFault } from "./request_faults.js";
import { ACTIVE, WAITING } from "./statuses.js";

const ROOT = "/dashboard";

/**
 * The jobs that wait and run: of all users, or one's own. `more`: there are others beyond the count.
 * @param {any} queues the statistics of all queues @param {any} own one's own statistics, for users
 * @param {boolean} admin @returns {{waiting: {count: number, more: boolean}, active: {count: number, more: boolean}} | null}
 */
export function countOpen(queues, own, admin) {
  const sum = (/** @type {number[]} */ numbers, /** @type {number} */ most) => ({ count: numbers.reduce((total, one) => total + one, 0), more: numbers.some((one) => one >= most) });
  if (admin) {
    if (!queues) return null;
    const numbers = (/** @type {string[]} */ names) => queues.queues.flatMap((/** @type {any} */ row) => names.map((name) => row.queue[name]));
    return { waiting: sum(numbers(["waiting", "delayed"]), queues.countedUpTo), active: sum(numbers(["active"]), queues.countedUpTo) };
  }
  if (!own) return null;
  const numbers = (/** @type {string[]} */ statuses) => statuses.map((status) => own.byStatus[status] ?? 0);
  return { waiting: sum(numbers(WAITING), own.countedUpTo), active: sum(numbers(ACTIVE), own.countedUpTo) };
}

/** The page that shows the cause of an alert, and the text of its link; the queues for all others. A key may name the subject too. @type {Record<string, [string, string]>} */
const PLACES = {
  "error-rate": ["/failures", "See failures"],
  "dead-letters": ["/failures", "See failures"],
  "ambiguous-purchase": ["/failures", "See failures"],
  spend: ["/credits", "See the money"],
  "spend-cap users": ["/users", "See the accounts"],
  "spend-cap projects": ["/projects", "See the projects"],
  credits: ["/users", "See the accounts"],
};

/**
 * What does not go away by itself, the worst first.
 * @param {{health: any, providers: any[] | undefined, failures: FailureKind[], alerts?: any[]}} facts
 * @returns {{key: string, tone: string, title: string, detail: string, href: string, link: string}[]}
 */
export function findPersonalWork({ health, providers, failures, alerts = [] }) {
  const items = [];
  for (const alert of alerts) {
    if (isShownBelow(alert, failures)) continue;
    const [page, link] = PLACES[`${alert.kind} ${alert.subject}`] ?? PLACES[alert.kind] ?? ["/queues", "See the queues"];
    items.push({ key: `${alert.kind} ${alert.subject}`, tone: alert.severity === "WARNING" ? "warn" : "bad", title: `${alert.title}${alert.subject ? ` (${alert.subject})` : ""}`, detail: `${alert.text} ${alert.advice}`, href: `${ROOT}${page}`, link });
  }
  const ambiguous = failures.filter((kind) => kind.code === "ambiguous_create");
  if (ambiguous.length) {
    const count = ambiguous.reduce((sum, kind) => sum + kind.count, 0);
    items.push({ key: "ambiguous", tone: "bad", title: `${countOf(count, "purchase")} without an answer`, detail: "A provider may have charged for work that was never delivered. Compare with its own list of operations.", href: `${ROOT}/jobs/${ambiguous[0].jobId}`, link: "See the newest" });
  }
  for (const queue of health?.queues ?? []) {
    if (queue.paused) items.push({ key: queue.queue, tone: "warn", title: `${queue.jobType ? formatType(queue.jobType) : queue.queue} is paused`, detail: `${queue.queue} sends no task; ${countOf(queue.depth ?? 0, "task")} wait.`, href: `${ROOT}/queues`, link: "See the queues" });
  }
  for (const provider of providers ?? []) {
    const open = provider.models.filter((/** @type {any} */ model) => model.breaker.state === "open");
    if (open.length) items.push({ key: provider.provider, tone: "warn", title: `${provider.provider}: ${countOf(open.length, "model")} stopped`, detail: open.slice(0, 3).map((/** @type {any} */ model) => `${model.name} ${model.breaker.byHand ? "by an admin" : "after failures"}`).join(", "), href: `${ROOT}/providers?state=open`, link: "See providers" });
  }
  for (const kind of failures) {
    if (kind.code === "ambiguous_create") continue;
    const place = kind.count === 1 && kind.jobId ? { href: `${ROOT}/jobs/${kind.jobId}`, link: "See the job" } : { href: kind.href, link: kind.link };
    const rate = alerts.find((alert) => alert.kind === "error-rate" && isCauseOf(kind, alert, failures));
    items.push({ key: kind.key, tone: "bad", title: `${kind.least ? "at least " : ""}${countOf(kind.count, "job")} failed: ${kind.message}`, detail: kind.types.map(formatType).join(", ") + (rate ? `. ${rate.text}` : ""), ...place });
  }
  return items;
}

/**
 * Tell if the other rows show what an alert is about, with its cause: the paused models of providers,
 * the purchases without an answer, and the kinds of failures.
 * @param {any} alert @param {FailureKind[]} failures
 */
function isShownBelow(alert, failures) {
  switch (alert.kind) {
    case "breaker-open": return true;
    case "ambiguous-purchase": return failures.some((kind) => kind.code === "ambiguous_create");
    case "dead-letters": return failures.some((kind) => kind.code !== "ambiguous_create");
    case "error-rate": return failures.some((kind) => isCauseOf(kind, alert, failures));
    default: return false;
  }
}

/** Tell if a kind of failures is the most frequent one of the type that fails often. @param {FailureKind} kind @param {any} alert @param {FailureKind[]} failures */
const isCauseOf = (kind, alert, failures) => kind === failures.find((one) => one.code !== "ambiguous_create" && one.types.includes(alert.subject));

/**
 * @typedef {{key: string, code: string, message: string, count: number, least: boolean, types: string[], jobId: string | undefined,
 *   href: string, link: string}} FailureKind failures of one cause; `least`: there may be more. `jobId`: the newest
 */

/**
 * An admin's failures of the last day: those that wait for a redrive. What a request explains is its
 * user's to correct: it is only counted.
 * @param {any[]} groups the API's dead letters @param {string} since
 * @returns {{failures: FailureKind[], explained: number}}
 */
export function sortDeadLetters(groups, since) {
  const open = groups.filter((group) => group.open > 0 && group.lastSeenAt >= since);
  const failures = open.filter((group) => !isRequestFault(group.code, group.jobType)).map((group) => ({
    key: group.fingerprint, code: group.code, message: shorten(group.message), count: group.open, least: false, types: [group.jobType],
    jobId: group.jobIds[0], href: `${ROOT}/failures`, link: "See failures",
  }));
  const explained = open.filter((group) => isRequestFault(group.code, group.jobType)).reduce((sum, group) => sum + group.open, 0);
  return { failures: failures.sort((one, other) => other.count - one.count), explained };
}

/**
 * A user's own failures, also those that only an operator can correct.
 * @param {any[]} failed the newest failed jobs, `most` of them at most @param {number} most @returns {FailureKind[]}
 */
export const sortFailedJobs = (failed, most) => groupErrors(failed).map((group) => {
  const types = [...new Set(group.jobs.map((/** @type {any} */ job) => job.jobType))];
  return {
    key: group.key, code: group.jobs[0].error.code, message: group.message, count: group.jobs.length, least: failed.length >= most, types,
    jobId: group.jobs[0].jobId, href: `${ROOT}/jobs?status=FAILED&since=24h${types.length === 1 ? `&type=${types[0]}` : ""}`, link: "See the jobs",
  };
});

/**
 * Failed jobs that have the same cause: their messages differ in numbers and names at most. The
 * jobs of a pipeline fail with it, so it is not counted beside them.
 * @param {any[]} jobs
 */
export function groupErrors(jobs) {
  const blamed = new Set(jobs.map((job) => job.error?.jobId).filter(Boolean));
  /** @type {Map<string, {key: string, message: string, jobs: any[]}>} */ const groups = new Map();
  for (const job of jobs) {
    if (!job.error || (job.error.jobId && jobs.some((one) => one.jobId === job.error.jobId && blamed.has(one.jobId)))) continue;
    const key = `${job.error.code} ${normalise(job.error.message)}`;
    const group = groups.get(key) ?? { key, message: shorten(job.error.message), jobs: [] };
    group.jobs.push(job);
    groups.set(key, group);
  }
  return [...groups.values()].sort((one, other) => other.jobs.length - one.jobs.length);
}

/** @param {string} message */
const normalise = (message) => message.replace(/https?:\S+/g, "…").replace(/job_\w+/g, "…").replace(/\d+/g, "0").slice(0, 120);
/** @param {string} message */
const shorten = (message) => (message.length > 110 ? `${message.slice(0, 110)}…` : message.replace(/\.$/, ""));
