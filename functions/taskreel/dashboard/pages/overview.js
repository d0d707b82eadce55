/** The overview: the health of everything, what needs a person, and each type with its jobs. */

import { html, useMemo, useRef } from "../vendor/preact.js";
import { Empty, Failure, Loading, Pill, Thumbnail, Time } from "../elements.js";
import { findPersonalWork, groupJobs } from "../attention.js";
import { formatSeconds, formatType } from "../format.js";
import { useNow, useReading, useTitle, useWholeJob } from "../reading.js";
import { ROOT } from "../router.js";
import { ACTIVE, WAITING } from "../statuses.js";

const MOST = 100;
/** @type {Record<string, string>} */
const TONES = { healthy: "good", degraded: "warn", unhealthy: "bad" };
/** @type {Record<string, string>} */
const WORDS = { healthy: "Everything works", degraded: "Some jobs wait or fail", unhealthy: "Jobs cannot be served now" };

/** @param {{caller: any}} props */
export default function Overview({ caller }) {
  const now = useNow();
  const health = useReading("/api/jobs/health", { everySeconds: 5, accept: [503] });
  const providers = useReading("/api/providers", { everySeconds: 60 });
  const account = useReading("/api/credits", { everySeconds: 15 });
  const day = useMemo(() => new Date(Date.now() - 86_400_000).toISOString(), []);
  const active = useReading(`/api/jobs?status=${ACTIVE}&limit=${MOST}&includeChildren=true`, { everySeconds: 5 });
  const waiting = useReading(`/api/jobs?status=${WAITING}&limit=${MOST}&includeChildren=true`, { everySeconds: 5 });
  const failed = useReading(`/api/jobs?status=FAILED&limit=${MOST}&createdAfter=${day}&includeChildren=true`, { everySeconds: 15 });
  const recent = useReading("/api/jobs?status=COMPLETED&limit=12", { everySeconds: 5 });
  const counts = useMemo(() => groupJobs({ active: active.data?.jobs, waiting: waiting.data?.jobs, failed: failed.data?.jobs }, MOST), [active.data, waiting.data, failed.data]);
  const work = useMemo(() => findPersonalWork({ health: health.data, providers: providers.data?.providers, failed: failed.data?.jobs, most: MOST }), [health.data, providers.data, failed.data]);
  const error = health.error ?? active.error;
  return html`
    <div class="title"><h1>Overview</h1>${health.data && html`<span class="hint">Measured <${Time} at=${health.data.checkedAt} now=${now} /></span>`}</div>
    ${error && html`<${Failure} error=${error} retry=${() => { void health.reload(); void active.reload(); }} />`}
    ${health.data ? html`<${HealthBanner} health=${health.data} />` : !error && html`<${Loading} lines=${2} />`}
    <div class="tiles">
      <${Tile} name="Waiting" count=${waiting.data?.jobs} href=${`${ROOT}/jobs?status=${WAITING}`} />
      <${Tile} name="Running" count=${active.data?.jobs} href=${`${ROOT}/jobs?status=${ACTIVE}`} />
      <${Tile} name="Failed in 24 h" count=${failed.data?.jobs} href=${`${ROOT}/jobs?status=FAILED&since=24h`} tone=${failed.data?.jobs.length ? "bad" : ""} />
      <a class="tile" href=${`${ROOT}/credits`}><span>Your credits</span><strong>${account.data ? account.data.available.toLocaleString() : "–"}</strong><small>${account.data ? `${account.data.held.toLocaleString()} held` : ""}</small></a>
    </div>
    <section><h2>Needs a person</h2>
      ${!failed.data || !health.data ? html`<${Loading} lines=${2} />` : work.length === 0 ? html`<p class="calm"><${Pill} text="Nothing" tone="good" /> No open circuit breaker, no paused queue, no failure in the last 24 hours.</p>`
        : html`<ul class="work">${work.map((item) => html`<li key=${item.key} class=${`tone-${item.tone}`}><div><strong>${item.title}</strong><small>${item.detail}</small></div><a class="button" href=${item.href}>${item.link}</a></li>`)}</ul>`}
    </section>
    <section><div class="title"><h2>Latest results</h2><a href=${`${ROOT}/jobs?status=COMPLETED&view=sheet`}>Contact sheet</a></div>
      ${!recent.data ? html`<${Loading} lines=${2} />` : recent.data.jobs.length === 0 ? html`<${Empty} title="No results yet"><a class="button primary" href=${`${ROOT}/new`}>Create the first job</a></${Empty}>`
        : html`<ul class="strip">${recent.data.jobs.map((/** @type {any} */ job) => html`<${StripItem} key=${job.jobId} job=${job} now=${now} />`)}</ul>`}
    </section>
    <section><h2>Job types</h2>
      ${!health.data ? html`<${Loading} lines=${6} />` : html`<div class="table-wrap"><table class="types"><thead><tr><th>Type</th><th class="number">Waiting</th><th class="number">Running</th><th class="number wide-only">Failed, 24 h</th><th class="number wide-only">Tasks</th><th class="number wide-only">Oldest due</th><th>Health</th></tr></thead>
        <tbody>${health.data.queues.map((/** @type {any} */ queue) => html`<${TypeRow} key=${queue.queue} queue=${queue} counts=${counts} />`)}</tbody></table></div>`}
      <p class="hint">${caller.admin ? "All users' jobs." : "Your own jobs."} A count of ${MOST}+ means that there are more.</p>
    </section>`;
}

