/** Money: where all credits are, what models earn and cost by day, and one's own ledger. */

import { html, useState } from "../vendor/preact.js";
import { AccountBalance, BalanceEquation, BalanceSkeleton, Caps } from "../balance.js";
import { formatDay, listDays } from "../chart_scale.js";
import { Bars, Lines } from "../charts.js";
import { Empty, Failure, Loading, More, PageOf, Pill, Time } from "../elements.js";
import { formatUsd } from "../format.js";
import { addModels, sumByDay } from "../metrics.js";
import { useNow, usePages, useReading } from "../reading.js";
import { go, linkTo } from "../router.js";

/** @type {Record<string, [string, string]>} */
const KINDS = { grant: ["Grant", "good"], capture: ["Charged", "busy"], release: ["Returned", "off"], expiry: ["Expired", "warn"] };
/** What an entry does to the balance; what is returned was held, and had left no entry. @type {Record<string, string>} */
const SIGNS = { grant: "+", capture: "−", expiry: "−" };
const PERIODS = [7, 30, 90];
const PRICE_KEY = "taskreel.creditUsd";

/** @param {import("../pages.js").PageProps} props */
export default function Money({ query, caller }) {
  const now = useNow();
  const account = useReading("/api/credits", { everySeconds: 10 });
  const caps = useReading("/api/credits/caps", { everySeconds: 30 });
  return html`
    <div class="title"><h1>Money</h1></div>
    ${caller.admin && html`<${EverybodysMoney} query=${query} />`}
    <section><h2>${caller.admin ? "Your own credits" : "Your credits"}</h2>
      <${AccountBalance} reading=${account} of="Your balance" now=${now} />
      ${caps.data && html`<${Caps} caps=${caps.data} />`}
    </section>
    <${Ledger} />`;
}

/** @param {{query: URLSearchParams}} props */
function EverybodysMoney({ query }) {
  const days = PERIODS.includes(Number(query.get("days"))) ? Number(query.get("days")) : 7;
  const sums = useReading("/api/accounts/sums", { everySeconds: 60 });
  const models = useReading(`/api/providers/performance?days=${days}`, { everySeconds: 30 });
  const change = (/** @type {number} */ period) => go(`${linkTo("/credits")}${period === 7 ? "" : `?days=${period}`}`, { replace: true });
  return html`
    <p class="lead">All users' credits: what was granted is available, held or charged, to the last one. ${sums.data && !sums.data.complete && "There are more accounts than were added up."} <a href=${linkTo("/users")}>Grants and caps of a user</a></p>
    <${PageOf} reading=${sums} waiting=${html`<${BalanceSkeleton} />`}>${(/** @type {any} */ data) => html`<${BalanceEquation} account=${data} of=${`All ${data.users.toLocaleString()} accounts`} />`}</${PageOf}>
    <section><div class="title"><h2>By model</h2>
      <div class="switch" role="group" aria-label="Period">${PERIODS.map((period) => html`<button key=${period} aria-pressed=${period === days} onClick=${() => change(period)}>${period} days</button>`)}</div></div>
      <${PageOf} reading=${models} isEmpty=${(/** @type {any} */ data) => data.days.length === 0} empty="Nothing was bought in this time" hint="Each call that a provider finishes is counted here within half a minute." waiting=${html`<div class="models-wait" role="status" aria-label="Loading"></div>`}>${(/** @type {any} */ data) => html`<${ByModel} rows=${data.days} labels=${listDays(days, Date.now())} />`}</${PageOf}>
    </section>`;
}

