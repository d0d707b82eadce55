/** The changes of a circuit breaker as parts of its last day. Pure. */

const DAY = 86_400_000;
/** A change of seconds would not be seen in a day. */
const LEAST = 1.5;

/**
 * The parts from left to right, in percent; the first is the state before the first change of the day.
 * @param {{at: string, state: string, byHand: boolean}[]} changes the oldest first
 * @param {number} now in milliseconds
 */
export function placeChanges(changes, now) {
  const start = now - DAY;
  const before = changes.filter((change) => Date.parse(change.at) <= start).at(-1);
  const inside = changes.filter((change) => Date.parse(change.at) > start);
  const all = [{ at: new Date(start).toISOString(), state: before?.state ?? "closed", byHand: before?.byHand ?? false }, ...inside];
  return all.map((change, index) => {
    const left = (100 * (Date.parse(change.at) - start)) / DAY;
    const end = index + 1 < all.length ? (100 * (Date.parse(all[index + 1].at) - start)) / DAY : 100;
    return { ...change, left: Math.min(left, 100 - LEAST), width: Math.max(LEAST, end - left) };
  });
}
