/** One project: its spend and caps, its members and their roles. */

import { html, useState } from "../vendor/preact.js";
import { call, signals } from "../api.js";
import { AccountBalance, Caps } from "../balance.js";
import { announce, ConfirmDialog, CopyButton, Empty, Failure, Loading, Pill, Time } from "../elements.js";
import { countOf, formatCredits } from "../format.js";
import { Keys } from "../project_keys.js";
import { useNow, useReading } from "../reading.js";
import { mayManage, mayNameOwner } from "../rights.js";
import { go, linkTo } from "../router.js";
import { CapsForm, GrantForm, LimitsForm, SmallForm } from "../small_forms.js";

/** @type {[string, string, string][]} */
const ROLES = [
  ["viewer", "Viewer", "Reads all members' jobs and their results."],
  ["editor", "Editor", "Also submits jobs to the project, and cancels, retries and replays them."],
  ["admin", "Admin", "Also deletes jobs, chooses the members and sets the caps."],
];
/** @type {Record<string, string>} */
const TONES = { viewer: "off", editor: "wait", admin: "good" };

/** @typedef {{kind: "role" | "remove" | "leave" | "payer", userId: string, role: string}} Order */

/** @param {import("../pages.js").PageProps} props */
export default function ProjectPage({ id, caller }) {
  const now = useNow();
  const path = `/api/projects/${encodeURIComponent(id)}`;
  const { data: project, error, loading, reload } = useReading(path, { everySeconds: 10 });
  const [order, setOrder] = useState(/** @type {Order | null} */ (null));
  if (loading) return html`<${Crumbs} /><h1>Project</h1><${Loading} lines=${8} />`;
  if (!project) return html`<${Crumbs} /><h1>Project</h1>${error.status === 404 ? html`<${Empty} title="There is no such project, or you are no member"><p>Ask one of its admins to add you. Jobs may name a project that nobody has created: <a href=${`${linkTo("/jobs")}?project=${encodeURIComponent(id)}`}>see the jobs</a></p></${Empty}>` : html`<${Failure} error=${error} retry=${reload} />`}`;
  const manages = mayManage(caller, project);
  const jobs = `${linkTo("/jobs")}?project=${encodeURIComponent(id)}`;
  const done = () => { signals.dispatchEvent(new Event("roles")); void reload(); };
  return html`
    <${Crumbs} />
    <div class="title job-title"><div><h1>${project.name}</h1><p class="hint"><code>${id}</code> <${CopyButton} text=${id} label="Copy id" /></p></div><div class="buttons"><a class="button" href=${jobs}>Its jobs</a><a class="button" href=${`${jobs}&status=FAILED`}>Failed</a><a class="button" href=${`${linkTo("/schedules")}?project=${encodeURIComponent(id)}`}>Schedules</a></div></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    <section class="panel project"><h2 class="hidden">Spend, caps and limits</h2>
      <dl class="inline"><div><dt>Owner</dt><dd>${project.ownerId}</dd></div><div><dt>Your role</dt><dd>${project.role ?? "none: you see it as an admin of the deployment"}</dd></div><div><dt>Jobs at a time</dt><dd>${project.activeJobs === null ? "no limit" : project.activeJobs.toLocaleString()}</dd></div><div><dt>Created</dt><dd><${Time} at=${project.createdAt} now=${now} /></dd></div></dl>
      ${project.hasAccount ? html`<${Account} path=${path} now=${now} />` : html`<p class="hint">Its members pay its jobs, each their own, until an admin of the deployment grants it credits.</p>`}
      ${caller.admin && project.hasAccount && html`<p><button onClick=${() => setOrder({ kind: "payer", userId: "", role: "" })}>Let its members pay…</button></p>`}
      <${Caps} caps=${project} />
      ${!manages && [project.daily, project.monthly, project.total].every((cap) => cap.limit === null) && html`<p>${formatCredits(project.daily.spent)} spent today, ${formatCredits(project.monthly.spent)} this month. There is no cap.</p>`}
      ${manages && html`<div class="user-forms"><${AddForm} path=${path} known=${project.members} done=${done} /><${CapsForm} key=${`${project.daily.limit}/${project.monthly.limit}`} caps=${project} path=${`${path}/caps`} done=${reload} /><${ProjectLimits} key=${`limits/${project.activeJobs}/${project.total.limit}`} project=${project} path=${`${path}/limits`} done=${reload} />${caller.admin && html`<${GrantForm} path=${`${path}/grants`} to=${project.name} whose="the project's" done=${reload} />`}</div>`}
    </section>
    <section><h2>${countOf(project.members.length, "member")}</h2>
      <div class="table-wrap"><table class="members"><thead><tr><th>User</th><th>Role</th><th class="number wide-only">Since</th><th><span class="hidden">Orders</span></th></tr></thead>
        <tbody>${project.members.map((/** @type {any} */ one) => html`<${MemberRow} key=${one.userId} member=${one} project=${project} caller=${caller} now=${now} manages=${manages} order=${setOrder} />`)}</tbody></table></div>
      <p class="hint">A change is in effect with the member's next request; live updates of a removed member end within seconds. Changes are in the audit log. A role that a token names for the project counts before the one here.</p>
    </section>
    ${manages && html`<${Keys} path=${`${path}/keys`} pays=${project.hasAccount} now=${now} />`}
    ${order?.kind === "role" && html`<${RoleDialog} order=${order} project=${project} path=${path} owner=${mayNameOwner(caller, project)} close=${() => setOrder(null)} done=${done} />`}
    ${order?.kind === "payer" && html`<${PayerDialog} project=${project} path=${path} close=${() => setOrder(null)} done=${reload} />`}
    ${order && (order.kind === "remove" || order.kind === "leave") && html`<${RemoveDialog} order=${order} project=${project} path=${path} close=${() => setOrder(null)} done=${done} />`}`;
}