/** @param {{health: any}} props */
function HealthBanner({ health }) {
  return html`<div class=${`health tone-${TONES[health.status]}`} role="status">
    <${Pill} text=${health.status} tone=${TONES[health.status]} />
    <div><strong>${WORDS[health.status]}</strong>${health.reasons.length > 0 && html`<ul>${health.reasons.map((/** @type {string} */ reason) => html`<li key=${reason}>${reason}</li>`)}</ul>`}</div>
    <dl>${[["Store", health.store], ["Bucket", health.bucket], ["Queues", health.queueService]].map(([name, part]) => html`<div key=${name}><dt>${name}</dt><dd class=${`tone-${TONES[part.status]}`}>${part.latencyMs === null ? "no answer" : `${part.latencyMs} ms`}</dd></div>`)}</dl>
  </div>`;
}

/** @param {{name: string, count: any[] | undefined, href: string, tone?: string}} props */
const Tile = ({ name, count, href, tone = "" }) => html`<a class=${`tile tone-${tone}`} href=${href}><span>${name}</span><strong>${count ? `${count.length}${count.length === MOST ? "+" : ""}` : "–"}</strong><small>${count ? (count.length === 1 ? "job" : "jobs") : ""}</small></a>`;

/** @param {{queue: any, counts: any}} props */
function TypeRow({ queue, counts }) {
  const type = queue.jobType;
  const cell = (/** @type {string} */ kind, /** @type {string} */ status) => {
    const count = counts[kind][type] ?? 0;
    return count ? html`<a href=${`${ROOT}/jobs?status=${status}&type=${type}&children=1`}>${count}${counts.capped[kind] ? "+" : ""}</a>` : html`<span class="zero">0</span>`;
  };
  return html`<tr><th scope="row">${type ? html`<a href=${`${ROOT}/jobs?type=${type}`}>${formatType(type)}</a>` : html`<span>${queue.queue}</span>`}</th>
    <td class="number">${type ? cell("waiting", String(WAITING)) : ""}</td><td class="number">${type ? cell("active", String(ACTIVE)) : ""}</td><td class="number wide-only">${type ? cell("failed", "FAILED") : ""}</td>
    <td class="number wide-only">${queue.depth ?? "–"}</td><td class="number wide-only">${queue.oldestSeconds === null ? "–" : formatSeconds(queue.oldestSeconds)}</td>
    <td><${Pill} text=${queue.paused ? "paused" : queue.status} tone=${TONES[queue.status]} />${queue.reasons.length > 0 && html`<small class="why">${queue.reasons.join("; ")}</small>`}</td></tr>`;
}

/** @param {{job: any, now: number}} props */
function StripItem({ job, now }) {
  const ref = useRef(/** @type {HTMLLIElement | null} */ (null));
  const whole = useWholeJob(job, ref);
  const prompt = useTitle(whole ?? job);
  return html`<li ref=${ref}><a href=${`${ROOT}/jobs/${job.jobId}`} title=${prompt}><span class="thumb"><${Thumbnail} job=${whole} /></span><span class="caption"><b>${prompt}</b><small><${Time} at=${job.createdAt} now=${now} /></small></span></a></li>`;
}
