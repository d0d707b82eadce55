/** The parts that several pages show: statuses, notices, previews, dialogs. */

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { formatBytes, formatDistance, formatFullTime, formatSeconds } from "./format.js";
import { describeStatus } from "./statuses.js";

/** @param {{status: string}} props */
export function StatusPill({ status }) {
  const { word, tone, hint } = describeStatus(status);
  return html`<span class="pill tone-${tone}" title=${hint}><i aria-hidden="true"></i>${word}</span>`;
}

/** @param {{text: string, tone?: string}} props */
export const Pill = ({ text, tone = "off" }) => html`<span class="pill tone-${tone}"><i aria-hidden="true"></i>${text}</span>`;

/** A time as a distance, and in full under the pointer. @param {{at: string, now: number}} props */
export const Time = ({ at, now }) => html`<time datetime=${at} title=${formatFullTime(at)}>${formatDistance(at, now)}</time>`;

/** @param {{percent: number, label: string}} props */
export const Progress = ({ percent, label }) => html`<progress max="100" value=${percent} aria-label=${label}>${percent}%</progress>`;

/** @param {{error: any, retry?: () => void}} props */
export function Failure({ error, retry }) {
  return html`<div class="notice tone-bad" role="alert">
    <p><strong>${describeFailure(error)}</strong></p>
    <p>${error.message}</p>
    ${retry && html`<button onClick=${retry}>Try again</button>`}
  </div>`;
}

/** @param {any} error */
function describeFailure(error) {
  if (error.status === 0) return "No connection to the server";
  if (error.status === 403) return "Your token does not permit this";
  if (error.status === 404) return "It is not there, or not yours";
  return error.status ? "The server refused this" : "Something went wrong on this page";
}

/** @param {{title: string, children?: any}} props */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2>${children}</div>`;

/**
 * An answer of the API as a page shows it: grey lines while it is read, what went wrong, a sentence
 * where there is nothing, or the content that the child makes of the data. Data stays on the page
 * while a later reading fails.
 * @param {{reading: {data: any, error: any, reload: () => any}, children: (data: any) => any,
 *   isEmpty?: (data: any) => boolean, empty?: string, hint?: any, lines?: number, waiting?: any}} props `waiting` stands in the
 *   place of the content until there is some
 */
export function PageOf({ reading: { data, error, reload }, children, isEmpty = () => false, empty = "Nothing here", hint, lines = 5, waiting }) {
  return html`
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && (waiting ?? html`<${Loading} lines=${lines} />`) : isEmpty(data) ? html`<${Empty} title=${empty}>${hint && html`<p>${hint}</p>`}</${Empty}>` : children(data)}`;
}

/** The button below a list that has more rows. @param {{more: (() => void) | null, text?: string}} props */
export const More = ({ more, text = "Older" }) => more && html`<div class="more"><button onClick=${more}>${text}</button></div>`;

/**
 * A dialog that asks before an act, runs it, and says what went wrong.
 * @param {{title: string, verb: string, close: () => void, act: () => Promise<void | boolean>, children?: any,
 *   danger?: boolean, ready?: boolean}} props `act` returns `true` to leave the dialog open
 */
export function ConfirmDialog({ title, verb, close, act, children, danger = false, ready = true }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const run = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    try {
      if (!await act()) close();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} close=${close}><form onSubmit=${run}>
    ${children}
    ${error && html`<${Failure} error=${error} />`}
    <div class="buttons"><button type="button" onClick=${close}>Back</button><button class=${danger ? "danger" : "primary"} disabled=${busy || !ready}>${verb}</button></div>
  </form></${Dialog}>`;
}

/** Grey lines in place of what is being read. @param {{lines?: number}} props */
export const Loading = ({ lines = 4 }) => html`<div class="skeleton" role="status" aria-label="Loading">
  ${Array.from({ length: lines }, (_, index) => html`<span key=${index}></span>`)}
</div>`;

