/** The frame around all pages: sign-in, navigation, and the state of the connection. */

import { html, render, useEffect, useState } from "./vendor/preact.js";
import { get, signals } from "./api.js";
import { Announcements, Dialog, Failure } from "./elements.js";
import { takeIssuerAnswer } from "./issuer_sign_in.js";
import { KeyboardHelp, useKeyboard } from "./keyboard.js";
import { live } from "./live.js";
import { findPage, GROUPS, isCurrent, PAGES } from "./pages.js";
import { linkTo, ROOT, usePlace } from "./router.js";
import { readClaims, readToken, removeToken, storeToken, takeTokenFromAddress } from "./session.js";
import { Mark, SignIn } from "./sign_in.js";

/** @typedef {import("./pages.js").Page} Page */
/** @typedef {import("./pages.js").Caller} Caller */

/** @param {{offered: string, answer: import("./issuer_sign_in.js").IssuerAnswer | null}} props a token to begin with, and the issuer's answer */
function App({ offered, answer }) {
  const [token, setToken] = useState(readToken());
  const [caller, setCaller] = useState(/** @type {Caller | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [ended, setEnded] = useState(false);
  const [offer, setOffer] = useState(offered);
  // It is redeemed once; who is signed in has no use for it.
  const [pending, setPending] = useState(readToken() ? null : answer);
  const leave = () => {
    live.stop();
    removeToken();
    setToken(null);
    setCaller(null);
  };
  useEffect(() => {
    const refused = () => {
      if (readToken()) setEnded(true);
      leave();
    };
    signals.addEventListener("signed-out", refused);
    return () => signals.removeEventListener("signed-out", refused);
  }, []);
  const read = async () => {
    setError(null);
    try {
      const claims = readClaims(readToken() ?? "");
      const admin = claims.role === "admin";
      const [account, stored] = await Promise.all([get("/api/credits"), admin ? {} : readStoredRoles()]);
      // A role that the token names counts before the stored one.
      setCaller({ userId: account.userId, admin, roles: { ...stored, ...claims.projectRoles } });
      live.start();
    } catch (failure) {
      if (/** @type {any} */ (failure).status !== 401) setError(failure);
    }
  };
  useEffect(() => { if (token) void read(); }, [token]);
  useEffect(() => {
    const again = () => void read();
    signals.addEventListener("roles", again);
    return () => signals.removeEventListener("roles", again);
  }, []);
  // A printed address that is opened in a tab that is here already changes the fragment alone.
  useEffect(() => {
    const take = () => {
      const found = takeTokenFromAddress();
      if (!found) return;
      // Everything on the page was read with the old token.
      if (found.stored) location.reload();
      else if (!readToken()) setOffer(found.token);
    };
    addEventListener("hashchange", take);
    return () => removeEventListener("hashchange", take);
  }, []);
  const signIn = (/** @type {string} */ given, /** @type {boolean} */ remember) => {
    storeToken(given, remember);
    setPending(null);
    setEnded(false);
    setToken(given);
  };
  if (!token) return html`<${SignIn} key=${offer} offered=${offer} answer=${pending} ended=${ended} signIn=${signIn} />`;
  if (error) return html`<main class="alone"><${Failure} error=${error} retry=${read} /></main>`;
  if (!caller) return html`<p class="boot">Loading…</p>`;
  return html`<${Frame} caller=${caller} signOut=${leave} />`;
}

/** The caller's roles in stored projects. @returns {Promise<Record<string, string>>} */
async function readStoredRoles() {
  const { projects } = await get("/api/projects");
  return Object.fromEntries(projects.map((/** @type {any} */ one) => [one.projectId, one.role]));
}

