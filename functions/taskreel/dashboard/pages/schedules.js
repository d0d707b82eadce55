/** Recurring jobs: in words, their next runs and their history. */

import { html, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, Dialog, Empty, Failure, Loading, More, Pill, Time } from "../elements.js";
import { findPrompt, formatTime, formatType } from "../format.js";
import { useNow, usePages } from "../reading.js";
import { ROOT } from "../router.js";

/** @type {Record<string, string>} */
const SAID = { pause: "It is paused: no more runs until it is resumed.", resume: "It runs again.", "take-over": "It is yours: its runs are submitted as your jobs." };

/** @param {import("../pages.js").PageProps} props */
export default function Schedules({ caller, query }) {
  const now = useNow();
  const project = query.get("project");
  const whose = project ? `&projectId=${encodeURIComponent(project)}` : caller.admin ? "&allUsers=true" : "";
  const { rows, data, error, reload, more } = usePages(`/api/jobs/recurring?limit=25${whose}`, "recurringJobs", "recurringJobId", { everySeconds: 15 });
  const [removing, setRemoving] = useState(/** @type {any} */ (null));
  const act = async (/** @type {any} */ one, /** @type {string} */ verb) => {
    try {
      await call("POST", `/api/jobs/recurring/${one.recurringJobId}/${verb}`);
      announce(SAID[verb] ?? "It is done.");
    } catch (failure) { announce(/** @type {Error} */ (failure).message, "bad"); }
    void reload();
  };
  const remove = async () => {
    try {
      await call("DELETE", `/api/jobs/recurring/${removing.recurringJobId}`);
      announce("The schedule was deleted.");
    } catch (failure) { announce(/** @type {Error} */ (failure).message, "bad"); }
    setRemoving(null);
    void reload();
  };
  return html`
    <div class="title"><h1>Schedules</h1><a href=${`${ROOT}/jobs?status=SCHEDULED`}>Jobs that start later</a><a class="button primary" href=${`${ROOT}/new`}>New job</a></div>
    <p class="lead">${project ? html`The jobs of project <code>${project}</code> that repeat, of all members and API keys.` : caller.admin ? "All users' jobs that repeat." : "Your jobs that repeat."} Each run is a job of its own, at its own price.</p>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} />` : rows.length === 0 ? html`<${Empty} title="No schedules"><p>A job that repeats: open <a href=${`${ROOT}/new`}>New job</a>, and fill in <b>Repeat</b>.</p></${Empty}>`
      : html`<ul class="cards">${rows.map((one) => html`<li key=${one.recurringJobId} class="panel schedule">
        <header><div><h2>${one.schedule} (${one.timeZone})</h2><p>${(caller.admin || project) && html`<a href=${`${ROOT}/jobs?user=${encodeURIComponent(one.userId)}`}>${one.userId}</a> · `}${formatType(one.jobType)} · ${findPrompt(one.data)}</p></div><${Pill} text=${one.state.toLowerCase()} tone=${/active/i.test(one.state) ? "good" : "wait"} /></header>
        ${one.pauseReason && html`<p class="hint">${one.pauseReason}</p>`}
        <div class="columns">
          <div><h3>Next runs</h3>${one.nextRuns.length ? html`<ol class="plain">${one.nextRuns.slice(0, 4).map((/** @type {string} */ at, /** @type {number} */ index) => html`<li key=${at}>${formatTime(at, now)}${index === 0 && html` <small><${Time} at=${at} now=${now} /></small>`}</li>`)}</ol>` : html`<p class="hint">None</p>`}</div>
          <div><h3>Newest runs</h3>${one.runs.length ? html`<ol class="plain">${one.runs.slice(0, 4).map((/** @type {any} */ run) => html`<li key=${run.dueAt}>${run.jobId ? html`<a href=${`${ROOT}/jobs/${run.jobId}`}>${formatTime(run.dueAt, now)}</a>` : formatTime(run.dueAt, now)} <small>${run.result}${run.reason ? `: ${run.reason}` : ""}</small></li>`)}</ol>` : html`<p class="hint">None yet</p>`}</div>
          <dl class="inline"><div><dt>Cron</dt><dd><code>${one.cronExpression}</code></dd></div><div><dt>Zone</dt><dd>${one.timeZone}</dd></div><div><dt>Submitted</dt><dd>${one.submitted}</dd></div><div><dt>Skipped</dt><dd>${one.skipped}</dd></div><div><dt>Refused</dt><dd>${one.refused}</dd></div></dl>
        </div>
        <div class="buttons">${one.pauseReason && one.userId !== caller.userId && html`<button onClick=${() => act(one, "take-over")}>Take over</button>`}${/paused/i.test(one.state) && !one.pauseReason ? html`<button onClick=${() => act(one, "resume")}>Resume</button>` : /active/i.test(one.state) && html`<button onClick=${() => act(one, "pause")}>Pause</button>`}<button class="quiet" onClick=${() => setRemoving(one)}>Delete…</button></div>
      </li>`)}</ul>`}
    <${More} more=${more} text="Older schedules" />
    ${removing && html`<${Dialog} title="Delete the schedule" close=${() => setRemoving(null)}><p>It makes no more runs. The jobs that it has submitted stay.</p><div class="buttons"><button onClick=${() => setRemoving(null)}>Back</button><button class="danger" onClick=${remove}>Delete</button></div></${Dialog}>`}`;
}
