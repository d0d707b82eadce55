/** What has happened to a job, on one axis of time: its lanes, and its events in order. Pure. */

import { formatCredits, formatMs, formatSeconds, formatUsd } from "./format.js";
import { describeStatus, hasEnded } from "./statuses.js";

/** Narrower parts could not be pointed at. */
const LEAST = 0.7;

/**
 * @typedef {{key: string, left: number, width: number, tone: string, title: string}} Part in percent
 * @typedef {{name: string, parts: Part[]}} Lane
 * @typedef {{key: string, at: number, kind: "status" | "call" | "webhook", tone: string, name: string, text: string, code?: string, answer?: string, href?: string}} Moment
 * @typedef {{start: number, end: number, lanes: Lane[], moments: Moment[]}} Timeline
 */

/**
 * @param {any} job @param {any} history of the job; null while it is read
 * @param {any[]} deliveries its webhooks @param {number} now in milliseconds @returns {Timeline}
 */
export function buildTimeline(job, history, deliveries, now) {
  const changes = readChanges(job, history);
  const failures = (history?.failedAttempts ?? []).map((/** @type {any} */ one) => ({ ...one, at: Date.parse(one.at) }));
  const tries = deliveries.flatMap((delivery) => delivery.tries.map((/** @type {any} */ one) => ({ ...one, time: one.at, at: Date.parse(one.at), delivery })));
  const start = Math.min(Date.parse(job.createdAt), ...changes.map((one) => one.at));
  const last = Math.max(start, ...changes.map((one) => one.at), ...failures.map((/** @type {any} */ one) => one.at), ...tries.map((one) => one.at + one.milliseconds));
  const end = Math.max(hasEnded(job) ? last : Math.max(last, now), start + 1);
  const place = (/** @type {number} */ from, /** @type {number} */ to) => {
    const left = Math.min((100 * (from - start)) / (end - start), 100 - LEAST);
    return { left: Math.max(0, left), width: Math.max(LEAST, (100 * (to - from)) / (end - start)) };
  };
  const until = (/** @type {number} */ index) => changes[index + 1]?.at ?? (hasEnded(job) ? changes[index].at : end);
  const statuses = changes.map((one, index) => {
    const { word, tone } = describeStatus(one.status);
    return { key: `status-${index}`, ...place(one.at, until(index)), tone, title: until(index) > one.at ? `${word} for ${formatSeconds((until(index) - one.at) / 1000)}` : word };
  });
  const attempts = changes.flatMap((one, index) => (one.status === "PROCESSING" ? [describeAttempt(one, changes[index + 1], index, place(one.at, until(index)), (until(index) - one.at) / 1000)] : []));
  const calls = failures.map((/** @type {any} */ one, /** @type {number} */ index) => ({ key: `call-${index}`, ...place(one.at, one.at), tone: "bad", title: `${one.provider ?? "The service"} failed: ${one.message}` }));
  const webhooks = tries.map((one, index) => ({ key: `try-${index}`, ...place(one.at, one.at + one.milliseconds), tone: isDelivered(one) ? "good" : "bad", title: `${one.delivery.event}: ${one.status ?? one.error}` }));
  const lanes = [{ name: "Status", parts: statuses }, { name: "Attempts", parts: attempts }, { name: "Failed calls", parts: calls }, { name: "Webhooks", parts: webhooks }].filter((lane) => lane.parts.length > 0);
  return { start, end, lanes, moments: listMoments(changes, failures, tries) };
}

/** The changes of status; of a job whose history is not read yet, the times that it has itself. @param {any} job @param {any} history */
function readChanges(job, history) {
  /** @type {any[]} */
  const found = history?.changes ?? Object.entries(job.statusAt).map(([status, at]) => ({ status, at, attempt: 0 }));
  return found.map((one) => ({ ...one, at: Date.parse(one.at) })).sort((one, other) => one.at - other.at);
}

/** @param {any} one @param {any} next @param {number} index @param {{left: number, width: number}} placed @param {number} seconds */
function describeAttempt(one, next, index, placed, seconds) {
  const failed = next && ["RETRYING", "FAILED"].includes(next.status);
  const name = one.attempt ? `Attempt ${one.attempt}` : "Attempt";
  return { key: `attempt-${index}`, ...placed, tone: !next ? "busy" : failed ? "bad" : next.status === "COMPLETED" ? "good" : "off", title: `${name}${next ? `: ${describeStatus(next.status).word.toLowerCase()}` : ""} after ${formatSeconds(seconds)}` };
}

/** @param {any} one */
const isDelivered = (one) => one.status >= 200 && one.status < 300;

/** A delivery by its last try. @param {any} last @returns {Moment} */
function describeDelivery(last) {
  const { event, endpointId, deliveryId, tries } = last.delivery;
  const answer = last.status ? `answered ${last.status} in ${formatMs(last.milliseconds)}` : last.error;
  const text = `${event}: ${tries.length > 1 ? `${tries.length} tries, the last ` : ""}${answer}`;
  return { key: `delivery-${deliveryId}`, at: last.at, kind: "webhook", tone: isDelivered(last) ? "good" : "bad", name: "Webhook", text, href: `/dashboard/webhooks/${endpointId}` };
}

/** @param {any[]} changes @param {any[]} failures @param {any[]} tries @returns {Moment[]} */
function listMoments(changes, failures, tries) {
  /** @type {Moment[]} */
  const moments = [
    ...changes.map((one, index) => {
      const facts = [one.attempt > 1 || one.status === "RETRYING" ? `attempt ${one.attempt}` : "", one.by && one.by !== "service" ? `by ${one.by}` : "", one.credits !== undefined ? `${formatCredits(one.credits)} charged` : "", one.costUsd ? `${formatUsd(one.costUsd)} at the provider` : ""];
      return /** @type {Moment} */ ({ key: `status-${index}`, at: one.at, kind: "status", tone: describeStatus(one.status).tone, name: describeStatus(one.status).word, text: facts.filter(Boolean).join(", "), code: one.code });
    }),
    ...failures.map((one, index) => /** @type {Moment} */ ({ key: `call-${index}`, at: one.at, kind: "call", tone: "bad", name: "Failed call", text: `${[one.provider, one.model].filter(Boolean).join(" ") || "the service"}, attempt ${one.attempt}: ${one.message}`, code: one.code, answer: one.answer })),
    ...tries.filter((one) => one.delivery.tries.at(-1).at === one.time).map((one) => describeDelivery(one)),
  ];
  return moments.sort((one, other) => one.at - other.at);
}
