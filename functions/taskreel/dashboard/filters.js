/** The filters of the list of jobs, in the page's address and in the API's query. Pure. */

/**
 * @typedef {{status: string[], type: string, user: string, project: string, provider: string,
 *   text: string, since: string, children: boolean, order: string}} Filters
 */

/** @type {Record<string, number>} the choices of `since`, in seconds */
export const SPANS = { "15m": 900, "1h": 3600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };

/** @type {Record<string, string>} */
const API_NAMES = { type: "jobType", user: "userId", project: "projectId", provider: "provider", text: "text" };

/** @param {URLSearchParams} query @returns {Filters} */
export function readFilters(query) {
  const text = (/** @type {string} */ name) => query.get(name) ?? "";
  return {
    status: text("status").split(",").filter(Boolean),
    type: text("type"),
    user: text("user"),
    project: text("project"),
    provider: text("provider"),
    text: text("text"),
    since: Object.hasOwn(SPANS, text("since")) ? text("since") : "",
    children: text("children") === "1",
    order: text("order") === "oldest" ? "oldest" : "",
  };
}

/** The address's query without empty filters. @param {Partial<Filters> & {view?: string, group?: string}} filters */
export function writeFilters(filters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    if (Array.isArray(value) ? value.length : value) {
      query.set(name, value === true ? "1" : Array.isArray(value) ? value.join(",") : String(value));
    }
  }
  return query.toString().replaceAll("%2C", ",");
}

/** @param {Filters} filters @param {number} now in milliseconds @returns {URLSearchParams} */
export function buildApiQuery(filters, now) {
  const query = new URLSearchParams();
  if (filters.status.length) query.set("status", filters.status.join(","));
  for (const [name, apiName] of Object.entries(API_NAMES)) {
    const value = filters[/** @type {"type"} */ (name)];
    if (value) query.set(apiName, value);
  }
  if (filters.since) query.set("createdAfter", new Date(now - SPANS[filters.since] * 1000).toISOString());
  if (filters.children) query.set("includeChildren", "true");
  if (filters.order) query.set("order", "oldest");
  return query;
}

/** The same for a bulk operation, which acts on no job that a pipeline has made. @param {Filters} filters @param {number} now in milliseconds */
export function buildOperationFilter(filters, now) {
  /** @type {Record<string, unknown>} */ const found = {};
  if (filters.status.length) found.status = filters.status;
  for (const [name, apiName] of Object.entries(API_NAMES)) {
    const value = filters[/** @type {"type"} */ (name)];
    if (value) found[apiName] = value;
  }
  if (filters.since) found.createdAfter = new Date(now - SPANS[filters.since] * 1000).toISOString();
  return found;
}

/** True when a changed job belongs into the list. `text` is left to the server: rows have no payload. */
export function matches(/** @type {Filters} */ filters, /** @type {any} */ job, /** @type {number} */ now) {
  return (!filters.status.length || filters.status.includes(job.status))
    && (!filters.type || job.jobType === filters.type)
    && (!filters.user || job.userId === filters.user)
    && (!filters.project || job.projectId === filters.project)
    && (!filters.provider || job.servedBy === filters.provider)
    && (!filters.since || now - Date.parse(job.createdAt) <= SPANS[filters.since] * 1000)
    && (filters.children || !job.parentId);
}

/** @param {Filters} filters the number of filters that are set */
export const countFilters = (filters) =>
  Object.values(filters).filter((value) => (Array.isArray(value) ? value.length : value)).length;
