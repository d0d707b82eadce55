/** A pipeline's steps as a graph, each with its state, its cost and previews of its jobs. */

import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact.js";
import { Progress, StatusPill, Thumbnail, Pill } from "./elements.js";
import { formatCredits, formatType } from "./format.js";
import { useReading } from "./reading.js";
import { ROOT } from "./router.js";
import { hasEnded } from "./statuses.js";
import { arrangeSteps } from "./step_order.js";

/** @type {Record<string, [string, string]>} */
const STATES = { waiting: ["Waiting", "wait"], running: ["Running", "busy"], done: ["Done", "good"], failed: ["Failed", "bad"], skipped: ["Skipped", "off"] };
const MOST_PREVIEWS = 6;

/** @param {{job: any}} props */
export function StepGraph({ job }) {
  const children = useReading(`/api/jobs?parentId=${job.jobId}&limit=100&summary=true`);
  const jobs = children.data?.jobs ?? [];
  const version = job.steps.map((/** @type {any} */ step) => `${step.status}${step.ended}${step.width}`).join();
  useEffect(() => { void children.reload(); }, [version]);
  const { columns, edges } = useMemo(() => arrangeSteps(job, jobs), [version, jobs.length]);
  const area = useRef(/** @type {HTMLDivElement | null} */ (null));
  const lines = useLines(area, edges, version + jobs.length);
  return html`<div class="graph-scroll"><div class="graph" ref=${area}>
    <svg aria-hidden="true">${lines.map((line) => html`<path key=${line} d=${line} />`)}</svg>
    ${columns.map((column, place) => html`<ol key=${place}>${column.map((step) => html`<${StepCard} key=${step.name} step=${step} jobs=${jobs.filter((/** @type {any} */ one) => one.step === step.name)} />`)}</ol>`)}
  </div></div>`;
}

/** @param {{step: any, jobs: any[]}} props */
function StepCard({ step, jobs }) {
  const [word, tone] = STATES[step.status] ?? [step.status, "off"];
  const sorted = [...jobs].sort((one, other) => one.index - other.index);
  return html`<li class=${`step tone-${tone}`} data-step=${step.name}>
    <div class="step-head"><strong>${step.name}</strong><${Pill} text=${word} tone=${tone} /></div>
    <small>${formatType(step.type)}${step.width > 1 ? ` · ${step.ended} of ${step.width}` : ""}${step.credits ? ` · ${formatCredits(step.credits)}` : ""}${step.failed ? html` · <span class="bad">${step.failed} failed</span>` : ""}</small>
    ${step.status === "running" && html`<${Progress} percent=${step.percent} label=${`Progress of ${step.name}`} />`}
    ${sorted.length > 0 && html`<ul class="step-jobs">${sorted.slice(0, MOST_PREVIEWS).map((job) => html`<${StepJob} key=${job.jobId} job=${job} />`)}${sorted.length > MOST_PREVIEWS && html`<li class="hint">+${sorted.length - MOST_PREVIEWS}</li>`}</ul>`}
  </li>`;
}

/** @param {{job: any}} props */
function StepJob({ job }) {
  return html`<li><a href=${`${ROOT}/jobs/${job.jobId}`} title=${`Job ${job.index + 1} of ${job.step}`}><span class="hidden">Job ${job.index + 1} of ${job.step}</span>${hasEnded(job) && job.status === "COMPLETED" ? html`<${Thumbnail} job=${job} />` : html`<${StatusPill} status=${job.status} />`}</a></li>`;
}

/** Curves between the cards, drawn again when their sizes change. @param {any} area @param {[string, string][]} edges @param {string} version */
function useLines(area, edges, version) {
  const [lines, setLines] = useState(/** @type {string[]} */ ([]));
  useEffect(() => {
    const draw = () => {
      const frame = area.current?.getBoundingClientRect();
      if (!frame) return;
      const box = (/** @type {string} */ name) => area.current.querySelector(`[data-step="${CSS.escape(name)}"]`)?.getBoundingClientRect();
      setLines(edges.flatMap(([from, to]) => {
        const one = box(from), other = box(to);
        if (!one || !other) return [];
        const x1 = one.right - frame.left, y1 = one.top - frame.top + 22;
        const x2 = other.left - frame.left, y2 = other.top - frame.top + 22;
        const middle = (x1 + x2) / 2;
        return [`M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`];
      }));
    };
    const watcher = new ResizeObserver(draw);
    watcher.observe(area.current);
    for (const card of area.current.querySelectorAll("[data-step]")) watcher.observe(card);
    return () => watcher.disconnect();
  }, [edges, version]);
  return lines;
}
