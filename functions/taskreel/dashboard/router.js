/** The page's addresses: which page, and its query. */

import { useEffect, useState } from "./vendor/preact.js";

export const ROOT = "/dashboard";

/** The address of a page of the dashboard. @param {string} path it begins with a slash */
export const linkTo = (path) => ROOT + (path === "/" ? "" : path);

/** @returns {{path: string, query: URLSearchParams}} */
const readPlace = () => ({
  path: location.pathname.slice(ROOT.length).replace(/\/+$/, "") || "/",
  query: new URLSearchParams(location.search),
});

/** @param {string} href @param {{replace?: boolean}} [options] */
export function go(href, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  dispatchEvent(new Event("taskreel:place"));
  if (!replace) scrollTo(0, 0);
}

/** The present place, and the next ones. */
export function usePlace() {
  const [place, setPlace] = useState(readPlace);
  useEffect(() => {
    const update = () => setPlace(readPlace());
    const follow = (/** @type {MouseEvent} */ event) => {
      const target = /** @type {Element} */ (event.target);
      const link = /** @type {HTMLAnchorElement | null} */ (target.closest("a[href]"));
      const other = event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
      if (!link || other || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
      if (link.pathname !== ROOT && !link.pathname.startsWith(`${ROOT}/`)) return;
      if (link.hash) return;
      event.preventDefault();
      go(link.pathname + link.search);
    };
    addEventListener("popstate", update);
    addEventListener("taskreel:place", update);
    document.addEventListener("click", follow);
    return () => {
      removeEventListener("popstate", update);
      removeEventListener("taskreel:place", update);
      document.removeEventListener("click", follow);
    };
  }, []);
  return place;
}