/** The balance of the account that pays its jobs. @param {{path: string, now: number}} props */
function Account({ path, now }) {
  const account = useReading(`${path}/credits`, { everySeconds: 10 });
  return html`<${AccountBalance} reading=${account} of="Balance of the project" now=${now}><p class="hint">Its own account pays its jobs.</p></${AccountBalance}>`;
}

const Crumbs = () => html`<nav class="crumbs" aria-label="Way back"><a href=${linkTo("/projects")}>Projects</a></nav>`;

/** @param {{member: any, project: any, caller: import("../pages.js").Caller, now: number, manages: boolean, order: (order: Order) => void}} props */
function MemberRow({ member, project, caller, now, manages, order }) {
  const { userId, role } = member;
  const owns = userId === project.ownerId;
  const self = userId === caller.userId;
  const give = (/** @type {Order["kind"]} */ kind) => () => order({ kind, userId, role });
  return html`<tr data-row tabindex="0"><th scope="row">${caller.admin ? html`<a href=${`${linkTo("/users")}?user=${encodeURIComponent(userId)}`}>${userId}</a>` : userId}${self && html`<small> you</small>`}</th>
    <td><${Pill} text=${owns ? "owner" : role} tone=${TONES[role] ?? "off"} /></td>
    <td class="number wide-only"><${Time} at=${member.since} now=${now} /></td>
    <td class="row-buttons">${!owns && manages && html`<button class="quiet" onClick=${give("role")} aria-label=${`Change the role of ${userId}`}>Role…</button>`}
      ${!owns && (self ? html`<button class="quiet" onClick=${give("leave")}>Leave…</button>` : manages && html`<button class="quiet" onClick=${give("remove")} aria-label=${`Remove ${userId}`}>Remove…</button>`)}</td></tr>`;
}

