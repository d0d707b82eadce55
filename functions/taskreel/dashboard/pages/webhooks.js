/** Webhook endpoints: their states, and a new one. */

import { html, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, ConfirmDialog, CopyButton, Dialog, Empty, Failure, Loading, More, Pill, Time } from "../elements.js";
import { useNow, usePages } from "../reading.js";
import { go, linkTo } from "../router.js";

/** @type {Record<string, [string, string]>} */
const STATES = { enabled: ["enabled", "good"], disabled: ["disabled", "off"] };
const EVENTS = ["job.completed", "job.failed", "job.cancelled", "job.expired", "job.queued", "job.processing", "job.retrying"];

/** @param {import("../pages.js").PageProps} props */
export default function Webhooks({ caller }) {
  const now = useNow();
  const [creating, setCreating] = useState(false);
  const path = `/api/webhook-endpoints?limit=50${caller.admin ? "&allUsers=true" : ""}`;
  const { rows, data, error, reload, more } = usePages(path, "endpoints", "endpointId", { everySeconds: 15 });
  // The one whose keys sign the addresses that jobs name has no address of its own.
  const shown = rows.filter((one) => one.url);
  return html`
    <div class="title"><h1>Webhooks</h1><a href=${linkTo("/webhooks/default")}>Keys of <code>webhookUrl</code></a><button class="primary" onClick=${() => setCreating(true)}>New endpoint</button></div>
    <p class="lead">An endpoint gets the events of ${caller.admin ? "its owner's" : "your"} jobs, signed by Standard Webhooks, and again until it answers 2xx.</p>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} />` : shown.length === 0 ? html`<${Empty} title="No endpoints"><p>With one, your server gets a message when a job ends and need not ask.</p></${Empty}>`
      : html`<div class="table-wrap"><table><thead><tr><th>Address</th>${caller.admin && html`<th class="wide-only">User</th>`}<th class="wide-only">Events</th><th>State</th><th class="number wide-only">Created</th></tr></thead>
        <tbody>${shown.map((one) => html`<tr key=${one.endpointId}><th scope="row" class="file-name"><a href=${linkTo(`/webhooks/${one.endpointId}`)}>${one.url}</a>${one.description && html`<small class="why">${one.description}</small>`}</th>${caller.admin && html`<td class="wide-only">${one.userId}</td>`}<td class="wide-only"><small>${one.events.map((/** @type {string} */ event) => event.replace("job.", "")).join(", ")}${one.projectId ? ` · project ${one.projectId}` : ""}</small></td><td><${EndpointState} endpoint=${one} now=${now} /></td><td class="number wide-only"><${Time} at=${one.createdAt} now=${now} /></td></tr>`)}</tbody></table></div>`}
    <${More} more=${more} text="Older endpoints" />
    ${creating && html`<${NewEndpoint} close=${() => setCreating(false)} />`}`;
}

/** @param {{endpoint: any, now: number}} props */
export function EndpointState({ endpoint, now }) {
  const [word, tone] = STATES[endpoint.state] ?? [endpoint.state, "off"];
  const failing = endpoint.failingSince && endpoint.state === "enabled";
  return html`<${Pill} text=${failing ? "failing" : word} tone=${failing ? "bad" : tone} />
    ${failing && html`<small class="why">since <${Time} at=${endpoint.failingSince} now=${now} />${endpoint.restingUntil && html`, rests until <${Time} at=${endpoint.restingUntil} now=${now} />`}</small>`}
    ${endpoint.disabledReason && html`<small class="why">${endpoint.disabledReason}</small>`}`;
}

/** @param {{close: () => void}} props */
function NewEndpoint({ close }) {
  const [url, setUrl] = useState("https://");
  const [events, setEvents] = useState(EVENTS.slice(0, 4));
  const [project, setProject] = useState("");
  const [made, setMade] = useState(/** @type {any} */ (null));
  const toggle = (/** @type {string} */ event) => setEvents((old) => (old.includes(event) ? old.filter((one) => one !== event) : [...old, event]));
  const act = async () => {
    const endpoint = await call("POST", "/api/webhook-endpoints", { body: { url: url.trim(), events, ...(project.trim() && { projectId: project.trim() }) } });
    announce("The endpoint was created.");
    setMade(endpoint);
    return true;
  };
  if (made) {
    const secret = made.keys[0].secret ?? made.keys[0].publicKey;
    return html`<${Dialog} title="The endpoint's key" close=${() => go(linkTo(`/webhooks/${made.endpointId}`))}><p>Your receiver checks signatures with it. It can be shown again on the endpoint's page.</p><div class="json"><pre tabindex="0" aria-label="Key">${secret}</pre><${CopyButton} text=${secret} /></div><div class="buttons"><a class="button primary" href=${linkTo(`/webhooks/${made.endpointId}`)}>Open the endpoint</a></div></${Dialog}>`;
  }
  return html`<${ConfirmDialog} title="New endpoint" verb="Create" ready=${/^https?:\/\/.+/.test(url.trim()) && events.length > 0} close=${close} act=${act}>
    <label>Address<input type="url" required value=${url} onInput=${(/** @type {any} */ event) => setUrl(event.target.value)} /></label>
    <fieldset class="ticks"><legend>Events</legend>${EVENTS.map((event) => html`<label key=${event} class="check"><input type="checkbox" checked=${events.includes(event)} onChange=${() => toggle(event)} />${event}</label>`)}</fieldset>
    <label>Of one project alone<input value=${project} placeholder="all projects" onInput=${(/** @type {any} */ event) => setProject(event.target.value)} /></label>
  </${ConfirmDialog}>`;
}
