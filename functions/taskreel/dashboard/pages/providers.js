/** Providers: their models, prices and circuit breakers, which an admin can open and close. */

import { html, useMemo, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { BreakerHistory } from "../breaker_history.js";
import { announce, ConfirmDialog, Empty, Failure, Loading, Pill, Time } from "../elements.js";
import { countOf, formatMs, formatUsd } from "../format.js";
import { addModels } from "../metrics.js";
import { useNow, useReading } from "../reading.js";
import { go, ROOT } from "../router.js";

/** @type {Record<string, [string, string]>} */
const BREAKERS = { closed: ["in use", "good"], open: ["stopped", "bad"], half_open: ["on trial", "warn"] };

/** @param {{query: URLSearchParams, caller: any}} props */
export default function Providers({ query, caller }) {
  const now = useNow();
  const { data, error, reload } = useReading("/api/providers", { everySeconds: 10 });
  const performance = useReading(caller.admin ? "/api/providers/performance?days=7" : null, { everySeconds: 30 });
  const numbers = useMemo(() => new Map(addModels(performance.data?.days ?? [], null).map((one) => [one.key, one])), [performance.data]);
  const text = query.get("text") ?? "";
  const onlyOpen = query.get("state") === "open";
  const [order, setOrder] = useState(/** @type {any} */ (null));
  const change = (/** @type {string} */ next, /** @type {boolean} */ open) => go(`${ROOT}/providers?${new URLSearchParams({ ...(next && { text: next }), ...(open && { state: "open" }) })}`, { replace: true });
  const fits = (/** @type {any} */ provider, /** @type {any} */ model) => (!onlyOpen || model.breaker.state !== "closed") && (!text || `${provider.provider} ${model.name} ${model.capability} ${model.aliases?.join(" ")}`.toLowerCase().includes(text.toLowerCase()));
  // Those that serve come first; on a laptop that is the one that stands in for all.
  const ordered = [...(data?.providers ?? [])].sort((one, other) => Number(other.configured) - Number(one.configured));
  const shown = ordered.map((/** @type {any} */ one) => ({ ...one, fitting: one.models.filter((/** @type {any} */ model) => fits(one, model)) })).filter((/** @type {any} */ one) => one.fitting.length || (!text && !onlyOpen));
  return html`
    <div class="title"><h1>Providers</h1></div>
    <p class="lead">A model is stopped after repeated failures, and tried again by itself; an admin can stop or permit it.</p>
    <div class="filter-row"><label class="search"><span class="hidden">Search models</span><input data-search type="search" placeholder="Search models  ( / )" value=${text} onInput=${(/** @type {any} */ event) => change(event.target.value, onlyOpen)} /></label>
      <label class="check"><input type="checkbox" checked=${onlyOpen} onChange=${(/** @type {any} */ event) => change(text, event.target.checked)} /> Stopped or on trial only</label></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} lines=${8} />` : shown.length === 0 ? html`<${Empty} title=${onlyOpen ? "No model is stopped" : "No model matches"}><p>${onlyOpen ? "All circuit breakers are closed." : ""}</p></${Empty}>`
      : shown.map((/** @type {any} */ provider) => html`<details key=${provider.provider} class="panel provider" open=${!!text || onlyOpen || provider.models.some((/** @type {any} */ model) => model.breaker.state !== "closed")}>
        <summary><strong>${provider.provider}</strong>${provider.configured ? html`<${Pill} text="ready" tone="good" />` : provider.servedBy ? html`<${Pill} text=${`no key: ${provider.servedBy} stands in`} tone="warn" />` : html`<${Pill} text="no key" tone="off" />`}<small>${countOf(provider.models.length, "model")}</small></summary>
        ${caller.admin && html`<${StandIn} provider=${provider} numbers=${numbers} />`}
        ${provider.fitting.length > 0 && html`<div class="table-wrap"><table><thead><tr><th>Model</th><th class="wide-only">Makes</th><th class="number wide-only">Price</th>${caller.admin && html`<th class="number wide-only">Calls, 7 days</th><th class="number wide-only">Failed</th><th class="number wide-only">Run</th>`}<th>Circuit breaker</th>${caller.admin && html`<th><span class="hidden">Change</span></th>`}</tr></thead>
          <tbody>${provider.fitting.map((/** @type {any} */ model) => html`<${ModelRow} key=${model.name} model=${model} numbers=${numbers.get(`${provider.provider}/${model.name}`)} now=${now} admin=${caller.admin} change=${() => setOrder({ provider: provider.provider, model: model.name, byHand: model.breaker.byHand, state: model.breaker.state })} />`)}</tbody></table></div>`}
      </details>`)}
    ${order && html`<${BreakerDialog} order=${order} close=${() => setOrder(null)} done=${reload} />`}`;
}

/** @param {{model: any, numbers: any, now: number, admin: boolean, change: () => void}} props */
function ModelRow({ model, numbers, now, admin, change }) {
  const { breaker } = model;
  const [word, tone] = BREAKERS[breaker.state] ?? [breaker.state, "off"];
  return html`<tr>
    <th scope="row">${model.name}${model.retired && html` <small class="bad">retired${model.replacedBy ? `, use ${model.replacedBy}` : ""}</small>`}${model.aliases?.length > 0 && html`<small class="aliases">${model.aliases.join(", ")}</small>`}</th>
    <td class="wide-only">${model.capability}</td>
    <td class="number wide-only">${model.usd === null || model.usd === undefined ? "–" : html`${formatUsd(model.usd)}<small> ${/^[aeiou]/.test(model.unit) ? "an" : "a"} ${model.unit}</small>`}</td>
    ${admin && html`<${CallNumbers} numbers=${numbers} />`}
    <td><${Pill} text=${word} tone=${tone} />${breaker.byHand && html`<small> by an admin</small>`}${breaker.state === "open" && !breaker.byHand && breaker.admitsAt && html`<small> next call <${Time} at=${breaker.admitsAt} now=${now} /></small>`}<${BreakerHistory} changes=${breaker.changes} now=${now} /></td>
    ${admin && html`<td class="row-buttons"><button class="quiet" onClick=${change} aria-label=${`Change ${model.name}`}>Change…</button></td>`}
  </tr>`;
}

/** @param {{numbers: any}} props */
function CallNumbers({ numbers }) {
  const none = html`<span class="zero">–</span>`;
  const errors = Object.entries(numbers?.errors ?? {}).sort((one, other) => other[1] - one[1]).map(([code, number]) => `${code}: ${number}`);
  return html`<td class="number wide-only">${numbers?.calls ? numbers.calls.toLocaleString() : none}</td>
    <td class="number wide-only">${numbers?.failed ? html`<span class="bad" title=${errors.join("\n")}>${numbers.failed.toLocaleString()}</span><small class="why">${errors[0].split(":")[0]}</small>` : none}</td>
    <td class="number wide-only">${numbers?.newest.run.p50 ? html`<span title="Half, and nine in ten of the jobs of the newest day">${formatMs(numbers.newest.run.p50)}, ${formatMs(numbers.newest.run.p90)}</span>` : none}</td>`;
}

/** The calls of a provider whose models the API does not list: the dev stack's own. @param {{provider: any, numbers: Map<string, any>}} props */
function StandIn({ provider, numbers }) {
  if (provider.configured || !provider.servedBy) return null;
  const one = [...numbers.values()].filter((row) => row.provider === provider.servedBy);
  const calls = one.reduce((sum, row) => sum + row.calls, 0);
  return calls > 0 && html`<p class="hint stand-in">${provider.servedBy} finished ${countOf(calls, "call")} in 7 days for providers without a key.</p>`;
}

/** @param {{order: any, close: () => void, done: () => void}} props */
function BreakerDialog({ order, close, done }) {
  const [state, setState] = useState(order.byHand ? "auto" : order.state === "open" ? "closed" : "open");
  const [reason, setReason] = useState("");
  const act = async () => {
    await call("POST", `/api/providers/${order.provider}/${order.model}/breaker`, { body: { state: state === "auto" ? null : state, reason } });
    announce(`${order.provider} ${order.model}: ${{ open: "stopped", closed: "permitted", auto: "follows its failures again" }[state]}.`);
    done();
  };
  /** @type {[string, string, string][]} */
  const choices = [["open", "Stop it", "No job uses the model until this is changed. Jobs that can go elsewhere do."], ["closed", "Permit it", "It is used whatever its failures are."], ["auto", "Automatic", "It stops after failures and tries again by itself."]];
  return html`<${ConfirmDialog} title=${`${order.provider} ${order.model}`} verb="Apply" danger=${state === "open"} ready=${!!reason.trim()} close=${close} act=${act}>
    <fieldset class="radios"><legend>Circuit breaker</legend>${choices.map(([value, name, hint]) => html`<label key=${value} class="check"><input type="radio" name="state" value=${value} checked=${state === value} onChange=${() => setState(value)} /><span><strong>${name}</strong><small>${hint}</small></span></label>`)}</fieldset>
    <label>Reason, for the audit log<input required maxlength="500" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /></label>
  </${ConfirmDialog}>`;
}
