/** In what two values differ. Pure. */

/**
 * @param {any} before @param {any} after @param {string} [path]
 * @returns {{path: string, before: string, after: string}[]}
 */
export function listDifferences(before, after, path = "") {
  if (isObject(before) && isObject(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return names.flatMap((name) => listDifferences(before[name], after[name], path ? `${path}.${name}` : name));
  }
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  return [{ path, before: show(before), after: show(after) }];
}

/** @param {any} value */
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
/** @param {any} value */
const show = (value) => (value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));
