/** Failed jobs by the kind of their failure, and their redrive after a dry run. */

import { html, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, Dialog, Empty, Failure, Loading, Pill, Time } from "../elements.js";
import { countOf, formatCredits, formatType } from "../format.js";
import { useNow, useReading } from "../reading.js";
import { isRequestFault } from "../request_faults.js";
import { ROOT } from "../router.js";

const MOST = 100;

/** @param {import("../pages.js").PageProps} props */
export default function DeadLetters({ query, caller }) {
  const now = useNow();
  const { data, error, reload } = useReading("/api/jobs/dead-letters?limit=100", { everySeconds: caller.admin ? 15 : 0 });
  const [plan, setPlan] = useState(/** @type {any} */ (null));
  const preview = async (/** @type {any} */ group) => {
    try {
      const dry = await call("POST", "/api/jobs/dead-letters/redrive", { body: { fingerprint: group.fingerprint, limit: MOST, dryRun: true } });
      setPlan({ group, dry });
    } catch (failure) { announce(/** @type {Error} */ (failure).message, "bad"); }
  };
  const groups = data?.groups ?? [];
  // A user can correct what an operator cannot.
  const isTheirs = (/** @type {any} */ group) => caller.admin && isRequestFault(group.code, group.jobType);
  const ours = groups.filter((/** @type {any} */ group) => !isTheirs(group));
  const theirs = groups.filter(isTheirs);
  const row = (/** @type {any} */ group) => html`<li key=${group.fingerprint} class=${`tone-${group.open ? "bad" : "off"}`}>
        <div><strong>${group.message}</strong><small>${formatType(group.jobType)}${group.step ? `, step ${group.step}` : ""}${group.servedBy ? ` · ${group.servedBy}` : ""} · <code>${group.code}</code> · seen ${countOf(group.seen, "time")}, last <${Time} at=${group.lastSeenAt} now=${now} /> · ${group.jobIds[0] ? html`<a href=${`${ROOT}/jobs/${group.jobIds[0]}`}>the newest</a>` : ""}</small></div>
        ${group.open ? html`<${Pill} text=${`${group.open} failed still`} tone="bad" /><button onClick=${() => preview(group)}>Redrive…</button>` : html`<${Pill} text="none left" tone="good" />`}
      </li>`;
  return html`
    <div class="title"><h1>Failures</h1><a href=${`${ROOT}/jobs?status=FAILED`}>All failed jobs</a></div>
    <p class="lead">Failures of one kind are one line${caller.admin ? ", of all users" : ""}. A redrive retries the jobs that are failed still; a dry run comes first.</p>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} />` : data.groups.length === 0 ? html`<${Empty} title="Nothing has failed"><p>Jobs that fail for good are grouped here by their cause.</p></${Empty}>`
      : html`${ours.length === 0 ? html`<p class="calm"><${Pill} text="Nothing" tone="good" /> Each failure is explained by its own request, below.</p>` : html`<ul class="work">${ours.map(row)}</ul>`}
        ${theirs.length > 0 && html`<details open=${query.get("own") === "1"}><summary>${countOf(theirs.length, "kind")} of failures that their own requests explain</summary>
          <p class="hint">A file that is not there, a prompt that a provider refuses, a budget that does not suffice: their users see why, and a redrive fails again unless something outside has changed.</p>
          <ul class="work">${theirs.map(row)}</ul></details>`}`}
    ${plan && html`<${RedriveDialog} plan=${plan} close=${() => setPlan(null)} done=${reload} />`}`;
}

/** @param {{plan: {group: any, dry: any}, close: () => void, done: () => void}} props */
function RedriveDialog({ plan: { group, dry }, close, done }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      const made = await call("POST", "/api/jobs/dead-letters/redrive", { body: { fingerprint: group.fingerprint, limit: MOST, dryRun: false } });
      announce(`${countOf(made.eligible, "job")} started again.`);
      done();
      close();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${`Redrive ${countOf(dry.eligible, "job")}`} close=${close}>
    <p>${dry.eligible ? html`Each gets new attempts under its id. <strong>${formatCredits(dry.cost)}</strong> will be held, of the jobs' owners; a job that fails again is not charged.` : "None of them can be retried now."}</p>
    ${dry.refused.length > 0 && html`<details open=${!dry.eligible}><summary>${countOf(dry.refused.length, "job")} cannot be retried</summary><ul>${dry.refused.map((/** @type {any} */ one) => html`<li key=${one.jobId}><a href=${`${ROOT}/jobs/${one.jobId}`}><code>${one.jobId}</code></a>: ${one.reason}</li>`)}</ul></details>`}
    ${error && html`<${Failure} error=${error} />`}
    <div class="buttons"><button onClick=${close}>Back</button><button class="primary" disabled=${!dry.eligible || busy} onClick=${run}>Redrive ${countOf(dry.eligible, "job")}</button></div>
  </${Dialog}>`;
}