/** @param {{rows: any[], labels: string[]}} props */
function ByModel({ rows, labels }) {
  const [price, setPrice] = useState(localStorage.getItem(PRICE_KEY) ?? "");
  const creditUsd = Number(price) > 0 ? Number(price) : null;
  const models = addModels(rows, creditUsd);
  const store = (/** @type {string} */ text) => { localStorage.setItem(PRICE_KEY, text); setPrice(text); };
  const earned = sumByDay(rows, labels, "credits");
  const cost = sumByDay(rows, labels, "costUsd");
  const worth = (/** @type {any} */ one) => (one.marginUsd === null ? "–" : html`<span class=${one.marginUsd < 0 ? "bad" : ""}>${formatUsd(one.marginUsd)}</span>`);
  return html`
    <div class="charts">
      <${Bars} title="Credits by day" labels=${labels} describe=${formatDay} format=${(/** @type {number} */ value) => value.toLocaleString()} series=${[{ name: "charged", tone: "busy", values: earned }, { name: "returned", tone: "off", values: sumByDay(rows, labels, "released") }]} />
      ${creditUsd === null
        ? html`<${Bars} title="Charges of the providers" labels=${labels} describe=${formatDay} format=${formatUsd} series=${[{ name: "US dollars", tone: "warn", values: cost }]} />`
        : html`<${Lines} title="Earned and paid" labels=${labels} describe=${formatDay} format=${formatUsd} series=${[{ name: "earned", tone: "good", values: earned.map((credits) => credits * creditUsd) }, { name: "paid to providers", tone: "warn", values: cost }]} />`}
    </div>
    <div class="table-wrap"><table><thead><tr><th>Model</th><th class="number">Calls</th><th class="number wide-only">Failed</th><th class="number">Credits charged</th><th class="number wide-only">Returned</th><th class="number">Cost</th><th class="number wide-only">A credit costs</th><th class="number wide-only">Margin</th></tr></thead>
      <tbody>${models.map((one) => html`<tr key=${one.key}><th scope="row">${one.model ?? "default"}<small> ${one.provider}</small></th><td class="number">${one.calls.toLocaleString()}</td><td class="number wide-only">${one.failed ? html`<span class="bad">${one.failed.toLocaleString()}</span>` : html`<span class="zero">0</span>`}</td><td class="number">${one.credits.toLocaleString()}</td><td class="number wide-only">${one.released ? one.released.toLocaleString() : html`<span class="zero">0</span>`}</td><td class="number">${one.costUsd ? formatUsd(one.costUsd) : html`<span class="zero">–</span>`}</td><td class="number wide-only">${one.costUsd && one.credits ? formatUsd(one.costUsd / one.credits) : html`<span class="zero">–</span>`}</td><td class="number wide-only">${worth(one)}</td></tr>`)}</tbody></table></div>
    <div class="filter-row"><label class="compact">You sell a credit for, in US dollars<input type="number" min="0" step="0.001" placeholder="0.04" value=${price} onInput=${(/** @type {any} */ event) => store(event.target.value)} /></label><p class="hint">For the margin. It is stored in this browser alone.</p></div>`;
}

function Ledger() {
  const now = useNow();
  const { rows, data, error, reload, more } = usePages("/api/credits/ledger?limit=50", "entries", "entryId", { everySeconds: 10 });
  // Free jobs have entries too, which move nothing.
  const shown = rows.filter((one) => one.amount !== 0);
  return html`<section><h2>Your ledger</h2>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} />` : shown.length === 0 ? html`<${Empty} title="No entries yet"><p>Each job that ends and is not free writes one line here: what it cost, and what came back.</p></${Empty}>`
      : html`<div class="table-wrap"><table><thead><tr><th>Entry</th><th class="number">Amount</th><th class="number wide-only">Of a hold of</th><th>Job or reason</th><th class="number">When</th></tr></thead>
        <tbody>${shown.map((one) => html`<tr key=${one.entryId}><td><${Pill} text=${(KINDS[one.kind] ?? [one.kind])[0]} tone=${(KINDS[one.kind] ?? ["", "off"])[1]} /></td><td class="number">${SIGNS[one.kind] ?? ""}${one.amount.toLocaleString()}</td><td class="number wide-only">${one.kind === "grant" ? "–" : one.held.toLocaleString()}</td><td class="file-name">${one.jobId ? html`<a href=${linkTo(`/jobs/${one.jobId}`)}><code>${one.jobId}</code></a>` : html`${one.reason ?? ""}${one.grantedBy ? html` <small>by ${one.grantedBy}</small>` : ""}`}</td><td class="number"><${Time} at=${one.createdAt} now=${now} /></td></tr>`)}</tbody></table></div>`}
    ${shown.some((one) => one.kind === "release") && html`<p class="hint">What was returned had only been held: it is available again, and changes no sum.</p>`}
    <${More} more=${more} text="Older entries" />
  </section>`;
}
