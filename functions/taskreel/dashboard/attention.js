/** From the API's lists to what a person should see first. Pure. */

import { countOf, formatType } from "./format.js";
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

/**
 * What does not go away by itself, the worst first.
 * @param {{health: any, providers: any[] | undefined, failed: any[] | undefined, most: number, admin?: boolean}} facts
 *   an admin is led to where failures are redriven
 * @returns {{key: string, tone: string, title: string, detail: string, href: string, link: string}[]}
 */
export function findPersonalWork({ health, providers, failed, most, admin = false }) {
  const items = [];
  const ambiguous = (failed ?? []).filter((job) => job.error?.code === "ambiguous_create");
  if (ambiguous.length) {
    items.push({ key: "ambiguous", tone: "bad", title: `${countOf(ambiguous.length, "purchase")} without an answer`, detail: "A provider may have charged for work that was never delivered. Compare with its own list of operations.", href: `${ROOT}/jobs/${ambiguous[0].jobId}`, link: "See the newest" });
  }
  for (const queue of health?.queues ?? []) {
    if (queue.paused) items.push({ key: queue.queue, tone: "warn", title: `${queue.jobType ? formatType(queue.jobType) : queue.queue} is paused`, detail: `${queue.queue} sends no task; ${countOf(queue.depth ?? 0, "task")} wait.`, href: `${ROOT}/queues`, link: "See the queues" });
  }
  for (const provider of providers ?? []) {
    const open = provider.models.filter((/** @type {any} */ model) => model.breaker.state === "open");
    if (open.length) items.push({ key: provider.provider, tone: "warn", title: `${provider.provider}: ${countOf(open.length, "model")} stopped`, detail: open.slice(0, 3).map((/** @type {any} */ model) => `${model.name} ${model.breaker.byHand ? "by an admin" : "after failures"}`).join(", "), href: `${ROOT}/providers?state=open`, link: "See providers" });
  }
  for (const group of groupErrors(failed ?? [])) {
    const types = [...new Set(group.jobs.map((/** @type {any} */ job) => job.jobType))];
    const type = types.length === 1 ? `&type=${types[0]}` : "";
    const more = (failed?.length ?? 0) >= most ? "at least " : "";
    const single = group.jobs.length === 1;
    const place = single ? { href: `${ROOT}/jobs/${group.jobs[0].jobId}`, link: "See the job" }
      : admin ? { href: `${ROOT}/failures`, link: "See failures" } : { href: `${ROOT}/jobs?status=FAILED&since=24h${type}`, link: "See the jobs" };
    items.push({ key: group.key, tone: "bad", title: `${more}${countOf(group.jobs.length, "job")} failed: ${group.message}`, detail: types.map(formatType).join(", "), ...place });
  }
  return items;
}

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
