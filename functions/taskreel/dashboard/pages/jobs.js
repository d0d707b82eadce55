/** The list of jobs: filters, live rows, a table or a contact sheet, and acts on several at once. */

import { html, useCallback, useEffect, useMemo, useRef, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { Empty, Failure, Loading, Progress, StatusPill, Thumbnail, Time } from "../elements.js";
import { buildApiQuery, buildOperationFilter, countFilters, matches, readFilters, SPANS, writeFilters } from "../filters.js";
import { countOf, describeCredits, formatDistance, formatType } from "../format.js";
import { BulkDialog } from "../bulk_dialog.js";
import { live } from "../live.js";
import { MatchingDialog } from "../matching_dialog.js";
import { addPage, applyChanges, EMPTY, hasOverflowed, letIn, showPage } from "../live_rows.js";
import { GROUPINGS, groupRows } from "../row_groups.js";
import { useNow, useReading, useTitle } from "../reading.js";
import { mayChange } from "../rights.js";
import { go, ROOT } from "../router.js";
import { SavedViews } from "../saved_views.js";
import { ACTIVE, canCancel, canReplay, canRetry, describeStatus, hasEnded, STATUSES, WAITING } from "../statuses.js";

const PAGE_SIZE = 40;
/** Rows move down for new jobs so often at most: what moves all the time cannot be read, and is work for the browser. */
const LET_IN_MS = 1500;
/** Other users' jobs are not in an admin's stream of events. */
const ADMIN_SECONDS = 5;
/** @type {[string, string[]][]} */
const QUICK = [["All", []], ["Waiting", WAITING], ["Running", ACTIVE], ["Completed", ["COMPLETED"]], ["Failed", ["FAILED"]], ["Stopped", ["CANCELLED", "EXPIRED"]]];
/** @type {Record<string, string>} */
const SPAN_WORDS = { "15m": "15 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days" };

/** @param {{query: URLSearchParams, caller: any}} props */
export default function Jobs({ query, caller }) {
  const filters = readFilters(query);
  const view = query.get("view") === "sheet" ? "sheet" : "table";
  const group = view === "sheet" && Object.hasOwn(GROUPINGS, query.get("group") ?? "") ? query.get("group") ?? "" : "";
  const address = writeFilters(filters);
  const now = useNow();
  const { list, more, error, loading, reload, loadMore, show } = useJobList(filters, address, caller);
  const [selected, setSelected] = useState(/** @type {Map<string, any>} */ (new Map()));
  const [act, setAct] = useState(/** @type {"" | "cancel" | "retry" | "replay" | "matching"} */ (""));
  useEffect(() => setSelected(new Map()), [address]);
  const change = (/** @type {any} */ some) => go(`${ROOT}/jobs?${writeFilters({ ...filters, view: view === "sheet" ? "sheet" : "", group, ...some })}`, { replace: true });
  const toggle = (/** @type {any} */ job) => setSelected((old) => {
    const next = new Map(old);
    if (!next.delete(job.jobId)) next.set(job.jobId, job);
    return next;
  });
  const current = [...selected.keys()].map((id) => list.rows.find((job) => job.jobId === id) ?? selected.get(id));
  const all = list.rows.length > 0 && list.rows.every((job) => selected.has(job.jobId));
  // An operation needs a filter, and means no pipeline's own jobs.
  const canMatch = !filters.children && Object.keys(buildOperationFilter(filters, 0)).length > 0;
  const toggleAll = () => setSelected(all ? new Map() : new Map(list.rows.map((job) => [job.jobId, job])));
  return html`
    <div class="title job-list-title"><h1>Jobs</h1>
      <div class="switch" role="group" aria-label="View">
        <button aria-pressed=${view === "table"} onClick=${() => change({ view: "", group: "" })}>Table</button>
        <button aria-pressed=${view === "sheet"} onClick=${() => change({ view: "sheet" })}>Contact sheet</button>
      </div>
      ${view === "sheet" && html`<label class="compact group-by">Group by<select value=${group} onChange=${(/** @type {any} */ event) => change({ group: event.target.value, ...(event.target.value === "pipeline" ? { children: true } : {}) })}><option value="">none</option>${Object.entries(GROUPINGS).map(([name, word]) => html`<option key=${name} value=${name}>${word}</option>`)}</select></label>`}
      <a class="button primary" href=${`${ROOT}/new`}>New job</a>
    </div>
    <${FilterBar} filters=${filters} address=${writeFilters({ ...filters, view: view === "sheet" ? "sheet" : "", group })} change=${change} caller=${caller} focus=${query.get("focus") === "search"} />
    <div class="list-bar" aria-live="polite">
      ${list.held && list.arrived.length > 0 && html`<button class="arrived" onClick=${show}>Show ${hasOverflowed(list) ? `more than ${list.arrived.length - 1} new jobs` : countOf(list.arrived.length, "new job")}</button>`}
      ${list.arrived.length === 0 && list.gone.size > 0 && html`<button class="quiet" onClick=${show}>Hide ${countOf(list.gone.size, "job")} that no longer ${list.gone.size === 1 ? "matches" : "match"}</button>`}
    </div>
    ${error && (isUnknownFilter(error) ? html`<${UnknownFilter} />` : html`<${Failure} error=${error} retry=${reload} />`)}
    ${loading ? html`<${Loading} lines=${10} />` : list.rows.length === 0 ? !error && html`<${NoJobs} filters=${filters} change=${change} />`
      : view === "sheet" ? groupRows(list.rows.filter((job) => job.jobType !== "webhook" || filters.type === "webhook"), group).map((one) => html`<section key=${one.key} class="sheet-group">${group && html`<${GroupTitle} group=${one} by=${group} />`}<ul class="sheet">${one.rows.map((job) => html`<${Card} key=${job.jobId} job=${job} now=${now} selected=${selected.has(job.jobId)} toggle=${toggle} gone=${list.gone.has(job.jobId)} />`)}</ul></section>`)
      : html`<div class="table-wrap"><table class="jobs">
          <thead><tr><th class="tick"><input type="checkbox" aria-label="Select all" checked=${all} onChange=${toggleAll} /></th><th>Job</th><th>Status</th><th class="wide-only roomy">Type</th>${caller.admin && html`<th class="wide-only">User</th>`}<th class="wide-only roomy">Provider</th><th class="wide-only number">Credits</th><th class="number">Created</th></tr></thead>
          <tbody>${list.rows.map((job) => html`<${Row} key=${job.jobId} job=${job} now=${now} admin=${caller.admin} selected=${selected.has(job.jobId)} toggle=${toggle} gone=${list.gone.has(job.jobId)} />`)}</tbody>
        </table></div>`}
    ${more && html`<div class="more"><button onClick=${loadMore}>Older jobs</button></div>`}
    ${selected.size > 0 && html`<div class="act-bar" role="region" aria-label="Selected jobs">
      <strong>${countOf(selected.size, "job")} selected</strong>
      <button class="danger" disabled=${!current.some((job) => canCancel(job) && mayChange(caller, job))} onClick=${() => setAct("cancel")}>Cancel…</button>
      <button disabled=${!current.some((job) => canRetry(job) && mayChange(caller, job))} onClick=${() => setAct("retry")}>Retry…</button>
      <button disabled=${!current.some((job) => canReplay(job) && mayChange(caller, job))} onClick=${() => setAct("replay")}>Replay…</button>
      ${selected.size === 2 && html`<a class="button" href=${`${ROOT}/compare?a=${current[0].jobId}&b=${current[1].jobId}`}>Compare</a>`}
      ${all && canMatch && html`<button onClick=${() => setAct("matching")}>Every job that matches…</button>`}
      <button class="quiet" onClick=${() => setSelected(new Map())}>Select none</button>
    </div>`}
    ${act === "matching" && html`<${MatchingDialog} filters=${filters} close=${() => setAct("")} done=${() => { setSelected(new Map()); void reload(); }} />`}
    ${act && act !== "matching" && html`<${BulkDialog} act=${act} jobs=${current} caller=${caller} close=${() => setAct("")} done=${() => { setSelected(new Map()); void reload(); }} />`}`;
}

/** The rows, which follow the stream. @param {import("../filters.js").Filters} filters @param {string} address @param {any} caller */
function useJobList(filters, address, caller) {
  const [list, setList] = useState(EMPTY);
  const [cursor, setCursor] = useState(/** @type {string | null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [loading, setLoading] = useState(true);
  const fits = useRef(/** @type {(job: any) => boolean} */ (() => true));
  const letInAt = useRef(0);
  const settle = (/** @type {import("../live_rows.js").LiveRows} */ next) => settleRows(next, letInAt);
  // Rows of the stream have no payload to search in: with a text, the server decides.
  fits.current = (job) => !filters.text && matches(filters, job, Date.now());
  const read = useCallback((/** @type {string | null} */ after) => {
    const query = buildApiQuery(filters, Date.now());
    query.set("limit", String(PAGE_SIZE));
    query.set("summary", "true");
    if (after) query.set("cursor", after);
    return call("GET", `/api/jobs?${query}`);
  }, [address]);
  const guard = async (/** @type {() => Promise<void>} */ work) => {
    try { await work(); setError(null); } catch (failure) { setError(failure); } finally { setLoading(false); }
  };
  // What the stream brings while a page is being read may be newer than the page.
  const readings = useRef(/** @type {Set<any[]>} */ (new Set()));
  const reload = useCallback(() => guard(async () => {
    /** @type {any[]} */ const meanwhile = [];
    readings.current.add(meanwhile);
    try {
      const page = await read(null);
      setList(settle(applyChanges(showPage(page.jobs), meanwhile, fits.current)));
      setCursor(page.nextCursor);
    } finally { readings.current.delete(meanwhile); }
  }), [read]);
  useEffect(() => { setLoading(true); setList(EMPTY); void reload(); }, [reload]);
  useEffect(() => live.subscribe((jobs) => {
    for (const meanwhile of readings.current) meanwhile.push(...jobs);
    setList((old) => settle(applyChanges(old, jobs, fits.current)));
  }), [address]);
  useEffect(() => {
    if (!list.arrived.length) return undefined;
    const timer = setTimeout(() => setList(settle), LET_IN_MS);
    return () => clearTimeout(timer);
  }, [list.arrived.length > 0]);
  useEffect(() => live.watchState((state) => { if (state === "live") void reload(); }), [reload]);
  useEffect(() => {
    if (!caller.admin && !filters.text) return undefined;
    const timer = setInterval(async () => {
      if (document.hidden || live.state === "lost") return;
      const page = await read(null).catch(() => null);
      const always = () => true;
      if (page) setList((old) => settle(applyChanges(old, page.jobs, filters.text ? always : fits.current)));
    }, ADMIN_SECONDS * 1000);
    return () => clearInterval(timer);
  }, [read, caller.admin]);
  const loadMore = () => guard(async () => {
    // A row's id is a cursor too: none is skipped between the last row and the next page.
    const page = await read(list.cut ? list.rows[list.rows.length - 1].jobId : cursor);
    setList((old) => addPage(old, page.jobs));
    setCursor(page.nextCursor);
  });
  return { list, more: list.cut || !!cursor, error, loading, reload, loadMore, show: () => setList(letIn) };
}

/**
 * Let new jobs in, now and then, while nobody reads, points at or chooses among the rows.
 * @param {import("../live_rows.js").LiveRows} list @param {{current: number}} letInAt when that was last
 */
function settleRows(list, letInAt) {
  if (!list.arrived.length) return list;
  const held = scrollY > 40 || !!document.querySelector(".table-wrap:hover, .sheet:hover, .act-bar, dialog[open], [data-row]:focus-within") || !!getSelection()?.toString();
  if (held || Date.now() - letInAt.current < LET_IN_MS) return { ...list, held };
  letInAt.current = Date.now();
  return letIn({ ...list, gone: new Set() });
}

/** @param {{filters: any, address: string, change: (some: any) => void, caller: any, focus: boolean}} props */
function FilterBar({ filters, address, change, caller, focus }) {
  const types = useReading("/api/jobs/types");
  const search = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [text, setText] = useState(filters.text);
  useEffect(() => { if (focus) search.current?.focus(); }, []);
  useEffect(() => setText(filters.text), [filters.text]);
  useEffect(() => {
    if (text.trim() === filters.text) return undefined;
    const timer = setTimeout(() => openOrSearch(text.trim(), change), 400);
    return () => clearTimeout(timer);
  }, [text]);
  const used = countFilters(filters);
  const field = (/** @type {string} */ name, /** @type {string} */ label) => html`<label class="compact">${label}<input type="text" value=${filters[name]} onChange=${(/** @type {any} */ event) => change({ [name]: event.target.value.trim() })} /></label>`;
  return html`<section class="filters" aria-label="Filters">
    <div class="tab-row"><div class="tabs" role="group" aria-label="Status">${QUICK.map(([word, statuses]) => html`<button key=${word} aria-pressed=${filters.status.join() === statuses.join()} onClick=${() => change({ status: statuses })}>${word}</button>`)}</div><${SavedViews} address=${address} /></div>
    <div class="filter-row">
      <label class="search"><span class="hidden">Search prompts, or paste a job's id</span><input ref=${search} data-search type="search" placeholder="Search prompts, or paste a job's id  ( / )" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></label>
      <label class="compact">Type<select value=${filters.type} onChange=${(/** @type {any} */ event) => change({ type: event.target.value })}><option value="">any</option>${(types.data?.jobTypes ?? (filters.type ? [{ jobType: filters.type }] : [])).map((/** @type {any} */ one) => html`<option key=${one.jobType} value=${one.jobType}>${formatType(one.jobType)}</option>`)}</select></label>
      <label class="compact">Created in the last<select value=${filters.since} onChange=${(/** @type {any} */ event) => change({ since: event.target.value })}><option value="">any time</option>${Object.keys(SPANS).map((span) => html`<option key=${span} value=${span}>${SPAN_WORDS[span]}</option>`)}</select></label>
      <details class="more-filters" open=${!!(filters.user || filters.project || filters.provider || filters.children)}><summary>More</summary><div>
        ${caller.admin && field("user", "User")}${field("project", "Project")}${field("provider", "Provider")}
        <label class="compact">Exact status<select value=${filters.status.length === 1 ? filters.status[0] : ""} onChange=${(/** @type {any} */ event) => change({ status: event.target.value ? [event.target.value] : [] })}><option value="">any</option>${STATUSES.map((status) => html`<option key=${status} value=${status}>${describeStatus(status).word}</option>`)}</select></label>
        <label class="check"><input type="checkbox" checked=${filters.children} onChange=${(/** @type {any} */ event) => change({ children: event.target.checked })} /> Also the jobs of pipelines</label>
      </div></details>
      ${used > 0 && html`<button class="quiet" onClick=${() => { setText(""); go(`${ROOT}/jobs`); }}>Clear</button>`}
    </div>
  </section>`;
}

/** @param {string} text @param {(some: any) => void} change */
function openOrSearch(text, change) {
  if (/^job_[a-z0-9]{20,}$/.test(text)) go(`${ROOT}/jobs/${text}`);
  else change({ text });
}

/** Only an address that was typed or stored elsewhere has a value that the server does not know. @param {any} error */
const isUnknownFilter = (error) => error.status === 400 || error.status === 422;

const UnknownFilter = () => html`<${Empty} title="This view's filter is not known"><p>The address has a type, a status or another filter that does not exist.</p><p><button onClick=${() => go(`${ROOT}/jobs`)}>Clear filters</button></p></${Empty}>`;

/** @param {{filters: any, change: (some: any) => void}} props */
function NoJobs({ filters, change }) {
  if (!countFilters(filters)) {
    return html`<${Empty} title="No jobs yet"><p>A job that you or your product submits appears here at once.</p><p><a class="button primary" href=${`${ROOT}/new`}>Create the first</a></p></${Empty}>`;
  }
  return html`<${Empty} title="No job matches"><p>Jobs that match these filters appear here when they come.</p><p><button onClick=${() => change({ status: [], type: "", user: "", project: "", provider: "", text: "", since: "", children: false })}>Clear the filters</button></p></${Empty}>`;
}

/** @param {{group: {title: string, jobId: string | null, rows: any[]}, by: string}} props */
const GroupTitle = ({ group, by }) => html`<h2>${group.jobId ? html`<a href=${`${ROOT}/jobs/${group.jobId}`}>${group.title}</a>` : group.title ? (by === "type" ? formatType(group.title) : group.title) : `No ${GROUPINGS[by]}`} <small>${countOf(group.rows.length, "job")}</small></h2>`;

/**
 * A row that is drawn again only when something of it changes: each second the clock asks all of them,
 * and each event one.
 * @param {{job: any, now: number, admin: boolean, selected: boolean, toggle: (job: any) => void, gone: boolean}} props
 */
function Row(props) {
  const { job, now, admin, selected, gone } = props;
  return useMemo(() => html`<${DrawnRow} ...${props} />`, [job, admin, selected, gone, formatDistance(job.createdAt, now)]);
}

/** @param {{job: any, now: number, admin: boolean, selected: boolean, toggle: (job: any) => void, gone: boolean}} props */
function DrawnRow({ job, now, admin, selected, toggle, gone }) {
  const title = useTitle(job);
  const press = useRowKeys(job, toggle);
  return html`<tr data-row tabindex="0" class=${`${selected ? "selected" : ""} ${gone ? "gone" : ""}`} onKeyDown=${press} onClick=${(/** @type {any} */ event) => openUnlessControl(event, job)}>
    <td class="tick"><input type="checkbox" aria-label=${`Select ${job.jobId}`} checked=${selected} onChange=${() => toggle(job)} /></td>
    <td class="job"><div class="job-cell"><span class="mini" aria-hidden="true">${job.status === "COMPLETED" ? html`<${Thumbnail} job=${job} />` : html`<${StatusPill} status=${job.status} />`}</span><div><a href=${`${ROOT}/jobs/${job.jobId}`}>${title}</a><small>${job.error && job.status !== "COMPLETED" ? html`<span class="bad">${job.error.message}</span>` : html`<span class="narrow-only">${formatType(job.jobType)} · <${Time} at=${job.createdAt} now=${now} /></span><code class="wide-only">${job.jobId}</code>`}</small></div></div></td>
    <td class="status"><${StatusPill} status=${job.status} />${ACTIVE.includes(job.status) && html`<${Progress} percent=${job.progress} label="Progress" />`}</td>
    <td class="wide-only roomy">${formatType(job.jobType)}</td>
    ${admin && html`<td class="wide-only">${job.userId}</td>`}
    <td class="wide-only roomy">${job.servedBy ?? "–"}</td>
    <td class="wide-only number credits"><span title=${describeCredits(job.credits)}>${describeCredits(job.credits)}</span></td>
    <td class="number"><${Time} at=${job.createdAt} now=${now} /></td>
  </tr>`;
}

/** @param {any} event @param {any} job */
function openUnlessControl(event, job) {
  if (event.target.closest("a, input, button") || getSelection()?.toString()) return;
  go(`${ROOT}/jobs/${job.jobId}`);
}

/** @param {any} job @param {(job: any) => void} toggle */
function useRowKeys(job, toggle) {
  return (/** @type {KeyboardEvent} */ event) => {
    if (event.target !== event.currentTarget) return;
    if (event.key === "x") toggle(job);
    if (event.key === "Enter") go(`${ROOT}/jobs/${job.jobId}`);
  };
}

/** @param {{job: any, now: number, selected: boolean, toggle: (job: any) => void, gone: boolean}} props */
function Card({ job, now, selected, toggle, gone }) {
  const [pointed, setPointed] = useState(false);
  const press = useRowKeys(job, toggle);
  const prompt = useTitle(job);
  return html`<li data-row tabindex="0" class=${`card ${selected ? "selected" : ""} ${gone ? "gone" : ""}`} onKeyDown=${press} onMouseEnter=${() => setPointed(true)} onMouseLeave=${() => setPointed(false)} onFocusIn=${() => setPointed(true)} onFocusOut=${() => setPointed(false)}>
    <a class="thumb" href=${`${ROOT}/jobs/${job.jobId}`} tabindex="-1" aria-hidden="true">
      ${hasEnded(job) && job.status === "COMPLETED" ? html`<${Thumbnail} job=${job} playing=${pointed} />` : html`<span class="thumb-state"><${StatusPill} status=${job.status} />${ACTIVE.includes(job.status) && html`<${Progress} percent=${job.progress} label="Progress" />`}${job.error && html`<small>${job.error.message}</small>`}</span>`}
    </a>
    <input type="checkbox" aria-label=${`Select ${prompt}`} checked=${selected} onChange=${() => toggle(job)} />
    <div class="caption"><a href=${`${ROOT}/jobs/${job.jobId}`} title=${prompt}>${prompt}</a><small>${formatType(job.jobType)} · <${Time} at=${job.createdAt} now=${now} /></small></div>
  </li>`;
}
