/** The statuses of a job: their words, groups and rights. Pure. */

export const WAITING = ["SCHEDULED", "BLOCKED", "THROTTLED", "QUEUED"];
export const ACTIVE = ["PROCESSING", "RETRYING"];
export const ENDED = ["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"];
export const STATUSES = [...WAITING, ...ACTIVE, ...ENDED];

/** @type {Record<string, {word: string, tone: string, hint: string}>} */
const WORDS = {
  SCHEDULED: { word: "Scheduled", tone: "wait", hint: "It starts later" },
  BLOCKED: { word: "Blocked", tone: "wait", hint: "It waits for other jobs" },
  THROTTLED: { word: "Waiting", tone: "wait", hint: "It waits for room" },
  QUEUED: { word: "Queued", tone: "wait", hint: "It is on its queue" },
  PROCESSING: { word: "Processing", tone: "busy", hint: "It runs" },
  RETRYING: { word: "Retrying", tone: "warn", hint: "An attempt failed; another follows" },
  COMPLETED: { word: "Completed", tone: "good", hint: "Its result is ready" },
  FAILED: { word: "Failed", tone: "bad", hint: "It has ended without a result" },
  CANCELLED: { word: "Cancelled", tone: "off", hint: "It was stopped" },
  EXPIRED: { word: "Expired", tone: "off", hint: "Its start deadline passed" },
};

/** @param {string} status a newer server may have others */
export const describeStatus = (status) => WORDS[status] ?? { word: status, tone: "off", hint: "" };

/** @param {any} job */
export const hasEnded = (job) => ENDED.includes(job.status);
/** @param {any} job */
export const canCancel = (job) => !hasEnded(job);
/** @param {any} job */
export const canRetry = (job) => job.status === "FAILED" && !job.parentId;
/** @param {any} job */
export const canReplay = (job) => hasEnded(job) && !job.parentId;
