/** The overview: the health of everything, what needs a person, and each type with its jobs. */

import { html, useMemo, useState } from "../vendor/preact.js";
import { Sparkline } from "../charts.js";
import { Empty, Failure, Loading, Pill, Thumbnail, Time } from "../elements.js";
import { countOpen, findPersonalWork, sortDeadLetters, sortFailedJobs } from "../attention.js";
import { countOf, formatMs, formatSeconds, formatType, formatUsd } from "../format.js";
import { useNow, useReading, useTitle } from "../reading.js";
import { ROOT } from "../router.js";
import { ACTIVE, WAITING } from "../statuses.js";

const MOST = 100;
const MOST_REASONS = 3;
const MOST_KINDS = 30;
/** @type {Record<string, string>} */
const TONES = { healthy: "good", degraded: "warn", unhealthy: "bad" };
/** @type {Record<string, string>} */
const WORDS = { healthy: "Everything works", degraded: "Some jobs wait or fail", unhealthy: "Jobs cannot be served now" };

/** @param {import("../pages.js").PageProps} props */
export default function Overview({ caller }) {
  const now = useNow();
  const [allTypes, setAllTypes] = useState(false);
  const health = useReading("/api/jobs/health", { everySeconds: 5, accept: [503] });
  const providers = useReading("/api/providers", { everySeconds: 60 });
  const account = useReading(caller.admin ? null : "/api/credits", { everySeconds: 15 });
  // What all users' jobs were charged today, and cost at the providers; or one's own spend, which holds count in.
  const spend = useReading(caller.admin ? "/api/providers/performance?days=1" : "/api/credits/caps", { everySeconds: 15 });
  const alerts = useReading(caller.admin ? "/api/alerts" : null, { everySeconds: 15 });
  const deployment = useReading(caller.admin ? "/api/deployment" : null);
  const day = useMemo(() => new Date(Date.now() - 86_400_000).toISOString(), []);
  // Counts that cost the same, however many jobs there are: of all users for admins, else one's own.
  const queues = useReading("/api/jobs/queues/stats", { everySeconds: 5 });
  const own = useReading(caller.admin ? null : "/api/jobs/stats", { everySeconds: 5 });
  // By their kinds, so that many failures of one do not hide another.
  const dead = useReading(caller.admin ? `/api/jobs/dead-letters?limit=${MOST_KINDS}` : null, { everySeconds: 15 });
  const failed = useReading(`/api/jobs?status=FAILED&limit=${MOST}&createdAfter=${day}&includeChildren=true`, { everySeconds: 15 });
  const recent = useReading("/api/jobs?status=COMPLETED&limit=36&summary=true", { everySeconds: 5 });
  // A delivered message needs no attention.
  const results = (recent.data?.jobs ?? []).filter((/** @type {any} */ job) => job.jobType !== "webhook").slice(0, 12);
  const counts = useMemo(() => countOpen(queues.data, own.data, caller.admin), [queues.data, own.data]);
  const { failures: kinds, explained } = useMemo(() => caller.admin ? sortDeadLetters(dead.data?.groups ?? [], day) : { failures: sortFailedJobs(failed.data?.jobs ?? [], MOST), explained: 0 }, [dead.data, failed.data]);
  const work = useMemo(() => findPersonalWork({ health: health.data, providers: providers.data?.providers, failures: kinds, alerts: alerts.data?.alerts }), [health.data, providers.data, kinds, alerts.data]);
  const types = queues.data?.queues ?? [];
  const findHealth = (/** @type {any} */ row) => health.data?.queues.find((/** @type {any} */ one) => one.jobType === row.jobType);
  const busy = types.filter((/** @type {any} */ row) => isBusy(row, findHealth(row)));
  // Before the first job there are all of them to be seen.
  const shownTypes = allTypes || busy.length === 0 ? types : busy;
  const failures = failed.data && { count: failed.data.jobs.length, more: failed.data.jobs.length === MOST };
  const error = health.error ?? queues.error ?? failed.error ?? dead.error ?? alerts.error ?? deployment.error;
  // All at once, so that nothing jumps as one answer comes after the other.
  const isRead = health.data && queues.data && failed.data && providers.data && recent.data && (caller.admin ? dead.data && deployment.data : own.data);
  if (!isRead && !error) return html`<div class="title"><h1>Overview</h1></div><${Loading} lines=${12} />`;
  return html`
    <div class="title"><h1>Overview</h1><span class="hint">${health.data ? html`Measured <${Time} at=${health.data.checkedAt} now=${now} />` : ""}</span></div>
    ${error && html`<${Failure} error=${error} retry=${() => { void health.reload(); void queues.reload(); void failed.reload(); }} />`}
    <${HealthBanner} health=${health.data} />
    <${ConsoleLinks} links=${deployment.data?.consoleLinks ?? []} />
    <div class="tiles">
      <${Tile} name="Waiting" found=${counts?.waiting} href=${`${ROOT}/jobs?status=${WAITING}&children=1`} />
      <${Tile} name="Running" found=${counts?.active} href=${`${ROOT}/jobs?status=${ACTIVE}&children=1`} />
      <${Tile} name="Failed in 24 h" found=${failures} href=${`${ROOT}/jobs?status=FAILED&since=24h&children=1`} tone=${failures?.count ? "bad" : ""} />
      ${caller.admin ? html`<${SpendTile} days=${spend.data?.days} />`
        : html`<a class="tile" href=${`${ROOT}/credits`}><span>Your credits</span><strong>${account.data ? account.data.available.toLocaleString() : "–"}</strong><small>${account.data && spend.data ? `${account.data.held.toLocaleString()} held, ${spend.data.daily.spent.toLocaleString()} spent today` : ""}</small></a>`}
    </div>
    <section><h2>Needs a person</h2>
      ${!failed.data || !health.data ? html`<p class="calm">…</p>` : work.length === 0 ? html`<p class="calm"><${Pill} text="Nothing" tone="good" /> No open circuit breaker, no paused queue, no failure ${explained ? "that an operator could correct" : ""} in the last 24 hours.</p>`
        : html`<ul class="work">${work.map((item) => html`<li key=${item.key} class=${`tone-${item.tone}`}><div><strong>${item.title}</strong><small>${item.detail}</small></div><a class="button" href=${item.href}>${item.link}</a></li>`)}</ul>`}
      ${explained > 0 && html`<p class="hint">${countOf(explained, "job")} failed by what their own requests ask for; their users see why. <a href=${`${ROOT}/failures?own=1`}>See them</a></p>`}
    </section>
    <section><div class="title"><h2>Latest results</h2><a href=${`${ROOT}/jobs?status=COMPLETED&view=sheet`}>Contact sheet</a></div>
      ${recent.data && results.length === 0 ? html`<${Empty} title="No results yet"><a class="button primary" href=${`${ROOT}/new`}>Create the first job</a></${Empty}>`
        : html`<ul class="strip" tabindex="0" aria-label="Latest results">${results.map((/** @type {any} */ job) => html`<${StripItem} key=${job.jobId} job=${job} now=${now} />`)}</ul>`}
    </section>
    <section><div class="title"><h2>Job types</h2><a href=${`${ROOT}/queues`}>Queues and their limits</a></div>
      <div class="table-wrap"><table class="types"><thead><tr><th>Type</th><th class="number">Waiting</th><th class="number">Running</th><th class="wide-only">Ended, 2 h</th><th class="number wide-only">Done, 1 h</th><th class="number wide-only">Failed, 1 h</th><th class="wide-only">Wait, 2 h</th><th class="number wide-only">Wait, 1 h</th><th class="number wide-only">Oldest due</th><th>Health</th></tr></thead>
        <tbody>${shownTypes.map((/** @type {any} */ row) => html`<${TypeRow} key=${row.jobType} row=${row} most=${queues.data.countedUpTo} health=${findHealth(row)} />`)}</tbody></table></div>
      ${shownTypes.length < types.length && html`<button class="quiet" onClick=${() => setAllTypes(true)}>Show ${countOf(types.length - shownTypes.length, "type")} without jobs</button>`}
      <p class="hint">All users' jobs.${caller.admin ? "" : " The numbers above are those of your own."}</p>
    </section>`;
}

