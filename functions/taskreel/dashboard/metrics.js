/** Sums over the rows of days that the API's statistics have. Pure. */

/** The outcomes of each day, of all the rows' types in total. @param {any[]} rows @param {string[]} days */
export function sumDays(rows, days) {
  const sum = (/** @type {string[]} */ names) => days.map((day) => rows.filter((row) => row.day === day).reduce((total, row) => total + names.reduce((part, name) => part + row[name], 0), 0));
  return { completed: sum(["completed"]), failed: sum(["failed"]), stopped: sum(["cancelled", "expired"]), retried: sum(["retried"]) };
}

/** The sums of each type, the busiest first; `newest` is its newest day. @param {any[]} rows */
export function addTypes(rows) {
  /** @type {Map<string, any>} */ const types = new Map();
  for (const row of rows) {
    const one = types.get(row.jobType) ?? { jobType: row.jobType, submitted: 0, completed: 0, failed: 0, ended: 0, credits: 0, costUsd: 0, newest: row };
    one.submitted += row.submitted;
    one.completed += row.completed;
    one.failed += row.failed;
    one.ended += row.completed + row.failed + row.cancelled + row.expired;
    one.credits += row.credits ?? 0;
    one.costUsd += row.costUsd ?? 0;
    if (row.day > one.newest.day) one.newest = row;
    types.set(row.jobType, one);
  }
  return [...types.values()]
    .map((one) => ({ ...one, success: one.completed + one.failed ? one.completed / (one.completed + one.failed) : null }))
    .sort((one, other) => other.ended - one.ended || (one.jobType < other.jobType ? -1 : 1));
}

/**
 * The sums of each provider's model, those with the most credits first.
 * @param {any[]} rows of `/api/providers/performance` @param {number | null} creditUsd the price of a
 *   credit in US dollars; null leaves out the margin
 */
export function addModels(rows, creditUsd) {
  /** @type {Map<string, any>} */ const models = new Map();
  for (const row of rows) {
    const key = `${row.provider}/${row.model ?? ""}`;
    const one = models.get(key) ?? { key, provider: row.provider, model: row.model, calls: 0, failed: 0, credits: 0, released: 0, costUsd: 0, errors: {}, newest: row };
    for (const name of ["calls", "failed", "credits", "released", "costUsd"]) one[name] += row[name];
    for (const [code, number] of Object.entries(row.errors)) one.errors[code] = (one.errors[code] ?? 0) + /** @type {number} */ (number);
    if (row.run.p50 !== null && (one.newest.run.p50 === null || row.day > one.newest.day)) one.newest = row;
    models.set(key, one);
  }
  return [...models.values()]
    .map((one) => ({ ...one, marginUsd: creditUsd === null ? null : one.credits * creditUsd - one.costUsd }))
    .sort((one, other) => other.credits - one.credits || other.calls - one.calls || (one.key < other.key ? -1 : 1));
}

/**
 * The spend and the run times of a provider's model on each day; a run is null on a day without one.
 * @param {any[]} rows of `/api/providers/performance` @param {string} key PROVIDER/MODEL @param {string[]} days
 * @returns {{credits: number[], costUsd: number[], p50: (number | null)[], p90: (number | null)[]}}
 */
export function listModelDays(rows, key, days) {
  const own = rows.filter((row) => `${row.provider}/${row.model ?? ""}` === key);
  const runs = (/** @type {"p50" | "p90"} */ name) => days.map((day) => own.find((row) => row.day === day)?.run[name] ?? null);
  return { credits: sumByDay(own, days, "credits"), costUsd: sumByDay(own, days, "costUsd"), p50: runs("p50"), p90: runs("p90") };
}

/** A number of each day. @param {any[]} rows @param {string[]} days @param {string} name */
export const sumByDay = (rows, days, name) => days.map((day) => rows.filter((row) => row.day === day).reduce((total, row) => total + row[name], 0));
