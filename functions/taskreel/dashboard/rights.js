/** What a caller may do with a job or a project, as the server decides it: here it only hides what would be refused. Pure. */

const RANKS = { viewer: 1, editor: 2, admin: 3 };

/**
 * @typedef {{userId: string, admin: boolean, roles: Record<string, string>}} Caller
 *   `roles`: the role in each project
 */

/** @param {Caller} caller @param {any} job @param {number} least */
const may = (caller, job, least) =>
  caller.admin || job.userId === caller.userId || (RANKS[/** @type {"viewer"} */ (caller.roles[job.projectId ?? ""])] ?? 0) >= least;

/** Cancel, retry or replay it. @param {Caller} caller @param {any} job */
export const mayChange = (caller, job) => may(caller, job, RANKS.editor);
/** @param {Caller} caller @param {any} job */
export const mayDelete = (caller, job) => may(caller, job, RANKS.admin);

/** Submit jobs to it. @param {Caller} caller @param {any} project */
export const maySubmit = (caller, project) => caller.admin || RANKS[/** @type {"viewer"} */ (project.role)] >= RANKS.editor;
/** Change its members and caps. @param {Caller} caller @param {any} project */
export const mayManage = (caller, project) => caller.admin || project.role === "admin";
/** Name another owner; of a project whose owner was erased, each of its admins may. @param {Caller} caller @param {any} project */
export const mayNameOwner = (caller, project) =>
  caller.admin || project.ownerId === caller.userId || (project.role === "admin" && project.ownerId.startsWith("erased-"));