/** It has its height before it has its words, so that nothing jumps. @param {{health: any}} props */
function HealthBanner({ health }) {
  if (!health) return html`<div class="health tone-off" role="status"><${Pill} text="…" /><div><strong>Measuring</strong></div><dl><div><dt>Store</dt><dd>–</dd></div></dl></div>`;
  return html`<div class=${`health tone-${TONES[health.status]}`} role="status">
    <${Pill} text=${health.status} tone=${TONES[health.status]} />
    <div><strong>${WORDS[health.status]}</strong>${health.reasons.length > 0 && html`<ul>${health.reasons.slice(0, MOST_REASONS).map((/** @type {string} */ reason) => html`<li key=${reason}>${reason}</li>`)}${health.reasons.length > MOST_REASONS && html`<li>and ${health.reasons.length - MOST_REASONS} more, below</li>`}</ul>`}</div>
    <dl>${[["Store", health.store], ["Bucket", health.bucket], ["Queues", health.queueService]].map(([name, part]) => html`<div key=${name}><dt>${name}</dt><dd class=${`tone-${TONES[part.status]}`}>${part.latencyMs === null ? "no answer" : `${part.latencyMs} ms`}</dd></div>`)}</dl>
  </div>`;
}

/** A deployment's pages in Cloud Console. @param {{links: {name: string, url: string}[]}} props */
const ConsoleLinks = ({ links }) => links.length > 0 && html`<p class="hint console-links">In Cloud Console: ${links.map((link) => html`<a key=${link.name} href=${link.url} target="_blank" rel="noopener">${link.name}</a>`)}</p>`;

