/** The frame around all pages: sign-in, navigation, keyboard, and the state of the connection. */

import { html, render, useEffect, useState } from "./vendor/preact.js";
import { get, signals } from "./api.js";
import { Announcements, Dialog, Failure } from "./elements.js";
import { live } from "./live.js";
import { go, ROOT, usePlace } from "./router.js";
import { readClaims, readToken, removeToken, storeToken, takeTokenFromAddress } from "./session.js";

/**
 * The pages: a path, its name in the navigation, and the module that shows it, which is fetched
 * when it is first opened. A new page is one line here and one file in `pages/`.
 */
const PAGES = [
  { path: "/", name: "Overview", icon: "M4 4h7v9H4zM13 4h7v5h-7zM13 11h7v9h-7zM4 15h7v5H4z", key: "o", load: () => import("./pages/overview.js") },
  { path: "/jobs", name: "Jobs", icon: "M4 6h16M4 12h16M4 18h16", key: "b", load: () => import("./pages/jobs.js") },
  { path: "/new", name: "New job", icon: "M12 5v14M5 12h14", key: "n", load: () => import("./pages/new_job.js") },
  { path: "/schedules", name: "Schedules", icon: "M12 7v5l3 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z", key: "s", load: () => import("./pages/schedules.js") },
  { path: "/providers", name: "Providers", icon: "M7 3v6a5 5 0 0 0 10 0V3M12 14v7", key: "p", load: () => import("./pages/providers.js") },
  { path: "/failures", name: "Failures", icon: "M12 4 21 20H3zM12 10v4M12 17v.1", key: "f", admin: true, load: () => import("./pages/dead_letters.js") },
  { path: "/credits", name: "Credits", icon: "M12 6v12M15.5 8.5C15 7 9 6.500 9 9.300S15.500 12 15.500 15 9 17 8.500 15.300M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z", key: "c", load: () => import("./pages/credits.js") },
];
const HIDDEN = [
  { path: "/compare", name: "Compare", load: () => import("./pages/compare.js") },
  { path: /^\/jobs\/([A-Za-z0-9_-]+)$/, name: "Job", load: () => import("./pages/job.js") },
];

/** @param {string} path */
function findPage(path) {
  for (const page of [...PAGES, ...HIDDEN]) {
    if (typeof page.path === "string" ? page.path === path : page.path.test(path)) {
      return { page, id: typeof page.path === "string" ? "" : path.match(page.path)?.[1] ?? "" };
    }
  }
  return null;
}

/** @param {{offered: string}} props a token to begin with */
function App({ offered }) {
  const [token, setToken] = useState(readToken());
  const [caller, setCaller] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [ended, setEnded] = useState(false);
  useEffect(() => {
    const leave = () => {
      live.stop();
      if (readToken()) setEnded(true);
      removeToken();
      setToken(null);
      setCaller(null);
    };
    signals.addEventListener("signed-out", leave);
    return () => signals.removeEventListener("signed-out", leave);
  }, []);
  const read = async () => {
    setError(null);
    try {
      const account = await get("/api/credits");
      const admin = readClaims(readToken() ?? "").role === "admin";
      setCaller({ userId: account.userId, admin });
      live.start();
    } catch (failure) {
      if (/** @type {any} */ (failure).status !== 401) setError(failure);
    }
  };
  useEffect(() => { if (token) void read(); }, [token]);
  const signIn = (/** @type {string} */ given, /** @type {boolean} */ remember) => {
    storeToken(given, remember);
    setEnded(false);
    setToken(given);
  };
  if (!token) return html`<${SignIn} offered=${offered} ended=${ended} signIn=${signIn} />`;
  if (error) return html`<main class="alone"><${Failure} error=${error} retry=${read} /></main>`;
  if (!caller) return html`<p class="boot">Loading…</p>`;
  return html`<${Frame} caller=${caller} signOut=${() => { live.stop(); removeToken(); setToken(null); setCaller(null); }} />`;
}

/** @param {{offered: string, ended: boolean, signIn: (token: string, remember: boolean) => void}} props */
function SignIn({ offered, ended, signIn }) {
  const [token, setToken] = useState(offered);
  const [remember, setRemember] = useState(false);
  const [refusal, setRefusal] = useState("");
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const given = token.trim().replace(/^Bearer\s+/i, "");
    const answer = await fetch("/api/credits", { headers: { Authorization: `Bearer ${given}` } }).catch(() => null);
    if (answer?.ok) return signIn(given, remember);
    const problem = await answer?.json().catch(() => null);
    setRefusal(problem?.detail ?? "The server cannot be reached.");
  };
  const claims = readClaims(token.trim());
  return html`<main class="sign-in"><form onSubmit=${submit}>
    <h1><${Mark} /> Taskreel</h1>
    ${ended && html`<p class="notice tone-warn">Your token has expired or was refused. Sign in again.</p>`}
    <label>Token<textarea rows="4" required autocomplete="off" spellcheck="false" value=${token} placeholder="eyJ…" aria-describedby="token-hint" onInput=${(/** @type {any} */ event) => setToken(event.target.value)}></textarea></label>
    <p id="token-hint" class="hint">${claims.sub ? html`It signs in <strong>${claims.sub}</strong>${claims.role ? `, ${claims.role}` : ""}.` : html`A JWT that the API accepts. On a laptop: <code>taskreel token --user me --role admin</code>`}</p>
    <label class="check"><input type="checkbox" checked=${remember} onChange=${(/** @type {any} */ event) => setRemember(event.target.checked)} /> Stay signed in on this device</label>
    ${refusal && html`<p class="notice tone-bad" role="alert">${refusal}</p>`}
    <button class="primary">Sign in</button>
  </form></main>`;
}

