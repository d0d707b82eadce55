/** Providers: their models, prices, spend, run times, and circuit breakers, which an admin can change. */

import { html, useMemo, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { BreakerHistory } from "../breaker_history.js";
import { formatDay, listDays } from "../chart_scale.js";
import { Sparkline } from "../charts.js";
import { announce, ConfirmDialog, Empty, Failure, Loading, Pill, Time } from "../elements.js";
import { countOf, formatCredits, formatMs, formatUsd } from "../format.js";
import { addModels, listModelDays } from "../metrics.js";
import { useNow, useReading } from "../reading.js";
import { go, ROOT } from "../router.js";

/** @type {Record<string, [string, string]>} */
const BREAKERS = { closed: ["in use", "good"], open: ["stopped", "bad"], half_open: ["on trial", "warn"] };
const PERIODS = [7, 30, 90];

/** @param {{query: URLSearchParams, caller: any}} props */
export default function Providers({ query, caller }) {
  const now = useNow();
  const { data, error, reload } = useReading("/api/providers", { everySeconds: 10 });
  const days = PERIODS.includes(Number(query.get("days"))) ? Number(query.get("days")) : 7;
  const performance = useReading(caller.admin ? `/api/providers/performance?days=${days}` : null, { everySeconds: 30 });
  const numbers = useMemo(() => addNumbers(performance.data?.days ?? [], days), [performance.data]);
  const text = query.get("text") ?? "";
  const onlyOpen = query.get("state") === "open";
  const [order, setOrder] = useState(/** @type {any} */ (null));
  const change = (/** @type {{text?: string, open?: boolean, days?: number}} */ next) => {
    const wanted = { text, open: onlyOpen, days, ...next };
    go(`${ROOT}/providers?${new URLSearchParams({ ...(wanted.text && { text: wanted.text }), ...(wanted.open && { state: "open" }), ...(wanted.days !== 7 && { days: String(wanted.days) }) })}`, { replace: true });
  };
  const fits = (/** @type {any} */ provider, /** @type {any} */ model) => (!onlyOpen || model.breaker.state !== "closed") && (!text || `${provider.provider} ${model.name} ${model.capability} ${model.aliases?.join(" ")}`.toLowerCase().includes(text.toLowerCase()));
  // Those that serve come first; on a laptop that is the one that stands in for all.
  const ordered = data ? addUnlisted(data.providers, numbers) : [];
  ordered.sort((one, other) => Number(other.configured) - Number(one.configured));
  const counted = new Set([...numbers.values()].map((one) => one.provider));
  const shown = ordered.map((/** @type {any} */ one) => ({ ...one, counted: counted.has(one.provider), fitting: one.models.filter((/** @type {any} */ model) => fits(one, model)) })).filter((/** @type {any} */ one) => one.fitting.length || (!text && !onlyOpen));
  return html`
    <div class="title"><h1>Providers</h1></div>
    <p class="lead">A model is stopped after repeated failures, and tried again by itself; an admin can stop or permit it.</p>
    <div class="filter-row"><label class="search"><span class="hidden">Search models</span><input data-search type="search" placeholder="Search models  ( / )" value=${text} onInput=${(/** @type {any} */ event) => change({ text: event.target.value })} /></label>
      <label class="check"><input type="checkbox" checked=${onlyOpen} onChange=${(/** @type {any} */ event) => change({ open: event.target.checked })} /> Stopped or on trial only</label>
      ${caller.admin && html`<div class="switch" role="group" aria-label="Period">${PERIODS.map((period) => html`<button key=${period} aria-pressed=${period === days} onClick=${() => change({ days: period })}>${period} days</button>`)}</div>`}</div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} lines=${8} />` : shown.length === 0 ? html`<${Empty} title=${onlyOpen ? "No model is stopped" : "No model matches"}><p>${onlyOpen ? "All circuit breakers are closed." : ""}</p></${Empty}>`
      : shown.map((/** @type {any} */ provider) => html`<details key=${provider.provider} class="panel provider" open=${!!text || onlyOpen || provider.models.some((/** @type {any} */ model) => model.breaker.state !== "closed")}>
        <summary><strong>${provider.provider}</strong>${provider.configured ? html`<${Pill} text="ready" tone="good" />` : provider.servedBy ? html`<${Pill} text=${`no key: ${provider.servedBy} stands in`} tone="warn" />${provider.jobTypesThatNeedKey?.length > 0 && html`<small>not for ${provider.jobTypesThatNeedKey.join(", ")}</small>`}` : html`<${Pill} text="no key" tone="off" />`}<small>${describeSpend(provider, numbers)}${countOf(provider.models.length, "model")}</small></summary>
        ${provider.fitting.length > 0 && html`<div class="table-wrap"><table><thead><tr><th>Model</th><th class="wide-only">Makes</th><th class="number wide-only">Price</th>${provider.counted && html`<th class="number wide-only">Calls</th><th class="number wide-only">Failed</th><th class="number wide-only">Spend by day</th><th class="number wide-only">Run by day</th>`}<th>Circuit breaker</th>${caller.admin && html`<th><span class="hidden">Change</span></th>`}</tr></thead>
          <tbody>${provider.fitting.map((/** @type {any} */ model) => html`<${ModelRow} key=${model.name} model=${model} numbers=${numbers.get(`${provider.provider}/${model.name}`)} now=${now} admin=${caller.admin} counted=${provider.counted} change=${() => setOrder({ provider: provider.provider, model: model.name, byHand: model.breaker.byHand, state: model.breaker.state })} />`)}</tbody></table></div>`}
      </details>`)}
    ${order && html`<${BreakerDialog} order=${order} close=${() => setOrder(null)} done=${reload} />`}`;
}

/** @param {{model: any, numbers: any, now: number, admin: boolean, counted: boolean, change: () => void}} props */
function ModelRow({ model, numbers, now, admin, counted, change }) {
  const { breaker } = model;
  const [word, tone] = BREAKERS[breaker.state] ?? [breaker.state, "off"];
  return html`<tr>
    <th scope="row">${model.name || "default"}${model.retired && html` <small class="bad">retired${model.replacedBy ? `, use ${model.replacedBy}` : ""}</small>`}${model.aliases?.length > 0 && html`<small class="aliases">${model.aliases.join(", ")}</small>`}</th>
    <td class="wide-only">${model.capability ?? ""}</td>
    <td class="number wide-only">${model.usd === null || model.usd === undefined ? "–" : html`${formatUsd(model.usd)}<small> ${/^[aeiou]/.test(model.unit) ? "an" : "a"} ${model.unit}</small>`}</td>
    ${counted && html`<${CallNumbers} numbers=${numbers} />`}
    <td>${model.unlisted ? "" : html`<${Pill} text=${word} tone=${tone} />`}${breaker.byHand && html`<small> by an admin</small>`}${breaker.state === "open" && !breaker.byHand && breaker.admitsAt && html`<small> next call <${Time} at=${breaker.admitsAt} now=${now} /></small>`}<${BreakerHistory} changes=${breaker.changes} now=${now} /></td>
    ${admin && html`<td class="row-buttons">${!model.unlisted && html`<button class="quiet" onClick=${change} aria-label=${`Change ${model.name}`}>Change…</button>`}</td>`}
  </tr>`;
}

/** @param {{numbers: any}} props */
function CallNumbers({ numbers }) {
  const none = html`<span class="zero">–</span>`;
  const errors = Object.entries(numbers?.errors ?? {}).sort((one, other) => other[1] - one[1]).map(([code, number]) => `${code}: ${number}`);
  return html`<td class="number wide-only">${numbers?.calls ? numbers.calls.toLocaleString() : none}</td>
    <td class="number wide-only">${numbers?.failed ? html`<span class="bad" title=${errors.join("\n")}>${numbers.failed.toLocaleString()}</span><small class="why">${errors[0].split(":")[0]}</small>` : none}</td>
    <td class="number wide-only trend">${numbers?.credits || numbers?.costUsd ? html`<${Sparkline} tone="warn" values=${numbers.daily.costUsd.some(Boolean) ? numbers.daily.costUsd : numbers.daily.credits} label=${`Spend by day. ${nameDays(numbers, (index) => describeDaySpend(numbers, index))}`} />${formatUsd(numbers.costUsd)}<small>${formatCredits(numbers.credits)}</small>` : none}</td>
    <td class="number wide-only trend">${numbers?.newest.run.p50 ? html`<${Sparkline} values=${numbers.daily.p50} label=${`Half, and nine in ten of the runs by day. ${nameDays(numbers, (index) => describeDayRun(numbers, index))}`} />${formatMs(numbers.newest.run.p50)}<small>to ${formatMs(numbers.newest.run.p90)}</small>` : none}</td>`;
}

/** The days with a text, with it. @param {any} numbers @param {(index: number) => string} describe */
const nameDays = (numbers, describe) => numbers.labels.flatMap((/** @type {string} */ day, /** @type {number} */ index) => describe(index) ? [`${formatDay(day)}: ${describe(index)}`] : []).join("; ");

/** @param {any} numbers @param {number} index of a day */
const describeDaySpend = ({ daily }, index) => (daily.costUsd[index] || daily.credits[index] ? `${formatUsd(daily.costUsd[index])}, ${formatCredits(daily.credits[index])}` : "");

/** @param {any} numbers @param {number} index of a day */
const describeDayRun = ({ daily }, index) => (daily.p50[index] === null ? "" : `${formatMs(daily.p50[index])}, ${formatMs(daily.p90[index])}`);

/** The sums of each model, and what it spent and took on each day. @param {any[]} rows @param {number} days @returns {Map<string, any>} */
function addNumbers(rows, days) {
  const labels = listDays(days, Date.now());
  return new Map(addModels(rows, null).map((one) => [one.key, { ...one, labels, daily: listModelDays(rows, one.key, labels) }]));
}

/**
 * The providers with every model that was called: also those that the API does not list, such as the
 * dev stack's own, which stands in for providers without a key.
 * @param {any[]} providers @param {Map<string, any>} numbers
 */
function addUnlisted(providers, numbers) {
  const found = providers.map((one) => ({ ...one, models: [...one.models] }));
  for (const { provider, model } of numbers.values()) {
    let owner = found.find((one) => one.provider === provider);
    if (!owner) found.push(owner = { provider, configured: true, models: [] });
    if (!owner.models.some((/** @type {any} */ one) => one.name === (model ?? ""))) owner.models.push({ name: model ?? "", unlisted: true, breaker: { state: "closed", changes: [] } });
  }
  return found;
}

/** @param {any} provider @param {Map<string, any>} numbers */
function describeSpend(provider, numbers) {
  const own = [...numbers.values()].filter((one) => one.provider === provider.provider);
  const sum = (/** @type {string} */ name) => own.reduce((total, one) => total + one[name], 0);
  return own.length ? `${formatUsd(sum("costUsd"))}, ${formatCredits(sum("credits"))} · ` : "";
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
