/** A list that changes under the eyes of its reader without moving what they point at. Pure. */

/**
 * @typedef {{rows: any[], arrived: any[], gone: Set<string>, cut: boolean, held?: boolean}} LiveRows
 *   `arrived`: new jobs that are not shown yet. `gone`: shown jobs that the filters no longer match.
 *   `held`: the arrived wait for their reader, who is among the rows. `cut`: older rows were taken off the end; the next page begins behind the last row.
 */

/** Rows that are shown while they come in by themselves: a page that stays open all day stays small. */
export const MOST_LIVE = 60;
/** New jobs that are remembered, the newest; older ones come with the next page. */
export const MOST_ARRIVED = 200;

/** @type {LiveRows} */
export const EMPTY = { rows: [], arrived: [], gone: new Set(), cut: false };

/** A page as the server sent it; nothing waits to be shown. @param {any[]} rows @returns {LiveRows} */
export const showPage = (rows) => ({ rows, arrived: [], gone: new Set(), cut: false });

/** @param {LiveRows} list @param {any[]} rows the next page */
export function addPage(list, rows) {
  const known = new Set(list.rows.map((job) => job.jobId));
  return { ...list, rows: [...list.rows, ...rows.filter((job) => !known.has(job.jobId))], cut: false };
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
  const arrived = [...waiting.values()].sort(newestFirst).slice(0, MOST_ARRIVED);
  return { ...list, rows, gone, arrived };
}

/**
 * Show what has arrived, and drop what no longer matches. Rows beyond the most that are shown are
 * taken off the end; a reader who asked for older pages has as many as they had.
 * @param {LiveRows} list @returns {LiveRows}
 */
export function letIn(list) {
  // Between new jobs that were not all remembered and the old rows some are missing: a page brings both.
  const missed = hasOverflowed(list);
  const shown = missed ? [] : list.rows.filter((job) => !list.gone.has(job.jobId));
  const rows = [...list.arrived, ...shown].sort(newestFirst);
  const most = Math.max(MOST_LIVE, list.rows.length);
  return { ...showPage(rows.slice(0, most)), cut: list.cut || missed || rows.length > most };
}

/** Tell if jobs may have come that are not remembered. @param {LiveRows} list */
export const hasOverflowed = (list) => list.arrived.length >= MOST_ARRIVED;

/** @param {any} one @param {any} other */
const newestFirst = (one, other) => (one.createdAt < other.createdAt ? 1 : -1);
