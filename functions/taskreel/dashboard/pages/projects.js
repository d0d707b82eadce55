/** Projects: who works in which role, and what they spend. An admin sees everybody's. */

import { html, useState } from "../vendor/preact.js";
import { call, signals } from "../api.js";
import { CapBar } from "../balance.js";
import { announce, ConfirmDialog, Empty, Failure, Loading, More } from "../elements.js";
import { countOf } from "../format.js";
import { usePages } from "../reading.js";
import { go, linkTo } from "../router.js";

/** @param {import("../pages.js").PageProps} props */
export default function Projects({ query, caller }) {
  const everybodys = caller.admin && query.get("mine") !== "1";
  const { rows, data, error, reload, more } = usePages(`/api/projects${everybodys ? "?allUsers=true&limit=50" : ""}`, "projects", "projectId", { everySeconds: 15 });
  const [text, setText] = useState("");
  const [creates, setCreates] = useState(false);
  const wanted = text.trim().toLowerCase();
  const shown = rows.filter((one) => `${one.name} ${one.projectId} ${one.ownerId}`.toLowerCase().includes(wanted));
  const open = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && shown.length === 1) go(linkTo(`/projects/${shown[0].projectId}`));
    else if (event.key === "Enter" && everybodys && /^[\w.-]+$/.test(text.trim())) go(linkTo(`/projects/${text.trim()}`));
  };
  return html`
    <div class="title"><h1>Projects</h1>
      ${caller.admin && html`<div class="switch" role="group" aria-label="Whose">
        <button aria-pressed=${everybodys} onClick=${() => go(linkTo("/projects"), { replace: true })}>Everybody's</button>
        <button aria-pressed=${!everybodys} onClick=${() => go(`${linkTo("/projects")}?mine=1`, { replace: true })}>Mine</button></div>`}
      <button class="primary" onClick=${() => setCreates(true)}>New project</button></div>
    <p class="lead">Members see each other's jobs: a viewer reads them, an editor also submits and changes, an admin deletes and chooses the members. Each member pays their own jobs, unless the project has credits of its own; a cap limits what all of them spend.</p>
    ${rows.length > 5 && html`<div class="filter-row"><label class="search"><span class="hidden">Find a project by its name, owner or id</span><input data-search type="search" placeholder="A name, an owner or an id  ( / )" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} onKeyDown=${open} /></label></div>`}
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} lines=${8} />` : rows.length === 0 ? html`<${Empty} title="No projects yet"><p>Create one, add its members, and name its id as <code>projectId</code> in your jobs.</p><button class="primary" onClick=${() => setCreates(true)}>Create the first</button></${Empty}>`
      : shown.length === 0 ? html`<${Empty} title="No project matches">${more && html`<p>There are more than the ${rows.length} that were searched. Enter opens the project with exactly this id.</p>`}</${Empty}>`
      : html`<div class="table-wrap"><table class="projects"><thead><tr><th>Project</th><th class="wide-only">Owner</th><th class="wide-only">${everybodys ? "Members" : "Your role"}</th><th class="number">Today</th><th class="number">This month</th></tr></thead>
        <tbody>${shown.map((one) => html`<tr key=${one.projectId} data-row tabindex="0" onKeyDown=${(/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter" && event.target === event.currentTarget) go(linkTo(`/projects/${one.projectId}`)); }}>
          <th scope="row"><a href=${linkTo(`/projects/${one.projectId}`)}>${one.name}</a><small class="why wide-only"><code>${one.projectId}</code></small></th>
          <td class="wide-only">${one.ownerId}</td>
          <td class="wide-only">${everybodys ? one.members.length.toLocaleString() : html`${one.role ?? "–"}<small class="why">${countOf(one.members.length, "member")}</small>`}</td>
          <td class="number"><${Spend} cap=${one.daily} name="today" /></td><td class="number"><${Spend} cap=${one.monthly} name="this month" /></td></tr>`)}</tbody></table></div>`}
    <${More} more=${more} text="More projects" />
    ${creates && html`<${CreateDialog} close=${() => setCreates(false)} admin=${caller.admin} />`}`;
}

/** What was spent of a cap, with a bar where there is one. @param {{cap: any, name: string}} props */
const Spend = ({ cap, name }) => cap.limit === null ? html`${cap.spent ? cap.spent.toLocaleString() : html`<span class="zero">0</span>`}`
  : html`<span class=${cap.remaining === 0 ? "bad" : ""}>${cap.spent.toLocaleString()} <small>of ${cap.limit.toLocaleString()}</small></span><${CapBar} cap=${cap} label=${`Spent ${name}`} />`;

/** @param {{close: () => void, admin: boolean}} props */
function CreateDialog({ close, admin }) {
  const [name, setName] = useState("");
  const [id, setId] = useState("");
  const [owner, setOwner] = useState("");
  const act = async () => {
    const body = { name: name.trim(), ...(id.trim() && { projectId: id.trim() }), ...(owner.trim() && { ownerId: owner.trim() }) };
    const made = await call("POST", "/api/projects", { body });
    signals.dispatchEvent(new Event("roles"));
    announce(`The project ${made.name} was created.`);
    go(linkTo(`/projects/${made.projectId}`));
  };
  return html`<${ConfirmDialog} title="New project" verb="Create" ready=${!!name.trim()} close=${close} act=${act}>
    <label>Name<input required maxlength="200" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></label>
    ${admin ? html`<label>Owner<input maxlength="256" value=${owner} placeholder="yourself" onInput=${(/** @type {any} */ event) => setOwner(event.target.value)} /></label>
      <label>Id<input maxlength="128" value=${id} placeholder="a random one" onInput=${(/** @type {any} */ event) => setId(event.target.value)} /></label>
      <p class="hint">An id of your own choice takes over the jobs that name it already: members see them.</p>`
      : html`<p class="hint">You own it, and choose its members. Its id is random, and never changes.</p>`}
  </${ConfirmDialog}>`;
}
