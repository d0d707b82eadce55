/** Rows of a list under headings. Pure. */

/** The choices of `group` in the address, and their words. @type {Record<string, string>} */
export const GROUPINGS = { prompt: "prompt", type: "type", pipeline: "pipeline", project: "project" };

/** @typedef {{key: string, title: string, jobId: string | null, rows: any[]}} RowGroup `jobId`: the pipeline */

/**
 * Groups in the order of their first row; a group has the rows that share a prompt, a type, a pipeline or a project.
 * @param {any[]} rows @param {string} by one of GROUPINGS; any other makes one group without a title
 * @returns {RowGroup[]}
 */
export function groupRows(rows, by) {
  if (!Object.hasOwn(GROUPINGS, by)) return [{ key: "", title: "", jobId: null, rows }];
  /** @type {Map<string, RowGroup>} */ const groups = new Map();
  for (const row of rows) {
    const key = findKey(row, by);
    /** @type {RowGroup} */
    const group = groups.get(key) ?? { key, title: key, jobId: by === "pipeline" && key ? key : null, rows: [] };
    if (by === "pipeline" && row.jobId === key) group.title = row.summary?.title || key;
    group.rows.push(row);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** @param {any} row @param {string} by */
function findKey(row, by) {
  switch (by) {
    case "prompt": return row.summary?.title ?? "";
    case "type": return row.jobType;
    case "pipeline": return row.parentId ?? (row.steps?.length ? row.jobId : "");
    default: return row.projectId ?? "";
  }
}
