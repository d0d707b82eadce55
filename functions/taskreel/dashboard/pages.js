/**
 * The pages of the dashboard. To add one, add its row to a group here and write its file in `pages/`;
 * nothing else has to change. A page is a module whose default export is a component:
 *
 *     import { html } from '../vendor/preact.js';
 *     import { PageOf } from '../elements.js';
 *     import { useReading } from '../reading.js';
 *
 *     export default function Uploads({ caller, query, id }) {
 *       const uploads = useReading("/api/uploads?limit=50", { everySeconds: 15 });
 *       return html`<h1>Uploads</h1>
 *         <${PageOf} reading=${uploads} isEmpty=${(data) => !data.uploads.length} empty="No uploads">
 *           ${(data) => html`<ul>${data.uploads.map((one) => html`<li>${one.name}</li>`)}</ul>`}
 *         </${PageOf}>`;
 *     }
 *
 * `caller` is `{userId, admin, roles}`, `query` the address's URLSearchParams, `id` the part of the address
 * that a pattern has found. `useReading` reads the API, and again while the page is seen;
 * `reading.js` has more of that kind. `elements.js` has the parts that pages share (tables, notices,
 * dialogs, times), `charts.js` the charts, `format.js` numbers as text, `api.js` `call` for acts.
 * `style.css` styles plain elements, so a page needs few classes. What is no HTML belongs into a
 * module of its own without imports from the page, with a test in `tests/browser/dashboard_modules`.
 *
 * @typedef {import("./rights.js").Caller} Caller
 * @typedef {{caller: Caller, query: URLSearchParams, id: string}} PageProps
 * @typedef {{path: string, name: string, icon: string, key: string, admin?: boolean, main?: boolean,
 *   load: () => Promise<{default: (props: PageProps) => any}>}} Page
 *   `icon` is an SVG path of 24 × 24; `key` follows `g`; `admin`: only admins may read it; `main`:
 *   in the bar of a phone, where the others are under "More"
 * @typedef {{path: RegExp, name: string, load: () => Promise<{default: (props: PageProps) => any}>}} HiddenPage
 */

/** @type {{name: string, pages: Page[]}[]} */
export const GROUPS = [
  {
    name: "Work",
    pages: [
      { path: "/", name: "Overview", icon: "M4 4h7v9H4zM13 4h7v5h-7zM13 11h7v9h-7zM4 15h7v5H4z", key: "o", main: true, load: () => import("./pages/overview.js") },
      { path: "/jobs", name: "Jobs", icon: "M4 6h16M4 12h16M4 18h16", key: "b", main: true, load: () => import("./pages/jobs.js") },
      { path: "/new", name: "New job", icon: "M12 5v14M5 12h14", key: "n", main: true, load: () => import("./pages/new_job.js") },
      { path: "/schedules", name: "Schedules", icon: "M12 7v5l3 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z", key: "s", load: () => import("./pages/schedules.js") },
      { path: "/uploads", name: "Uploads", icon: "M12 16V5M7 9l5-5 5 5M5 20h14", key: "l", load: () => import("./pages/uploads.js") },
    ],
  },
  {
    name: "Operation",
    pages: [
      { path: "/failures", name: "Failures", icon: "M12 4 21 20H3zM12 10v4M12 17v.1", key: "f", main: true, load: () => import("./pages/dead_letters.js") },
      { path: "/queues", name: "Queues", icon: "M4 6h10M4 12h16M4 18h7M18 4v4", key: "q", load: () => import("./pages/queues.js") },
      { path: "/providers", name: "Providers", icon: "M7 3v6a5 5 0 0 0 10 0V3M12 14v7", key: "p", load: () => import("./pages/providers.js") },
      { path: "/webhooks", name: "Webhooks", icon: "M5 12h14M13 6l6 6-6 6M5 5v14", key: "w", load: () => import("./pages/webhooks.js") },
    ],
  },
  {
    name: "Numbers",
    pages: [
      { path: "/performance", name: "Performance", icon: "M4 19V5M4 19h16M8 15l4-5 3 3 5-7", key: "t", load: () => import("./pages/performance.js") },
      { path: "/credits", name: "Money", icon: "M12 6v12M15.5 8.5C15 7 9 6.500 9 9.300S15.500 12 15.500 15 9 17 8.500 15.300M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z", key: "c", load: () => import("./pages/credits.js") },
    ],
  },
  {
    name: "People",
    pages: [
      { path: "/projects", name: "Projects", icon: "M3 6.500h6.500l2 2.500H21v10H3z", key: "r", load: () => import("./pages/projects.js") },
      { path: "/users", name: "Users", icon: "M16 20v-2a4 4 0 0 0-8 0v2M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", key: "u", admin: true, load: () => import("./pages/users.js") },
      { path: "/audit", name: "Audit", icon: "M6 3h9l4 4v14H6zM9 11h7M9 15h7", key: "a", admin: true, load: () => import("./pages/audit.js") },
    ],
  },
];

/** @type {Page[]} */
export const PAGES = GROUPS.flatMap((group) => group.pages);

/** Pages that are not in the navigation; each belongs to the page whose path begins its own. @type {HiddenPage[]} */
const HIDDEN = [
  { path: /^\/compare$/, name: "Compare", load: () => import("./pages/compare.js") },
  { path: /^\/jobs\/([A-Za-z0-9_-]+)$/, name: "Job", load: () => import("./pages/job.js") },
  { path: /^\/projects\/([A-Za-z0-9._-]+)$/, name: "Project", load: () => import("./pages/project.js") },
  { path: /^\/webhooks\/([A-Za-z0-9_-]+)$/, name: "Webhook endpoint", load: () => import("./pages/webhook_endpoint.js") },
];

/** The page at an address. @param {string} path @returns {{page: Page | HiddenPage, id: string} | null} */
export function findPage(path) {
  const shown = PAGES.find((page) => page.path === path);
  if (shown) return { page: shown, id: "" };
  for (const page of HIDDEN) {
    const found = path.match(page.path);
    if (found) return { page, id: found[1] ?? "" };
  }
  return null;
}

/** Tell if the address is that of the page, or of one below it. @param {Page} page @param {string} path */
export const isCurrent = (page, path) =>
  page.path === path || (page.path !== "/" && path.startsWith(`${page.path}/`)) || (page.path === "/jobs" && path === "/compare");
