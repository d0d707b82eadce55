/** A job's time axis: status, attempts, failed calls and webhooks under each other, and as a list. */

import { html, useEffect, useState } from "./vendor/preact.js";
import { Failure, Pill } from "./elements.js";
import { formatFullTime, formatSeconds, formatTime } from "./format.js";
import { useReading } from "./reading.js";
import { hasEnded } from "./statuses.js";
import { buildTimeline } from "./timeline_lanes.js";

const MOST_AT_FIRST = 8;

/** @param {{job: any, now: number}} props */
export function JobTimeline({ job, now }) {
  const path = `/api/jobs/${job.jobType}/${job.jobId}`;
  const history = useReading(`${path}/history`);
  // A webhook comes after the job's end, and again later.
  const webhooks = useReading(`${path}/webhooks`, { everySeconds: hasEnded(job) && now - Date.parse(job.updatedAt) > 120_000 ? 0 : 5 });
  useEffect(() => { void history.reload(); void webhooks.reload(); }, [job.status, job.attempt]);
  const [all, setAll] = useState(false);
  const timeline = buildTimeline(job, history.data, webhooks.data?.deliveries ?? [], now);
  const hidden = all ? 0 : Math.max(0, timeline.moments.length - MOST_AT_FIRST);
  const iso = (/** @type {number} */ at) => new Date(at).toISOString();
  return html`<div class="timeline">
    <div class="lanes" aria-hidden="true">${timeline.lanes.map((lane) => html`<span key=${lane.name} class="lane-name">${lane.name}</span><div key=${`${lane.name}-bar`} class="lane">${lane.parts.map((part) => html`<i key=${part.key} class=${`tone-${part.tone}`} title=${part.title} style=${{ left: `${part.left}%`, width: `${part.width}%` }}></i>`)}</div>`)}
      <span></span><div class="scale"><span>${formatTime(iso(timeline.start), now)}</span><span>${formatSeconds((timeline.end - timeline.start) / 1000)}</span></div></div>
    ${history.error && html`<${Failure} error=${history.error} retry=${history.reload} />`}
    ${history.data?.forgotten > 0 && html`<p class="hint">${history.data.forgotten} older changes are not recorded any more.</p>`}
    <ol>${timeline.moments.slice(hidden).map((one) => html`<li key=${one.key}><${Pill} text=${one.name} tone=${one.tone} /><time datetime=${iso(one.at)} title=${formatFullTime(iso(one.at))}>${formatTime(iso(one.at), now)}</time><span>${one.href ? html`<a href=${one.href}>${one.text}</a>` : one.text}${one.code && html` <code>${one.code}</code>`}${one.answer && html`<details><summary>The provider's answer</summary><pre tabindex="0">${one.answer}</pre></details>`}</span></li>`)}</ol>
    ${hidden > 0 && html`<button class="quiet" onClick=${() => setAll(true)}>Show ${hidden} earlier</button>`}
  </div>`;
}