/** @param {{caller: Caller, signOut: () => void}} props */
function Frame({ caller, signOut }) {
  const place = usePlace();
  const found = findPage(place.path);
  const [help, setHelp] = useState(false);
  const [link, setLink] = useState(live.state);
  useEffect(() => { setLink(live.state); return live.watchState(setLink); }, []);
  useKeyboard(() => setHelp(true), caller.admin);
  useEffect(() => { document.title = `${found?.page.name ?? "Not found"} · Taskreel`; }, [place.path]);
  return html`
    <a class="skip" href="#main">Skip to content</a>
    <header class="top">
      <a class="brand" href=${ROOT}><${Mark} /><span>Taskreel</span></a>
      <div class="who">
        <span class="link link-${link}" role="status"><i aria-hidden="true"></i><span>${{ live: "Live", connecting: "Connecting", lost: "No connection" }[link]}</span></span>
        <button class="quiet" onClick=${() => setHelp(true)} aria-label="Keyboard and help" title="Keyboard (?)">?</button>
        <details class="account"><summary>${caller.userId}${caller.admin && html`<small>admin</small>`}</summary>
          <div><p>${caller.admin ? "You see all users' jobs, and may change queues, providers, limits and grants." : Object.keys(caller.roles).length ? "You see your own jobs, and those of your projects." : "You see your own jobs."}</p><a href="/api/docs" target="_blank" rel="noopener">API documentation</a><button onClick=${signOut}>Sign out</button></div>
        </details>
      </div>
    </header>
    <${Navigation} caller=${caller} path=${place.path} />
    <div class="content">
      ${link === "lost" && html`<p class="outage" role="alert">The server cannot be reached. What you see may be old; the page goes on by itself when it is back.</p>`}
      <main id="main" tabindex="-1"><${Content} found=${found} place=${place} caller=${caller} /></main>
    </div>
    ${help && html`<${KeyboardHelp} admin=${caller.admin} close=${() => setHelp(false)} />`}
    <${Announcements} />`;
}

/** @param {{found: ReturnType<typeof findPage>, place: {path: string, query: URLSearchParams}, caller: Caller}} props */
function Content({ found, place, caller }) {
  if (!found) return html`<h1>Not found</h1><p>The dashboard has no such page. <a href=${ROOT}>Overview</a></p>`;
  if ("admin" in found.page && found.page.admin && !caller.admin) {
    return html`<h1>${found.page.name}</h1><div class="notice tone-warn"><p><strong>Only an admin may see this page.</strong></p><p>Your token needs the claim <code>role: admin</code>. <a href=${ROOT}>Overview</a></p></div>`;
  }
  return html`<${LazyPage} key=${found.page.name + found.id} page=${found.page} id=${found.id} query=${place.query} caller=${caller} />`;
}

/** @param {{caller: Caller, path: string}} props */
function Navigation({ caller, path }) {
  const [more, setMore] = useState(false);
  useEffect(() => setMore(false), [path]);
  const seen = (/** @type {Page[]} */ pages) => pages.filter((page) => !page.admin || caller.admin);
  const inMore = seen(PAGES).some((page) => !page.main && isCurrent(page, path));
  const groups = (/** @type {Page[]} */ pages) => seen(pages).map((page) => html`<${NavigationLink} key=${page.path} page=${page} path=${path} />`);
  return html`
    <nav class="pages" aria-label="Pages">
      ${GROUPS.map((group) => seen(group.pages).length > 0 && html`<div key=${group.name} role="group" aria-label=${group.name}><p aria-hidden="true">${group.name}</p>${groups(group.pages)}</div>`)}
      <button class="more-pages" aria-current=${inMore ? "page" : undefined} onClick=${() => setMore(true)}><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 12h.1M12 12h.1M19 12h.1" /></svg><span>More</span></button>
    </nav>
    ${more && html`<${Dialog} title="Pages" close=${() => setMore(false)}><nav class="all-pages" aria-label="All pages">${groups(PAGES)}</nav></${Dialog}>`}`;
}

/** @param {{page: Page, path: string}} props */
const NavigationLink = ({ page, path }) => html`<a class=${page.main ? "main" : ""} href=${linkTo(page.path)} title=${page.name} aria-current=${isCurrent(page, path) ? "page" : undefined}><svg viewBox="0 0 24 24" aria-hidden="true"><path d=${page.icon} /></svg><span>${page.name}</span></a>`;

/** @param {{page: {load: () => Promise<any>}, id: string, query: URLSearchParams, caller: Caller}} props */
function LazyPage({ page, id, query, caller }) {
  const [module, setModule] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => { page.load().then(setModule, setError); }, [page]);
  useEffect(() => error ? loadWhenBack() : undefined, [error]);
  if (error) return html`<${Failure} error=${{ message: "This part of the page could not be loaded." }} retry=${() => location.reload()} />`;
  return module ? html`<${module.default} id=${id} query=${query} caller=${caller} />` : null;
}

/**
 * Load the whole page again once the server is back: some browsers do not ask twice for a script
 * that they could not load. With a server that was never lost it would not help, and never end.
 */
function loadWhenBack() {
  let wasLost = live.state === "lost";
  return live.watchState((state) => {
    if (state === "live" && wasLost) location.reload();
    wasLost ||= state === "lost";
  });
}

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
const found = takeTokenFromAddress();
const answer = takeIssuerAnswer();
app.textContent = "";
render(html`<${App} offered=${found && !found.stored ? found.token : ""} answer=${answer} />`, app);
