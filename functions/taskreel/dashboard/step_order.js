/** Where a pipeline's steps stand in its graph. Pure. */

import { ENDED } from "./statuses.js";

/**
 * Columns from left to right, and the edges that are known.
 *
 * A `pipeline` job's payload says what each step needs. Other pipelines do not show their plan:
 * there, steps whose jobs ran at the same time stand in one column, the others in their order.
 * @param {any} job @param {any[]} children
 * @returns {{columns: any[][], edges: [string, string][]}}
 */
export function arrangeSteps(job, children) {
  const needs = readNeeds(job.payload?.steps);
  if (needs) return arrangeByNeeds(job.steps, needs);
  /** @type {any[][]} */ const columns = [];
  let firstEnd = -Infinity;
  for (const step of job.steps) {
    const { start, end } = readSpan(children.filter((one) => one.step === step.name));
    if (start < firstEnd) {
      /** @type {any[]} */ (columns.at(-1)).push(step);
      firstEnd = Math.min(firstEnd, end);
    } else {
      columns.push([step]);
      firstEnd = Number.isFinite(start) ? end : -Infinity;
    }
  }
  /** @type {[string, string][]} */
  const edges = columns.slice(1).flatMap((column, index) => column.flatMap((step) => columns[index].map((before) => /** @type {[string, string]} */ ([before.name, step.name]))));
  return { columns, edges };
}

/** When the first of a step's jobs was created, and the last ended; Infinity: not yet. @param {any[]} jobs */
function readSpan(jobs) {
  const ends = jobs.map((job) => Date.parse(ENDED.map((status) => job.statusAt[status]).find(Boolean) ?? "") || Infinity);
  return { start: Math.min(Infinity, ...jobs.map((job) => Date.parse(job.createdAt))), end: Math.max(-Infinity, ...ends) };
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
