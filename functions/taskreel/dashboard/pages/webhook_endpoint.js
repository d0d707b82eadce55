/** One webhook endpoint: its keys, its deliveries with each try, and sending them again. */

import { html, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, ConfirmDialog, CopyButton, Empty, Failure, Loading, More, PageOf, Pill, Time } from "../elements.js";
import { countOf, formatMs } from "../format.js";
import { useNow, usePages, useReading } from "../reading.js";
import { go, linkTo } from "../router.js";
import { EndpointState } from "./webhooks.js";

/** @type {Record<string, [string, string]>} */
export const DELIVERY_STATES = { pending: ["pending", "wait"], succeeded: ["delivered", "good"], failed: ["failed", "bad"], skipped: ["skipped", "off"] };
const FILTERS = [["All", ""], ["Pending", "pending"], ["Failed", "failed"], ["Delivered", "succeeded"]];
const DAY = 86_400_000;

/** @param {import("../pages.js").PageProps} props */
export default function WebhookEndpoint({ id, query }) {
  const now = useNow();
  const endpoint = useReading(`/api/webhook-endpoints/${id}`, { everySeconds: 10 });
  const state = query.get("state") ?? "";
  const deliveries = usePages(`/api/webhook-endpoints/${id}/deliveries?limit=25${state && `&state=${state}`}`, "deliveries", "deliveryId", { everySeconds: 5 });
  const [dialog, setDialog] = useState("");
  const close = () => setDialog("");
  const one = endpoint.data;
  const path = `/api/webhook-endpoints/${id}`;
  const change = async (/** @type {boolean} */ enabled) => {
    await call("PATCH", path, { body: { enabled } });
    announce(enabled ? "The endpoint is enabled, and its failures are forgotten." : "The endpoint gets no more messages.");
    void endpoint.reload();
  };
  const test = async () => {
    try {
      await call("POST", `${path}/test`);
      announce("A webhook.test event is on its way.");
      void deliveries.reload();
    } catch (failure) { announce(/** @type {Error} */ (failure).message, "bad"); }
  };
  return html`
    <nav class="crumbs" aria-label="Way back"><a href=${linkTo("/webhooks")}>Webhooks</a></nav>
    <h1>${one ? one.url ?? "Webhooks that jobs name" : "Endpoint"}</h1>
    <${PageOf} reading=${endpoint} lines=${3}>${() => html`
      <section class="panel"><div class="title"><div><${EndpointState} endpoint=${one} now=${now} /></div>
        ${one.url && html`<button onClick=${test}>Send a test</button>${one.state === "enabled" ? html`<button class="quiet" onClick=${() => setDialog("disable")}>Disable…</button>` : html`<button class="primary" onClick=${() => change(true).catch((error) => announce(error.message, "bad"))}>Enable</button>`}<button class="quiet" onClick=${() => setDialog("delete")}>Delete…</button>`}</div>
        <dl class="inline"><div><dt>User</dt><dd>${one.userId}</dd></div><div><dt>Events</dt><dd>${one.events.join(", ") || "those that each job names"}</dd></div>${one.projectId && html`<div><dt>Project</dt><dd>${one.projectId}</dd></div>`}<div><dt>Created</dt><dd><${Time} at=${one.createdAt} now=${now} /></dd></div></dl>
        <${Keys} path=${path} now=${now} rotate=${() => setDialog("rotate")} version=${one.updatedAt} /></section>`}</${PageOf}>
    <section><div class="title"><h2>Deliveries</h2><button class="quiet" onClick=${() => setDialog("again")}>Send failed ones again…</button></div>
      <div class="tabs" role="group" aria-label="State">${FILTERS.map(([name, value]) => html`<button key=${name} aria-pressed=${state === value} onClick=${() => go(`${linkTo(`/webhooks/${id}`)}${value && `?state=${value}`}`, { replace: true })}>${name}</button>`)}</div>
      ${deliveries.error && html`<${Failure} error=${deliveries.error} retry=${deliveries.reload} />`}
      ${!deliveries.data ? !deliveries.error && html`<${Loading} />` : deliveries.rows.length === 0 ? html`<${Empty} title="No deliveries"><p>Each event of a job is a message here, with every try and its answer, for 30 days.</p></${Empty}>`
        : html`<ul class="deliveries">${deliveries.rows.map((delivery) => html`<${Delivery} key=${delivery.deliveryId} delivery=${delivery} now=${now} reload=${deliveries.reload} />`)}</ul>`}
      <${More} more=${deliveries.more} text="Older deliveries" /></section>
    ${dialog === "disable" && html`<${ConfirmDialog} title="Disable the endpoint" verb="Disable" danger close=${close} act=${() => change(false)}><p>It gets no messages, and those that wait for another try are given up. Events meanwhile are recorded as skipped.</p></${ConfirmDialog}>`}
    ${dialog === "delete" && html`<${ConfirmDialog} title="Delete the endpoint" verb="Delete" danger close=${close} act=${async () => { await call("DELETE", path); announce("The endpoint was deleted."); go(linkTo("/webhooks")); }}><p>Messages that wait for another try are not sent any more. Its key cannot be brought back.</p></${ConfirmDialog}>`}
    ${dialog === "rotate" && html`<${ConfirmDialog} title="Replace the key" verb="Replace" close=${close} act=${async () => { await call("POST", `${path}/keys`, { body: {} }); announce("A new key signs; the replaced one does so for a day."); void endpoint.reload(); }}><p>Both keys sign for a day: give your receiver the new one meanwhile.</p></${ConfirmDialog}>`}
    ${dialog === "again" && html`<${SendAgain} path=${path} close=${close} done=${deliveries.reload} />`}`;
}