const Mark = () => html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8"/><circle cx="16" cy="16" r="9.5"/><path d="M13.2 11.3v9.4l7.8-4.7z"/></svg>`;

/** @param {{caller: any, signOut: () => void}} props */
function Frame({ caller, signOut }) {
  const place = usePlace();
  const found = findPage(place.path);
  const [help, setHelp] = useState(false);
  const [link, setLink] = useState(live.state);
  useEffect(() => { setLink(live.state); return live.watchState(setLink); }, []);
  useKeyboard(() => setHelp(true));
  useEffect(() => { document.title = `${found?.page.name ?? "Not found"} · Taskreel`; }, [place.path]);
  return html`
    <a class="skip" href="#main">Skip to content</a>
    <header class="top">
      <a class="brand" href=${ROOT}><${Mark} /><span>Taskreel</span></a>
      <nav aria-label="Pages">${PAGES.filter((page) => !page.admin || caller.admin).map((page) => html`<a key=${page.path} href=${ROOT + (page.path === "/" ? "" : page.path)} aria-current=${isCurrent(page, place.path) ? "page" : undefined}><svg viewBox="0 0 24 24" aria-hidden="true"><path d=${page.icon} /></svg><span>${page.name}</span></a>`)}</nav>
      <div class="who">
        <span class="link link-${link}" role="status"><i aria-hidden="true"></i><span>${{ live: "Live", connecting: "Connecting", lost: "No connection" }[link]}</span></span>
        <button class="quiet" onClick=${() => setHelp(true)} aria-label="Keyboard and help" title="Keyboard (?)">?</button>
        <details class="account"><summary>${caller.userId}${caller.admin && html`<small>admin</small>`}</summary>
          <div><p>${caller.admin ? "You see all users' jobs, and may change providers and grants." : "You see your own jobs."}</p><a href="/api/docs" target="_blank" rel="noopener">API documentation</a><button onClick=${signOut}>Sign out</button></div>
        </details>
      </div>
    </header>
    ${link === "lost" && html`<p class="outage" role="alert">The server cannot be reached. What you see may be old; the page goes on by itself when it is back.</p>`}
    <main id="main" tabindex="-1">${found ? html`<${LazyPage} key=${found.page.name + found.id} page=${found.page} id=${found.id} query=${place.query} caller=${caller} />` : html`<h1>Not found</h1><p>The dashboard has no such page. <a href=${ROOT}>Overview</a></p>`}</main>
    ${help && html`<${Help} close=${() => setHelp(false)} />`}
    <${Announcements} />`;
}

/** @param {any} page @param {string} path */
const isCurrent = (page, path) => page.path === path || (page.path === "/jobs" && (path.startsWith("/jobs/") || path === "/compare"));

/** @param {{page: any, id: string, query: URLSearchParams, caller: any}} props */
function LazyPage({ page, id, query, caller }) {
  const [module, setModule] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const load = () => {
    setError(null);
    page.load().then((/** @type {any} */ found) => setModule(found), setError);
  };
  useEffect(load, [page]);
  if (error) return html`<${Failure} error=${{ message: "This part of the page could not be loaded." }} retry=${() => location.reload()} />`;
  return module ? html`<${module.default} id=${id} query=${query} caller=${caller} />` : null;
}

/** @param {() => void} showHelp */
function useKeyboard(showHelp) {
  useEffect(() => {
    let afterG = 0;
    const press = (/** @type {KeyboardEvent} */ event) => {
      const target = /** @type {HTMLElement} */ (event.target);
      if (event.ctrlKey || event.metaKey || event.altKey || target.matches("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
      const page = Date.now() - afterG < 1000 && PAGES.find((one) => one.key === event.key);
      afterG = event.key === "g" ? Date.now() : 0;
      if (page) go(ROOT + (page.path === "/" ? "" : page.path));
      else if (event.key === "?") showHelp();
      else if (event.key === "n") go(`${ROOT}/new`);
      else if (event.key === "/") focusSearch();
      else if (event.key === "j" || event.key === "k") moveFocus(event.key === "j" ? 1 : -1);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

function focusSearch() {
  const field = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-search]"));
  if (field) field.focus();
  else go(`${ROOT}/jobs?focus=search`);
}

/** Move the focus among the rows of the page's list. @param {number} by */
function moveFocus(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);
  const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** @param {{close: () => void}} props */
function Help({ close }) {
  const keys = [["/", "Search"], ["j  k", "Next and previous job"], ["Enter", "Open it"], ["x", "Select it"], ["n", "New job"], ["g, then o b n s p f c", PAGES.map((page) => page.name).join(", ")], ["Esc", "Close a dialog"], ["?", "This help"]];
  return html`<${Dialog} title="Keyboard" close=${close}><dl class="keys">${keys.map(([key, text]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${text}</dd></div>`)}</dl></${Dialog}>`;
}

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
const offered = takeTokenFromAddress();
app.textContent = "";
render(html`<${App} offered=${offered} />`, app);
