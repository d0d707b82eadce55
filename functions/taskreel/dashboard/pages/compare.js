/** Two jobs side by side: their results, and in what their payloads differ. */

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { Failure, kindOf, Loading, Preview, Progress, StatusPill } from "../elements.js";
import { describeCredits, formatSeconds, secondsBetween } from "../format.js";
import { listDifferences } from "../differences.js";
import { live } from "../live.js";
import { ResultText } from "../result_text.js";
import { useReading, useTitle } from "../reading.js";
import { ROOT } from "../router.js";
import { ACTIVE, hasEnded } from "../statuses.js";

/** @param {{query: URLSearchParams}} props */
export default function Compare({ query }) {
  const one = useLiveJob(query.get("a") ?? "");
  const other = useLiveJob(query.get("b") ?? "");
  if (one.error || other.error) return html`<h1>Compare</h1><${Failure} error=${one.error ?? other.error} retry=${() => { void one.reload(); void other.reload(); }} />`;
  if (!one.data || !other.data) return html`<h1>Compare</h1><${Loading} lines=${8} />`;
  const pictures = [one.data, other.data].map(firstPicture);
  const differences = listDifferences(one.data.payload ?? {}, other.data.payload ?? {});
  return html`
    <nav class="crumbs" aria-label="Way back"><a href=${`${ROOT}/jobs`}>Jobs</a></nav>
    <h1>Compare</h1>
    ${pictures[0] && pictures[1] && html`<${Slider} before=${pictures[0]} after=${pictures[1]} />`}
    ${isVideo(one.data) && isVideo(other.data) && html`<p><button onClick=${playTogether}>Play both from the start</button></p>`}
    <div class="pair"><${Side} letter="A" job=${one.data} /><${Side} letter="B" job=${other.data} /></div>
    <section><h2>Differences in the payload</h2>
      ${differences.length === 0 ? html`<p class="hint">None: the same request twice.</p>` : html`<div class="table-wrap"><table class="differences"><thead><tr><th>Field</th><th>A</th><th>B</th></tr></thead><tbody>${differences.map((row) => html`<tr key=${row.path}><th scope="row"><code>${row.path}</code></th><td>${row.before}</td><td>${row.after}</td></tr>`)}</tbody></table></div>`}
    </section>`;
}

/** @param {string} id */
function useLiveJob(id) {
  const reading = useReading(`/api/jobs/${id}`);
  useEffect(() => live.subscribe((jobs) => { if (jobs.some((job) => job.jobId === id)) void reading.reload(); }), [id, reading.reload]);
  return reading;
}

/** @param {any} job */
const firstPicture = (job) => (job.result?.artifacts ?? []).find((/** @type {any} */ one) => kindOf(one) === "image");

/** @param {any} job */
const isVideo = (job) => (job.result?.artifacts ?? []).some((/** @type {any} */ one) => kindOf(one) === "video");

/** Play the two films side by side, in step. */
function playTogether() {
  const films = /** @type {HTMLVideoElement[]} */ ([...document.querySelectorAll(".side video")]);
  for (const film of films) {
    film.currentTime = 0;
    void film.play();
  }
}

/** @param {{letter: string, job: any}} props */
function Side({ letter, job }) {
  const { artifacts = [], items: _, ...facts } = job.result ?? {};
  const title = useTitle(job);
  const took = job.statusAt.PROCESSING && job.statusAt.COMPLETED ? formatSeconds(Math.max(0, secondsBetween(job.statusAt.PROCESSING, job.statusAt.COMPLETED))) : "–";
  return html`<article class="side" aria-label=${`Job ${letter}`}>
    <header><span class="letter">${letter}</span><a href=${`${ROOT}/jobs/${job.jobId}`}>${title}</a><${StatusPill} status=${job.status} /></header>
    ${ACTIVE.includes(job.status) && html`<${Progress} percent=${job.progress} label="Progress" />`}
    ${!hasEnded(job) && html`<div class="side-waits">Its result appears here.</div>`}
    ${artifacts.map((/** @type {any} */ artifact) => html`<${Preview} key=${artifact.name} artifact=${artifact} label=${`Result of ${letter}`} />`)}
    <${ResultText} facts=${facts} />
    ${job.error && html`<p class="bad">${job.error.message}</p>`}
    <dl class="inline"><div><dt>Provider</dt><dd>${job.servedBy ?? "–"}</dd></div><div><dt>Time</dt><dd>${took}</dd></div><div><dt>Credits</dt><dd>${describeCredits(job.credits)}</dd></div></dl>
  </article>`;
}

/** One picture over the other, with a border to move. @param {{before: any, after: any}} props */
function Slider({ before, after }) {
  const [at, setAt] = useState(50);
  const area = useRef(/** @type {HTMLDivElement | null} */ (null));
  return html`<div class="slider" ref=${area} style=${{ "--at": `${at}%`, aspectRatio: `${before.width} / ${before.height}` }}>
    <img src=${before.url} alt="A" /><img class="over" src=${after.url} alt="B" />
    <span class="letter left" aria-hidden="true">A</span><span class="letter right" aria-hidden="true">B</span><i aria-hidden="true"></i>
    <input type="range" min="0" max="100" value=${at} aria-label="How much of A is seen" onInput=${(/** @type {any} */ event) => setAt(Number(event.target.value))} />
  </div>`;
}