/** @param {{text: string, label?: string}} props */
export function CopyButton({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without HTTPS a browser has no clipboard to give.
      const area = document.body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<button type="button" class="quiet" onClick=${copy} aria-live="polite">${done ? "Copied" : label}</button>`;
}

/**
 * A modal dialog; Escape and a click beside it close it.
 * @param {{title: string, close: () => void, children?: any, wide?: boolean}} props
 */
export function Dialog({ title, close, children, wide = false }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => { element.current?.showModal(); }, []);
  const closeBeside = (/** @type {MouseEvent} */ event) => { if (event.target === element.current) close(); };
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-label=${title} onClose=${close} onClick=${closeBeside}>
    <header><h2>${title}</h2><button type="button" class="quiet" onClick=${close} aria-label="Close">✕</button></header>
    <div class="dialog-body">${children}</div>
  </dialog>`;
}

/** @param {any} artifact @returns {"image" | "video" | "audio" | "text" | "file"} */
export function kindOf(artifact) {
  const kind = artifact.contentType.split("/")[0];
  return ["image", "video", "audio", "text"].includes(kind) ? kind : "file";
}

/** @param {any} artifact */
export function describeArtifact(artifact) {
  const size = artifact.width ? `${artifact.width} × ${artifact.height}` : "";
  const length = artifact.durationSeconds ? formatSeconds(artifact.durationSeconds) : "";
  return [size, length, formatBytes(artifact.bytes), artifact.contentType].filter(Boolean).join(" · ");
}

/** A result to look at, listen to or download. @param {{artifact: any, label: string}} props */
export function Preview({ artifact, label }) {
  const kind = kindOf(artifact);
  return html`<figure class="preview">
    ${kind === "image" && html`<a href=${artifact.url} target="_blank" rel="noopener"><img src=${artifact.url} alt=${label} width=${artifact.width} height=${artifact.height} /></a>`}
    ${kind === "video" && html`<video src=${artifact.url} controls preload="metadata" aria-label=${label} width=${artifact.width} height=${artifact.height}></video>`}
    ${kind === "audio" && html`<audio src=${artifact.url} controls preload="metadata" aria-label=${label}></audio>`}
    <figcaption><span>${artifact.name}</span><small>${describeArtifact(artifact)}</small><a href=${artifact.url} target="_blank" rel="noopener" download=${artifact.name}>Open file</a></figcaption>
  </figure>`;
}

/** An address of a file is valid for an hour, if the deployment sets nothing else. */
const STEADY_MS = 1_800_000;

/**
 * A small picture of a job's result, of a row with its `summary`; a video plays under the pointer.
 * @param {{job: any, playing?: boolean}} props
 */
export function Thumbnail({ job, playing = false }) {
  const artifact = useSteadyFile(job.summary?.preview);
  const video = useRef(/** @type {HTMLVideoElement | null} */ (null));
  useEffect(() => {
    if (!video.current) return;
    if (playing) void video.current.play().catch(() => {});
    else video.current.pause();
  }, [playing]);
  if (!artifact?.url) return html`<span class="thumb-word" aria-hidden="true">${job.summary?.text?.slice(0, 80) ?? "Text"}</span>`;
  switch (kindOf(artifact)) {
    case "image": return html`<img src=${artifact.url} alt="" loading="lazy" decoding="async" />`;
    case "video": return html`<video ref=${video} src=${`${artifact.url}#t=0.1`} muted loop playsinline preload="metadata" aria-hidden="true" tabindex="-1"></video><span class="badge">▶ ${formatSeconds(artifact.durationSeconds ?? 0)}</span>`;
    case "audio": return html`<span class="thumb-word" aria-hidden="true">♪ ${formatSeconds(artifact.durationSeconds ?? 0)}</span>`;
    default: return html`<span class="thumb-word" aria-hidden="true">${artifact.name}</span>`;
  }
}

/** The same address as long as it is the same file and lasts: another one would load it again. @param {any} artifact */
function useSteadyFile(artifact) {
  const shown = useRef({ artifact, since: Date.now() });
  const { sha256 } = shown.current.artifact ?? {};
  if (artifact?.sha256 !== sha256 || Date.now() - shown.current.since > STEADY_MS) shown.current = { artifact, since: Date.now() };
  return shown.current.artifact;
}

/** Text with a switch to see all of it. @param {{value: unknown, name: string}} props */
export function Json({ value, name }) {
  const text = JSON.stringify(value, null, 2);
  return html`<div class="json"><pre tabindex="0" aria-label=${name}>${text}</pre><${CopyButton} text=${text} /></div>`;
}

// ── Short messages ───────────────────────────────────────────────────────────────────────────────

/** @type {Set<(message: any) => void>} */
const listeners = new Set();

/** Say what an act has done, at the bottom of the page. @param {string} text @param {string} [tone] */
export function announce(text, tone = "good") {
  for (const listener of listeners) listener({ text, tone, id: Math.random() });
}

export function Announcements() {
  const [messages, setMessages] = useState(/** @type {any[]} */ ([]));
  useEffect(() => {
    const listener = (/** @type {any} */ message) => {
      setMessages((old) => [...old.slice(-2), message]);
      setTimeout(() => setMessages((old) => old.filter((one) => one !== message)), 6000);
    };
    listeners.add(listener);
    return () => { listeners.delete(listener); };
  }, []);
  return html`<div class="announcements" role="status">${messages.map((one) => html`<p key=${one.id} class="tone-${one.tone}">${one.text}</p>`)}</div>`;
}
