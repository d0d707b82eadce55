/** Lists of jobs that a person has named: their filters, stored in this browser. */

import { html, useState } from "./vendor/preact.js";
import { ConfirmDialog } from "./elements.js";
import { readViews, removeView, storeView } from "./view_store.js";
import { go, linkTo } from "./router.js";

/** @param {{address: string}} props the query of the list that is shown */
export function SavedViews({ address }) {
  const [views, setViews] = useState(() => readViews(localStorage));
  const [naming, setNaming] = useState(false);
  const [name, setName] = useState("");
  const shown = views.find((view) => view.query === address);
  if (!views.length && !address) return null;
  return html`<div class="views" role="group" aria-label="Saved views">
    ${views.map((view) => html`<span key=${view.name} class="view" data-shown=${view === shown ? "" : undefined}><a href=${`${linkTo("/jobs")}?${view.query}`} aria-current=${view === shown ? "true" : undefined}>${view.name}</a><button class="quiet" aria-label=${`Remove the view ${view.name}`} onClick=${() => setViews(removeView(localStorage, view.name))}>✕</button></span>`)}
    ${address && !shown && html`<button class="quiet" onClick=${() => { setName(""); setNaming(true); }}>Save this view…</button>`}
    ${naming && html`<${ConfirmDialog} title="Save this view" verb="Save" ready=${!!name.trim()} close=${() => setNaming(false)} act=${async () => { setViews(storeView(localStorage, { name: name.trim(), query: address })); go(`${linkTo("/jobs")}?${address}`, { replace: true }); }}>
      <label>Name<input maxlength="60" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></label>
      <p class="hint">It is stored in this browser. To share it, send the page's address: the filters are in it.</p></${ConfirmDialog}>`}
  </div>`;
}
