/** The audit log: who ordered what, and why. */

import { html, useState } from "../vendor/preact.js";
import { Empty, Failure, Loading, More, Time } from "../elements.js";
import { useDelayed, useNow, usePages } from "../reading.js";
import { ROOT } from "../router.js";

export default function Audit() {
  const now = useNow();
  const [text, setText] = useState("");
  const wanted = useDelayed(text.trim());
  const { rows, data, error, reload, more } = usePages(`/api/audit?limit=50${wanted && `&text=${encodeURIComponent(wanted)}`}`, "entries", "entryId", { everySeconds: 15 });
  return html`
    <div class="title"><h1>Audit</h1></div>
    <p class="lead">Each order of an admin and each change of a project is written here with its reason, and stays.</p>
    <div class="filter-row"><label class="search"><span class="hidden">Search the log</span><input data-search type="search" placeholder="Search names, acts and reasons  ( / )" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></label></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} lines=${8} />` : rows.length === 0 ? html`<${Empty} title=${wanted ? "No entry matches" : "No entries yet"}><p>${wanted ? "The search is in users, acts, subjects and reasons." : "The first pause, override or limit is written here."}</p></${Empty}>`
      : html`<div class="table-wrap"><table><thead><tr><th>When</th><th>Who</th><th>Did</th><th class="wide-only">To</th><th class="wide-only">Reason</th></tr></thead>
        <tbody>${rows.map((one) => html`<tr key=${one.entryId}><td class="nowrap"><${Time} at=${one.at} now=${now} /></td><td>${one.userId}</td><td>${one.action}<span class="narrow-only">: <${Subject} entry=${one} /></span></td><td class="wide-only"><${Subject} entry=${one} /></td><td class="wide-only">${one.reason || html`<span class="zero">–</span>`}</td></tr>`)}</tbody></table></div>`}
    <${More} more=${more} text="Older entries" />`;
}

/** A subject with the page that shows it. @param {{entry: any}} props */
function Subject({ entry }) {
  const { subject, action } = entry;
  if (action === "result cache purged") return subject;
  if (action.startsWith("project ")) return html`<a href=${`${ROOT}/projects/${subject}`}>${subject}</a>`;
  if (subject.endsWith("-queue")) return html`<a href=${`${ROOT}/queues`}>${subject}</a>`;
  if (subject.includes("/")) return html`<a href=${`${ROOT}/providers?text=${encodeURIComponent(subject.replace("/", " "))}`}>${subject}</a>`;
  return html`<a href=${`${ROOT}/users?user=${encodeURIComponent(subject)}`}>${subject}</a>`;
}