/** The keys, which are read when they are opened. @param {{path: string, now: number, rotate: () => void, version: string}} props */
function Keys({ path, now, rotate, version }) {
  const [open, setOpen] = useState(false);
  const reading = useReading(open ? `${path}/keys` : null);
  return html`<details key=${version} onToggle=${(/** @type {any} */ event) => setOpen(event.target.open)}><summary>Keys</summary>
    ${open && html`<${PageOf} reading=${reading} lines=${2}>${(/** @type {any} */ data) => html`<ul class="plain keys-list">${data.keys.map((/** @type {any} */ key) => html`<li key=${key.createdAt}><code class="file-name">${key.secret ?? key.publicKey}</code> <${CopyButton} text=${key.secret ?? key.publicKey} /><small>${key.signature}, made <${Time} at=${key.createdAt} now=${now} />${key.expiresAt && html`, signs until <${Time} at=${key.expiresAt} now=${now} />`}</small></li>`)}</ul><button class="quiet" onClick=${rotate}>Replace the key…</button>`}</${PageOf}>`}
  </details>`;
}

/** @param {{delivery: any, now: number, reload: () => any}} props */
function Delivery({ delivery, now, reload }) {
  const [word, tone] = DELIVERY_STATES[delivery.state] ?? [delivery.state, "off"];
  const last = delivery.tries.at(-1);
  const again = async () => {
    try {
      await call("POST", `/api/webhook-deliveries/${delivery.deliveryId}/redeliver`);
      announce("It is sent again.");
      void reload();
    } catch (failure) { announce(/** @type {Error} */ (failure).message, "bad"); }
  };
  return html`<li class="tone-${tone}"><details><summary>
      <${Pill} text=${word} tone=${tone} /><strong>${delivery.event}</strong>
      <small>${last ? (last.status ? `${last.status} in ${formatMs(last.milliseconds)}` : last.error) : "not sent yet"}${delivery.tries.length > 1 ? `, ${countOf(delivery.tries.length, "try").replace("trys", "tries")}` : ""}</small>
      <small class="when"><${Time} at=${delivery.createdAt} now=${now} />${delivery.nextTryAt && delivery.state === "pending" && html`, next <${Time} at=${delivery.nextTryAt} now=${now} />`}</small></summary>
    <div class="delivery">
      <p class="hint"><code>${delivery.deliveryId}</code>${delivery.jobId && html` · <a href=${linkTo(`/jobs/${delivery.jobId}`)}>the job</a>`}${delivery.reason && ` · ${delivery.reason}`}</p>
      ${delivery.body && html`<h4>Request</h4><div class="json"><pre tabindex="0" aria-label="Request">${formatBody(delivery.body)}</pre><${CopyButton} text=${delivery.body} /></div>`}
      ${delivery.tries.length > 0 && html`<h4>Answers</h4><ol class="tries">${[...delivery.tries].reverse().map((one) => html`<li key=${one.at}><span class=${one.status && one.status < 300 ? "" : "bad"}>${one.status ?? "none"}</span><small><${Time} at=${one.at} now=${now} />, ${formatMs(one.milliseconds)}</small>${(one.error || one.body) && html`<pre tabindex="0" aria-label="Answer">${one.error ?? one.body}</pre>`}</li>`)}</ol>`}
      <div class="buttons"><button onClick=${again}>${delivery.state === "pending" ? "Try now" : "Send again"}</button></div>
    </div></details></li>`;
}

/** @param {string} body */
function formatBody(body) {
  try { return JSON.stringify(JSON.parse(body), null, 2); } catch { return body; }
}

/** @param {{path: string, close: () => void, done: () => any}} props */
function SendAgain({ path, close, done }) {
  const [days, setDays] = useState("1");
  const act = async () => {
    const made = await call("POST", `${path}/redeliver`, { body: { since: new Date(Date.now() - Number(days) * DAY).toISOString() } });
    announce(`${countOf(made.sent, "message")} sent again.${made.more ? " There are more: repeat it." : ""}`);
    void done();
  };
  return html`<${ConfirmDialog} title="Send failed messages again" verb="Send again" close=${close} act=${act}><p>With the ids and bodies that they had, so a receiver that has seen one knows it. At most a thousand at a time.</p>
    <label>Made in the last<select value=${days} onChange=${(/** @type {any} */ event) => setDays(event.target.value)}><option value="1">day</option><option value="7">7 days</option><option value="30">30 days</option></select></label></${ConfirmDialog}>`;
}
