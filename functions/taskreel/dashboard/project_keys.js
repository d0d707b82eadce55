/** The API keys of a project: a list, and the dialogs that create, rotate and revoke one. */

import { html, useState } from "./vendor/preact.js";
import { call } from "./api.js";
import { announce, ConfirmDialog, CopyButton, Failure, Pill, Time } from "./elements.js";
import { countOf } from "./format.js";
import { useReading } from "./reading.js";

/** @typedef {{kind: "new"} | {kind: "rotate" | "revoke", key: any}} Order */

/** @param {{path: string, pays: boolean, now: number}} props `pays`: the project has credits of its own */
export function Keys({ path, pays, now }) {
  const { data, error, reload } = useReading(path, { everySeconds: 30 });
  const [order, setOrder] = useState(/** @type {Order | null} */ (null));
  const [issued, setIssued] = useState(/** @type {any} */ (null));
  const close = () => setOrder(null);
  const show = (/** @type {any} */ made) => { setIssued(made); void reload(); };
  const keys = data?.keys ?? [];
  return html`<section><div class="title"><h2>${countOf(keys.length, "API key")}</h2><div class="buttons"><button onClick=${() => setOrder({ kind: "new" })}>New key…</button></div></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${issued && html`<p class="panel" role="status"><strong>${issued.name}</strong>: copy its token now, it is not shown again. <code>${issued.token}</code> <${CopyButton} text=${issued.token} label="Copy token" /> <button class="quiet" onClick=${() => setIssued(null)}>Hide</button></p>`}
    ${keys.length > 0 && html`<div class="table-wrap"><table class="api-keys"><thead><tr><th>Key</th><th>Role</th><th class="wide-only">Created by</th><th class="number">Expires</th><th><span class="hidden">Orders</span></th></tr></thead>
      <tbody>${keys.map((/** @type {any} */ one) => html`<tr key=${one.keyId} data-row tabindex="0"><th scope="row">${one.name}<small class="wide-only"> ${one.keyId}</small></th>
        <td><${Pill} text=${one.role} tone="off" /></td><td class="wide-only">${one.createdBy}</td>
        <td class="number">${one.expiresAt ? html`<${Time} at=${one.expiresAt} now=${now} />` : "never"}</td>
        <td class="row-buttons"><button class="quiet" aria-label=${`Rotate ${one.name}`} onClick=${() => setOrder({ kind: "rotate", key: one })}>Rotate…</button><button class="quiet" aria-label=${`Revoke ${one.name}`} onClick=${() => setOrder({ kind: "revoke", key: one })}>Revoke…</button></td></tr>`)}</tbody></table></div>`}
    <p class="hint">Programs send a key's token as <code>Authorization: Bearer …</code>. It acts in this project alone${pays ? ", and the project pays its jobs." : ". A key has no credits: its jobs are refused until an admin of the deployment grants the project some."}</p>
    ${order?.kind === "new" && html`<${NewKeyDialog} path=${path} close=${close} done=${show} />`}
    ${order?.kind === "rotate" && html`<${RotateDialog} order=${order} path=${path} close=${close} done=${show} />`}
    ${order?.kind === "revoke" && html`<${RevokeDialog} order=${order} path=${path} close=${close} done=${reload} />`}
  </section>`;
}

/** @type {[string, string][]} */
const ROLES = [
  ["viewer", "reads the project's jobs and results"],
  ["editor", "also submits, cancels, retries and replays"],
  ["admin", "also deletes jobs; manages no members and no keys"],
];

/** @param {{path: string, close: () => void, done: (made: any) => void}} props */
function NewKeyDialog({ path, close, done }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("editor");
  const [days, setDays] = useState("");
  const act = async () => {
    const expiresAt = days ? new Date(Date.now() + Number(days) * 86_400_000).toISOString() : null;
    done(await call("POST", path, { body: { name: name.trim(), role, expiresAt } }));
  };
  return html`<${ConfirmDialog} title="New API key" verb="Create the key" ready=${!!name.trim()} close=${close} act=${act}>
    <label class="compact">Name of the key<input maxlength="200" value=${name} placeholder="the program that uses it" onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></label>
    <fieldset class="radios"><legend>Role</legend>${ROLES.map(([value, hint]) => html`<label key=${value} class="check"><input type="radio" name="key-role" value=${value} checked=${role === value} onChange=${() => setRole(value)} /><span><strong>${value}</strong><small>${hint}</small></span></label>`)}</fieldset>
    <label class="compact">Valid for days<input type="number" min="1" max="3650" value=${days} placeholder="until it is revoked" onInput=${(/** @type {any} */ event) => setDays(event.target.value)} /></label>
  </${ConfirmDialog}>`;
}

/** @param {{order: any, path: string, close: () => void, done: (made: any) => void}} props */
function RotateDialog({ order, path, close, done }) {
  const [hours, setHours] = useState("0");
  const act = async () => done(await call("POST", `${path}/${order.key.keyId}/rotate`, { body: { overlapSeconds: Math.round(Number(hours) * 3600) } }));
  return html`<${ConfirmDialog} title=${`Rotate ${order.key.name}`} verb="Make another token" close=${close} act=${act}>
    <p>The key stays the same user: its jobs, schedules and webhooks stay its own.</p>
    <label class="compact">Accept the old token for hours<input type="number" min="0" max="168" value=${hours} onInput=${(/** @type {any} */ event) => setHours(event.target.value)} /></label>
  </${ConfirmDialog}>`;
}

/** @param {{order: any, path: string, close: () => void, done: () => void}} props */
function RevokeDialog({ order, path, close, done }) {
  const act = async () => {
    await call("DELETE", `${path}/${order.key.keyId}`);
    announce(`${order.key.name} is revoked.`);
    done();
  };
  return html`<${ConfirmDialog} title=${`Revoke ${order.key.name}`} verb="Revoke" danger close=${close} act=${act}><p>Programs that send its token are refused. Its jobs go on; its recurring jobs are paused at their next time, and can be taken over by admins of the project.</p></${ConfirmDialog}>`;
}
