/** Performance: outcomes, waits and runs by day and job type. */

import { html } from "../vendor/preact.js";
import { formatDay, listDays } from "../chart_scale.js";
import { Bars, Lines } from "../charts.js";
import { PageOf } from "../elements.js";
import { countOf, formatMs, formatType, formatUsd } from "../format.js";
import { addTypes, sumDays } from "../metrics.js";
import { useReading } from "../reading.js";
import { go, linkTo } from "../router.js";

const PERIODS = [7, 30, 90];

/** @param {import("../pages.js").PageProps} props */
export default function Performance({ query, caller }) {
  const days = PERIODS.includes(Number(query.get("days"))) ? Number(query.get("days")) : 7;
  const type = query.get("type") ?? "";
  const reading = useReading(`/api/jobs/performance?days=${days}`, { everySeconds: 30 });
  const change = (/** @type {Record<string, string>} */ some) => {
    const next = Object.entries({ days: String(days), type, ...some }).filter(([name, value]) => value && !(name === "days" && value === "7"));
    go(`${linkTo("/performance")}?${new URLSearchParams(next)}`, { replace: true });
  };
  return html`
    <div class="title"><h1>Performance</h1>
      <div class="switch" role="group" aria-label="Period">${PERIODS.map((period) => html`<button key=${period} aria-pressed=${period === days} onClick=${() => change({ days: String(period) })}>${period} days</button>`)}</div></div>
    <p class="lead">All users' jobs by the day on which they ended, in UTC. Quantiles are within 5%.</p>
    <${PageOf} reading=${reading} isEmpty=${(/** @type {any} */ data) => data.days.length === 0} empty="No jobs in this time" hint="Each job that ends is counted here within half a minute.">${(/** @type {any} */ data) => html`<${Numbers} rows=${data.days} labels=${listDays(days, Date.now())} type=${type} change=${change} admin=${caller.admin} />`}</${PageOf}>`;
}

/** @param {{rows: any[], labels: string[], type: string, change: (some: Record<string, string>) => void, admin: boolean}} props */
function Numbers({ rows, labels, type, change, admin }) {
  const types = addTypes(rows);
  // Quantiles of several types cannot be added: with all types the busiest one's times are shown.
  const timed = type || types[0].jobType;
  const outcomes = sumDays(rows.filter((row) => !type || row.jobType === type), labels);
  const times = (/** @type {"wait" | "run"} */ kind, /** @type {string} */ share) => labels.map((day) => rows.find((row) => row.day === day && row.jobType === timed)?.[kind][share] ?? null);
  const lines = (/** @type {"wait" | "run"} */ kind) => [
    { name: "half", tone: "busy", values: times(kind, "p50") },
    { name: "nine in ten", tone: "warn", values: times(kind, "p90") },
    { name: "99%", tone: "bad", values: times(kind, "p99") },
  ];
  return html`
    <div class="filter-row"><label class="compact">Job type<select value=${type} onChange=${(/** @type {any} */ event) => change({ type: event.target.value })}><option value="">all</option>${types.map((one) => html`<option key=${one.jobType} value=${one.jobType}>${formatType(one.jobType)}</option>`)}</select></label></div>
    <div class="charts">
      <${Bars} title=${`Jobs that ended${type ? `: ${formatType(type)}` : ""}`} labels=${labels} describe=${formatDay} format=${(/** @type {number} */ value) => value.toLocaleString()} series=${[
        { name: "completed", tone: "good", values: outcomes.completed }, { name: "failed", tone: "bad", values: outcomes.failed }, { name: "stopped", tone: "off", values: outcomes.stopped }]} />
      <${Lines} title=${`Run time: ${formatType(timed)}`} labels=${labels} describe=${formatDay} format=${formatMs} series=${lines("run")} />
      <${Lines} title=${`Wait before it: ${formatType(timed)}`} labels=${labels} describe=${formatDay} format=${formatMs} series=${lines("wait")} />
      <${Bars} title="Tried again by their owners" labels=${labels} describe=${formatDay} format=${(/** @type {number} */ value) => value.toLocaleString()} series=${[{ name: "retried", tone: "warn", values: outcomes.retried }]} empty="No job was retried" />
    </div>
    <section><h2>By type</h2><div class="table-wrap"><table><thead><tr><th>Type</th><th class="number">Ended</th><th class="number">Failed</th><th class="number wide-only">Success</th><th class="number wide-only">Run, half</th><th class="number wide-only">Nine in ten</th>${admin && html`<th class="number wide-only">Credits</th><th class="number wide-only">Cost</th>`}</tr></thead>
      <tbody>${types.map((one) => html`<tr key=${one.jobType}><th scope="row"><a href=${`${linkTo("/performance")}?days=${labels.length}&type=${one.jobType}`}>${formatType(one.jobType)}</a></th><td class="number" title=${countOf(one.submitted, "job submitted").replace("submitteds", "submitted")}>${one.ended.toLocaleString()}</td><td class="number">${one.failed ? html`<span class="bad">${one.failed.toLocaleString()}</span>` : html`<span class="zero">0</span>`}</td><td class="number wide-only">${one.success === null ? "–" : `${(100 * one.success).toFixed(one.success > 0.99 && one.success < 1 ? 2 : 0)}%`}</td><td class="number wide-only">${one.newest.run.p50 === null ? "–" : formatMs(one.newest.run.p50)}</td><td class="number wide-only">${one.newest.run.p90 === null ? "–" : formatMs(one.newest.run.p90)}</td>${admin && html`<td class="number wide-only">${one.credits.toLocaleString()}</td><td class="number wide-only">${one.costUsd ? formatUsd(one.costUsd) : html`<span class="zero">–</span>`}</td>`}</tr>`)}</tbody></table></div>
      <p class="hint">Times are those of the newest day.</p></section>`;
}