/** @param {{path: string, known: any[], done: () => void}} props */
function AddForm({ path, known, done }) {
  const [user, setUser] = useState("");
  const [role, setRole] = useState("viewer");
  const name = user.trim();
  const present = known.some((one) => one.userId === name);
  const act = async () => {
    await call("PUT", `${path}/members/${encodeURIComponent(name)}`, { body: { role } });
    announce(`${name} is a member: ${role}.`);
    setUser("");
    done();
  };
  return html`<${SmallForm} title="Add a member" verb="Add" ready=${!!name && !present} act=${act} hint=${present ? `${name} is a member already: change the role in the list.` : ROLES.find(([value]) => value === role)?.[2]}>
    <label class="compact">User<input maxlength="256" value=${user} placeholder="their user id" onInput=${(/** @type {any} */ event) => setUser(event.target.value)} /></label>
    <label class="compact">Role<select value=${role} onChange=${(/** @type {any} */ event) => setRole(event.target.value)}>${ROLES.map(([value, word]) => html`<option key=${value} value=${value}>${word}</option>`)}</select></label></${SmallForm}>`;
}

/** @param {{project: any, path: string, done: () => void}} props */
const ProjectLimits = ({ project, path, done }) => html`<${LimitsForm} title="Limits of all its jobs" noun="limits" path=${path} done=${done} hint=${`Spent in all: ${formatCredits(project.total.spent)}. More jobs at a time wait; empty is no limit.`}
  limits=${[{ name: "activeJobs", label: "Jobs at a time", limit: project.activeJobs }, { name: "credits", label: "Credits in all", limit: project.total.limit, least: 0 }]} />`;

/** @param {{order: Order, project: any, path: string, owner: boolean, close: () => void, done: () => void}} props `owner`: the caller may name one */
function RoleDialog({ order, project, path, owner, close, done }) {
  const [role, setRole] = useState(order.role);
  const act = async () => {
    if (role === "owner") await call("PUT", `${path}/owner`, { body: { ownerId: order.userId } });
    else await call("PUT", `${path}/members/${encodeURIComponent(order.userId)}`, { body: { role } });
    announce(role === "owner" ? `${order.userId} owns ${project.name} now.` : `${order.userId} is ${role} now.`);
    done();
  };
  const choices = owner ? [...ROLES, ["owner", "Owner", `In place of ${project.ownerId}, who stays an admin: gets the spend alerts, and alone names the next owner.`]] : ROLES;
  return html`<${ConfirmDialog} title=${`Role of ${order.userId}`} verb=${role === "owner" ? "Make the owner" : "Set the role"} ready=${role !== order.role} close=${close} act=${act}>
    <fieldset class="radios"><legend>Role</legend>${choices.map(([value, word, hint]) => html`<label key=${value} class="check"><input type="radio" name="role" value=${value} checked=${role === value} onChange=${() => setRole(value)} /><span><strong>${word}</strong><small>${hint}</small></span></label>`)}</fieldset>
  </${ConfirmDialog}>`;
}

/** @param {{order: Order, project: any, path: string, close: () => void, done: () => void}} props */
function RemoveDialog({ order, project, path, close, done }) {
  const leaves = order.kind === "leave";
  const act = async () => {
    await call("DELETE", `${path}/members/${encodeURIComponent(order.userId)}`);
    announce(leaves ? `You have left ${project.name}.` : `${order.userId} was removed.`);
    if (leaves && project.role) go(linkTo("/projects"));
    done();
  };
  return html`<${ConfirmDialog} title=${leaves ? `Leave ${project.name}` : `Remove ${order.userId}`} verb=${leaves ? "Leave" : "Remove"} danger close=${close} act=${act}>
    <p>${leaves ? "You no longer see" : html`<strong>${order.userId}</strong> no longer sees`} the jobs of the other members, and cannot submit to the project. ${leaves ? "Your" : "Their"} own jobs stay ${leaves ? "yours" : "theirs"}, and the project's members see them as before.</p>
  </${ConfirmDialog}>`;
}

/** @param {{project: any, path: string, close: () => void, done: () => void}} props */
function PayerDialog({ project, path, close, done }) {
  const act = async () => {
    await call("PUT", `${path}/payer`, { body: { payer: "members", reason: "by the dashboard" } });
    announce(`The members of ${project.name} pay its jobs now.`);
    done();
  };
  return html`<${ConfirmDialog} title="Let the members pay" verb="Let them pay" close=${close} act=${act}><p>New jobs and retries are paid by the member who submits them, and API keys of the project can run none. Its credits stay in its account: the next grant makes it pay again.</p></${ConfirmDialog}>`;
}
