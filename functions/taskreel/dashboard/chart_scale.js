/** Where a chart's values and its rules stand. Pure. */

/**
 * The top of an axis from 0, a round number, and the rules to draw; of whole numbers at none between two.
 * @param {number} most @returns {{top: number, ticks: number[]}}
 */
export function findScale(most) {
  if (!(most > 0)) return { top: 1, ticks: [0] };
  const power = 10 ** Math.floor(Math.log10(most));
  const top = power * ([1, 2, 2.5, 5, 10].find((step) => step * power >= most) ?? 10);
  const half = Number.isInteger(most) && !Number.isInteger(top / 2) ? [] : [top / 2];
  return { top, ticks: [0, ...half, top] };
}

/**
 * The points of a line in a field of 100 × 100, in parts where a value is absent.
 * @param {(number | null)[]} values @param {number} top @returns {[number, number][][]}
 */
export function placePoints(values, top) {
  /** @type {[number, number][][]} */ const parts = [[]];
  const width = 100 / Math.max(1, values.length);
  values.forEach((value, index) => {
    if (value === null) parts.push([]);
    else /** @type {[number, number][]} */ (parts.at(-1)).push([(index + 0.5) * width, 100 - (100 * value) / top]);
  });
  return parts.filter((points) => points.length > 0);
}

/** The last days (UTC), oldest first, as `2026-11-27`. @param {number} count @param {number} now in milliseconds */
export const listDays = (count, now) =>
  Array.from({ length: count }, (_, index) => new Date(now - (count - 1 - index) * 86_400_000).toISOString().slice(0, 10));

/** "2026-11-27" → "27 Nov". @param {string} day */
export const formatDay = (day) => new Date(`${day}T12:00:00Z`).toLocaleDateString([], { day: "numeric", month: "short", timeZone: "UTC" });
