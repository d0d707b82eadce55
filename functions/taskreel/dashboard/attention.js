/** From the API's lists to what a person should see first. Pure. */

import { countOf, formatType } from "./format.js";

const ROOT = "/dashboard";

/**
 * The numbers of jobs by type; `capped` names the lists that have more than was read.
 * @param {Record<string, any[] | undefined>} lists @param {number} most
 */
export function groupJobs(lists, most) {
  /** @type {any} */ const groups = { capped: {} };
  for (const [name, jobs] of Object.entries(lists)) {
    groups[name] = {};
    groups.capped[name] = (jobs?.length ?? 0) >= most;
    for (const job of jobs ?? []) groups[name][job.jobType] = (groups[name][job.jobType] ?? 0) + 1;
  }
  return groups;
}

/**
 * What does not go away by itself, the worst first.
 * @param {{health: any, providers: any[] | undefined, failed: any[] | undefined, most: number}} facts
 * @returns {{key: string, tone: string, title: string, detail: string, href: string, link: string}[]}
 */
export function findPersonalWork({ health, providers, failed, most }) {
  const items = [];
  const ambiguous = (failed ?? []).filter((job) => job.error?.code === "ambiguous_create");
  if (ambiguous.length) {
    items.push({ key: "ambiguous", tone: "bad", title: `${countOf(ambiguous.length, "purchase")} without an answer`, detail: "A provider may have charged for work that was never delivered. Compare with its own list of operations.", href: `${ROOT}/jobs/${ambiguous[0].jobId}`, link: "See the newest" });
  }
  for (const queue of health?.queues ?? []) {
    if (queue.paused) items.push({ key: queue.queue, tone: "warn", title: `${queue.jobType ? formatType(queue.jobType) : queue.queue} is paused`, detail: `${queue.queue} sends no task; ${countOf(queue.depth ?? 0, "task")} wait.`, href: `${ROOT}/jobs?status=QUEUED&type=${queue.jobType ?? ""}`, link: "See its jobs" });
  }
  for (const provider of providers ?? []) {
    const open = provider.models.filter((/** @type {any} */ model) => model.breaker.state === "open");
    if (open.length) items.push({ key: provider.provider, tone: "warn", title: `${provider.provider}: ${countOf(open.length, "model")} stopped`, detail: open.slice(0, 3).map((/** @type {any} */ model) => `${model.name} ${model.breaker.byHand ? "by an admin" : "after failures"}`).join(", "), href: `${ROOT}/providers?state=open`, link: "See providers" });
  }
  for (const group of groupErrors(failed ?? [])) {
    const types = [...new Set(group.jobs.map((/** @type {any} */ job) => job.jobType))];
    const type = types.length === 1 ? `&type=${types[0]}` : "";
    const more = (failed?.length ?? 0) >= most ? "at least " : "";
    items.push({ key: group.key, tone: "bad", title: `${more}${countOf(group.jobs.length, "job")} failed: ${group.message}`, detail: types.map(formatType).join(", "), href: group.jobs.length === 1 ? `${ROOT}/jobs/${group.jobs[0].jobId}` : `${ROOT}/jobs?status=FAILED&since=24h${type}`, link: group.jobs.length === 1 ? "See the job" : "See the jobs" });
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