/** @param {{name: string, found: {count: number, more: boolean} | null | undefined, href: string, tone?: string}} props */
const Tile = ({ name, found, href, tone = "" }) => html`<a class=${`tile tone-${tone}`} href=${href}><span>${name}</span><strong>${found ? `${found.count.toLocaleString()}${found.more ? "+" : ""}` : "–"}</strong><small>${found ? (found.count === 1 ? "job" : "jobs") : ""}</small></a>`;

/** All users' spend of the day, in UTC as everywhere. @param {{days: any[] | undefined}} props */
function SpendTile({ days }) {
  const today = new Date().toISOString().slice(0, 10);
  const sum = (/** @type {"credits" | "costUsd"} */ name) => (days ?? []).filter((row) => row.day === today).reduce((total, row) => total + (row[name] ?? 0), 0);
  return html`<a class="tile" href=${`${ROOT}/credits`}><span>Charged today</span><strong>${days ? sum("credits").toLocaleString() : "–"}</strong><small>${days ? `${sum("credits") === 1 ? "credit" : "credits"}, ${formatUsd(sum("costUsd"))} to providers` : ""}</small></a>`;
}

/** Tell if a type has open jobs, had some in two hours, or is not as it should be. @param {any} row @param {any} health */
function isBusy({ queue, performance }, health) {
  const open = queue.waiting + queue.active + queue.delayed;
  return open > 0 || queue.paused || performance.ended.some(Boolean) || performance.waits.some((/** @type {number | null} */ wait) => wait !== null) || (health && health.status !== "healthy");
}

/** @param {{row: any, most: number, health: any}} props */
function TypeRow({ row, most, health }) {
  const { queue, performance } = row;
  const zero = html`<span class="zero">0</span>`;
  // The pill says that it is paused, at once: health is measured now and then.
  const reasons = (health?.reasons ?? []).filter((/** @type {string} */ reason) => reason !== "it is paused");
  const cell = (/** @type {number} */ count, /** @type {string} */ status) => (count ? html`<a href=${`${ROOT}/jobs?status=${status}&type=${row.jobType}&children=1`}>${count.toLocaleString()}${count >= most ? "+" : ""}</a>` : zero);
  return html`<tr><th scope="row"><a href=${`${ROOT}/jobs?type=${row.jobType}`}>${formatType(row.jobType)}</a></th>
    <td class="number">${cell(queue.waiting, "QUEUED,THROTTLED")}</td><td class="number">${cell(queue.active, String(ACTIVE))}</td>
    <td class="wide-only"><${Sparkline} values=${performance.ended} label=${`Ended in each ten minutes of the last two hours: ${performance.ended.join(", ")}`} /></td><td class="number wide-only">${queue.completed ? queue.completed.toLocaleString() : zero}</td><td class="number wide-only">${queue.failed ? html`<span class="bad">${queue.failed.toLocaleString()}</span>` : zero}</td>
    <td class="wide-only"><${Sparkline} tone="warn" values=${performance.waits} label=${`Mean wait of the jobs that started in each ten minutes of the last two hours: ${performance.waits.map((/** @type {number | null} */ wait) => (wait === null ? "–" : formatMs(wait))).join(", ")}`} /></td>
    <td class="number wide-only">${performance.avgWaitTime === null ? html`<span class="zero">–</span>` : formatMs(performance.avgWaitTime)}</td>
    <td class="number wide-only">${health?.oldestSeconds ? formatSeconds(health.oldestSeconds) : html`<span class="zero">–</span>`}</td>
    <td>${health && html`<${Pill} text=${queue.paused ? "paused" : health.status} tone=${queue.paused ? "warn" : TONES[health.status]} />${reasons.length > 0 && html`<small class="why">${reasons.join("; ")}</small>`}`}</td></tr>`;
}

/** @param {{job: any, now: number}} props */
function StripItem({ job, now }) {
  const prompt = useTitle(job);
  return html`<li><a href=${`${ROOT}/jobs/${job.jobId}`} title=${prompt}><span class="thumb"><${Thumbnail} job=${job} /></span><span class="caption"><b>${prompt}</b><small><${Time} at=${job.createdAt} now=${now} /></small></span></a></li>`;
}
