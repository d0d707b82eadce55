/** Providers: their models, prices and circuit breakers, which an admin can open and close. */

import { html, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, Dialog, Empty, Failure, Loading, Pill, Time } from "../elements.js";
import { countOf, formatUsd } from "../format.js";
import { useNow, useReading } from "../reading.js";
import { go, ROOT } from "../router.js";

/** @type {Record<string, [string, string]>} */
const BREAKERS = { closed: ["in use", "good"], open: ["stopped", "bad"], half_open: ["on trial", "warn"] };

/** @param {{query: URLSearchParams, caller: any}} props */
export default function Providers({ query, caller }) {
  const now = useNow();
  const { data, error, reload } = useReading("/api/providers", { everySeconds: 10 });
  const text = query.get("text") ?? "";
  const onlyOpen = query.get("state") === "open";
  const [order, setOrder] = useState(/** @type {any} */ (null));
  const change = (/** @type {string} */ next, /** @type {boolean} */ open) => go(`${ROOT}/providers?${new URLSearchParams({ ...(next && { text: next }), ...(open && { state: "open" }) })}`, { replace: true });
  const fits = (/** @type {any} */ provider, /** @type {any} */ model) => (!onlyOpen || model.breaker.state !== "closed") && (!text || `${provider.provider} ${model.name} ${model.capability} ${model.aliases?.join(" ")}`.toLowerCase().includes(text.toLowerCase()));
  const shown = (data?.providers ?? []).map((/** @type {any} */ one) => ({ ...one, fitting: one.models.filter((/** @type {any} */ model) => fits(one, model)) })).filter((/** @type {any} */ one) => one.fitting.length || (!text && !onlyOpen));
  return html`
    <div class="title"><h1>Providers</h1></div>
    <div class="filter-row"><label class="search"><span class="hidden">Search models</span><input data-search type="search" placeholder="Search models  ( / )" value=${text} onInput=${(/** @type {any} */ event) => change(event.target.value, onlyOpen)} /></label>
      <label class="check"><input type="checkbox" checked=${onlyOpen} onChange=${(/** @type {any} */ event) => change(text, event.target.checked)} /> Stopped or on trial only</label></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} lines=${8} />` : shown.length === 0 ? html`<${Empty} title=${onlyOpen ? "No model is stopped" : "No model matches"}><p>${onlyOpen ? "All circuit breakers are closed." : ""}</p></${Empty}>`
      : shown.map((/** @type {any} */ provider) => html`<details key=${provider.provider} class="panel provider" open=${!!text || onlyOpen || provider.models.some((/** @type {any} */ model) => model.breaker.state !== "closed")}>
        <summary><strong>${provider.provider}</strong>${provider.configured ? html`<${Pill} text="ready" tone="good" />` : provider.servedBy ? html`<${Pill} text=${`no key: ${provider.servedBy} stands in`} tone="warn" />` : html`<${Pill} text="no key" tone="off" />`}<small>${countOf(provider.models.length, "model")}</small></summary>
        ${provider.fitting.length > 0 && html`<div class="table-wrap"><table><thead><tr><th>Model</th><th class="wide-only">Makes</th><th class="number">Price</th><th>Circuit breaker</th>${caller.admin && html`<th><span class="hidden">Change</span></th>`}</tr></thead>
          <tbody>${provider.fitting.map((/** @type {any} */ model) => html`<tr key=${model.name}>
            <th scope="row">${model.name}${model.retired && html` <small class="bad">retired${model.replacedBy ? `, use ${model.replacedBy}` : ""}</small>`}${model.aliases?.length > 0 && html`<small class="aliases">${model.aliases.join(", ")}</small>`}</th>
            <td class="wide-only">${model.capability}</td><td class="number">${model.usd === null || model.usd === undefined ? "–" : html`${formatUsd(model.usd)}<small> ${/^[aeiou]/.test(model.unit) ? "an" : "a"} ${model.unit}</small>`}</td>
            <td><${Pill} text=${(BREAKERS[model.breaker.state] ?? [model.breaker.state])[0]} tone=${(BREAKERS[model.breaker.state] ?? ["", "off"])[1]} />${model.breaker.byHand && html`<small> by an admin</small>`}${model.breaker.state === "open" && !model.breaker.byHand && model.breaker.admitsAt && html`<small> next call <${Time} at=${model.breaker.admitsAt} now=${now} /></small>`}</td>
            ${caller.admin && html`<td class="number"><button class="quiet" onClick=${() => setOrder({ provider: provider.provider, model: model.name, byHand: model.breaker.byHand, state: model.breaker.state })}>Change…</button></td>`}
          </tr>`)}</tbody></table></div>`}
      </details>`)}
    ${order && html`<${BreakerDialog} order=${order} close=${() => setOrder(null)} done=${reload} />`}`;
}

/** @param {{order: any, close: () => void, done: () => void}} props */
function BreakerDialog({ order, close, done }) {
  const [state, setState] = useState(order.byHand ? "auto" : order.state === "open" ? "closed" : "open");
  const [reason, setReason] = useState("");
  const [error, setError] = useState(/** @type {any} */ (null));
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      await call("POST", `/api/providers/${order.provider}/${order.model}/breaker`, { body: { state: state === "auto" ? null : state, reason } });
      announce(`${order.provider} ${order.model}: ${{ open: "stopped", closed: "permitted", auto: "follows its failures again" }[state]}.`);
      done();
      close();
    } catch (failure) { setError(failure); }
  };
  /** @type {[string, string, string][]} */
  const choices = [["open", "Stop it", "No job uses the model until this is changed. Jobs that can go elsewhere do."], ["closed", "Permit it", "It is used whatever its failures are."], ["auto", "Automatic", "It stops after failures and tries again by itself."]];
  return html`<${Dialog} title=${`${order.provider} ${order.model}`} close=${close}><form onSubmit=${submit}>
    <fieldset class="radios"><legend>Circuit breaker</legend>${choices.map(([value, name, hint]) => html`<label key=${value} class="check"><input type="radio" name="state" value=${value} checked=${state === value} onChange=${() => setState(value)} /><span><strong>${name}</strong><small>${hint}</small></span></label>`)}</fieldset>
    <label>Reason, for the audit log<input required maxlength="500" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /></label>
    ${error && html`<${Failure} error=${error} />`}
    <div class="buttons"><button type="button" onClick=${close}>Back</button><button class=${state === "open" ? "danger" : "primary"} disabled=${!reason.trim()}>Apply</button></div>
  </form></${Dialog}>`;
}
