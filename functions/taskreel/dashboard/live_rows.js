/** A list that changes under the eyes of its reader without moving what they point at. Pure. */

/**
 * @typedef {{rows: any[], arrived: any[], gone: Set<string>}} LiveRows
 *   `arrived`: new jobs that are not shown yet. `gone`: shown jobs that the filters no longer match.
 */

/** @type {LiveRows} */
export const EMPTY = { rows: [], arrived: [], gone: new Set() };

/** A page as the server sent it; nothing waits to be shown. @param {any[]} rows @returns {LiveRows} */
export const showPage = (rows) => ({ rows, arrived: [], gone: new Set() });

/** @param {LiveRows} list @param {any[]} rows the next page */
export function addPage(list, rows) {
  const known = new Set(list.rows.map((job) => job.jobId));
  return { ...list, rows: [...list.rows, ...rows.filter((job) => !known.has(job.jobId))] };
}

/**
 * Changed jobs: a shown row changes in its place, a new one waits until it is let in.
 * @param {LiveRows} list @param {any[]} jobs @param {(job: any) => boolean} matches
 * @returns {LiveRows}
 */
export function applyChanges(list, jobs, matches) {
  const changed = new Map(jobs.map((job) => [job.jobId, job]));
  const newer = (/** @type {any} */ old) => {
    const job = changed.get(old.jobId);
    return job && job.updatedAt >= old.updatedAt ? { ...old, ...job, payload: old.payload ?? job.payload } : old;
  };
  const rows = list.rows.map(newer);
  const gone = new Set(rows.filter((job) => changed.has(job.jobId) ? !matches(job) : list.gone.has(job.jobId)).map((job) => job.jobId));
  const shown = new Set(rows.map((job) => job.jobId));
  const waiting = new Map(list.arrived.map((job) => [job.jobId, job]));
  for (const [id, job] of changed) {
    if (!shown.has(id)) matches(job) ? waiting.set(id, job) : waiting.delete(id);
  }
  const arrived = [...waiting.values()].sort((one, other) => (one.createdAt < other.createdAt ? 1 : -1));
  return { rows, gone, arrived };
}

/** Show what has arrived, and drop what no longer matches. @param {LiveRows} list @returns {LiveRows} */
export function letIn(list) {
  const rows = [...list.arrived, ...list.rows.filter((job) => !list.gone.has(job.jobId))];
  rows.sort((one, other) => (one.createdAt < other.createdAt ? 1 : -1));
  return showPage(rows);
}
