/** The keys that work on every page, and the dialog that lists them. */

import { html, useEffect } from "./vendor/preact.js";
import { Dialog } from "./elements.js";
import { PAGES } from "./pages.js";
import { go, linkTo } from "./router.js";

const SECOND_KEY_MS = 1000;
const TYPED_IN = "input, textarea, select, [contenteditable]";

/** @param {() => void} showHelp @param {boolean} admin */
export function useKeyboard(showHelp, admin) {
  useEffect(() => {
    let afterG = 0;
    const press = (/** @type {KeyboardEvent} */ event) => {
      const target = /** @type {HTMLElement} */ (event.target);
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      // From the search on to the rows that it has found.
      if (event.key === "Escape" && target.matches("[data-search]")) return target.blur();
      if (target.matches(TYPED_IN) || document.querySelector("dialog[open]")) return;
      const page = Date.now() - afterG < SECOND_KEY_MS && PAGES.find((one) => one.key === event.key && (admin || !one.admin));
      afterG = event.key === "g" ? Date.now() : 0;
      if (page) go(linkTo(page.path));
      else if (event.key === "?") showHelp();
      else if (event.key === "n") go(linkTo("/new"));
      else if (event.key === "/") focusSearch();
      else if (event.key === "a") focusActs();
      else if (event.key === "j" || event.key === "k") moveFocus(event.key === "j" ? 1 : -1);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [admin]);
}

function focusSearch() {
  const field = /** @type {HTMLInputElement | null} */ (document.querySelector("[data-search]"));
  if (field) field.focus();
  else go(linkTo("/jobs?focus=search"));
}

/** The acts on what is selected stand behind all rows: Tab alone would be a long way. */
function focusActs() {
  const act = /** @type {HTMLElement | null} */ (document.querySelector(".act-bar :is(button, a):not(:disabled)"));
  act?.focus();
}

/** Move the focus among the rows of the page's list. @param {number} by */
function moveFocus(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);
  const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** @param {{admin: boolean, close: () => void}} props */
export function KeyboardHelp({ admin, close }) {
  /** @type {[string[], string][]} */
  const everywhere = [[["/"], "Search"], [["j"], "Next row"], [["k"], "Previous row"], [["Enter"], "Open it"], [["x"], "Select it"], [["a"], "Act on the selected"], [["n"], "New job"], [["Esc"], "Close a dialog, leave the search"], [["?"], "This help"]];
  const pages = PAGES.filter((page) => admin || !page.admin).map((page) => /** @type {[string[], string]} */ ([["g", page.key], page.name]));
  return html`<${Dialog} title="Keyboard" close=${close} wide>
    <div class="key-columns"><${Keys} name="Everywhere" rows=${everywhere} /><${Keys} name="Go to a page" rows=${pages} /></div>
  </${Dialog}>`;
}

/** @param {{name: string, rows: [string[], string][]}} props */
const Keys = ({ name, rows }) => html`<section><h3>${name}</h3><dl class="keys">${rows.map(([keys, text]) => html`<div key=${text}><dt>${keys.map((key) => html`<kbd key=${key}>${key}</kbd>`)}</dt><dd>${text}</dd></div>`)}</dl></section>`;
