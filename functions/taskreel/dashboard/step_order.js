/** Where a pipeline's steps stand in its graph. Pure. */

/** Steps whose first jobs were created within this time were started together. */
const TOGETHER_MS = 400;

/**
 * Columns from left to right, and the edges that are known.
 *
 * A `pipeline` job's payload says what each step needs. Other pipelines do not show their plan:
 * there, steps that were started together stand in one column, the others in their order.
 * @param {any} job @param {any[]} children
 * @returns {{columns: any[][], edges: [string, string][]}}
 */
export function arrangeSteps(job, children) {
  const needs = readNeeds(job.payload?.steps);
  if (needs) return arrangeByNeeds(job.steps, needs);
  /** @type {any[][]} */ const columns = [];
  let previous = NaN;
  for (const step of job.steps) {
    const started = Math.min(...children.filter((one) => one.step === step.name).map((one) => Date.parse(one.createdAt)));
    const joins = Number.isFinite(started) && Math.abs(started - previous) <= TOGETHER_MS;
    if (joins) /** @type {any[]} */ (columns.at(-1)).push(step);
    else columns.push([step]);
    previous = started;
  }
  /** @type {[string, string][]} */
  const edges = columns.slice(1).flatMap((column, index) => column.flatMap((step) => columns[index].map((before) => /** @type {[string, string]} */ ([before.name, step.name]))));
  return { columns, edges };
}

/** The names of the steps that each step needs. @param {any} steps @returns {Map<string, string[]> | null} */
function readNeeds(steps) {
  if (!steps || typeof steps !== "object") return null;
  const names = Object.keys(steps);
  return new Map(names.map((name) => {
    const text = JSON.stringify(steps[name]);
    const referred = names.filter((other) => other !== name && new RegExp(`steps\\.(\\\\"|")?${other}\\b`).test(text));
    return [name, [...new Set([...(steps[name].after ?? []), ...referred])]];
  }));
}

/** @param {any[]} steps @param {Map<string, string[]>} needs @returns {{columns: any[][], edges: [string, string][]}} */
function arrangeByNeeds(steps, needs) {
  /** @type {Map<string, number>} */ const depths = new Map();
  const depthOf = (/** @type {string} */ name, seen = new Set()) => {
    const known = depths.get(name);
    if (known !== undefined || seen.has(name)) return known ?? 0;
    seen.add(name);
    /** @type {number} */ const depth = Math.max(-1, ...(needs.get(name) ?? []).map((one) => depthOf(one, seen))) + 1;
    depths.set(name, depth);
    return depth;
  };
  /** @type {any[][]} */ const columns = [];
  for (const step of steps) (columns[depthOf(step.name)] ??= []).push(step);
  const edges = steps.flatMap((step) => (needs.get(step.name) ?? []).map((before) => /** @type {[string, string]} */ ([before, step.name])));
  return { columns: columns.filter(Boolean), edges };
}
