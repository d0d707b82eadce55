/** A new job: a form from its type's JSON Schema, with the price while one types. */

import { html, useEffect, useMemo, useState } from "../vendor/preact.js";
import { call, newKey } from "../api.js";
import { announce, CopyButton, Failure, Loading } from "../elements.js";
import { formatType } from "../format.js";
import { QuoteLine, useQuote } from "../replay_dialog.js";
import { useReading } from "../reading.js";
import { maySubmit } from "../rights.js";
import { go, ROOT } from "../router.js";
import { readFields, renameAliases, suggestNames } from "../schema_fields.js";
import { SchemaForm } from "../schema_form.js";

/** @param {import("../pages.js").PageProps} props */
export default function NewJob({ query, caller }) {
  const types = useReading("/api/jobs/types");
  const chosen = query.get("type") ?? "image-generation";
  const type = types.data?.jobTypes.find((/** @type {any} */ one) => one.jobType === chosen);
  if (types.error) return html`<h1>New job</h1><${Failure} error=${types.error} retry=${types.reload} />`;
  if (!types.data) return html`<h1>New job</h1><${Loading} lines=${8} />`;
  return html`<h1>New job</h1>
    <div class="new-job">
      <nav class="type-list" aria-label="Job types">${types.data.jobTypes.map((/** @type {any} */ one) => html`<a key=${one.jobType} href=${`${ROOT}/new?type=${one.jobType}`} aria-current=${one.jobType === chosen ? "true" : undefined}><strong>${formatType(one.jobType)}</strong><small>${one.summary}</small></a>`)}</nav>
      <label class="type-select">Job type<select value=${chosen} onChange=${(/** @type {any} */ event) => go(`${ROOT}/new?type=${event.target.value}`)}>${types.data.jobTypes.map((/** @type {any} */ one) => html`<option key=${one.jobType} value=${one.jobType}>${formatType(one.jobType)}</option>`)}</select></label>
      ${type ? html`<${TypeForm} key=${type.jobType} type=${type} caller=${caller} given=${readGiven(query, type)} />` : html`<p>There is no job type ${chosen}.</p>`}
    </div>`;
}

/** The fields that an address gives, of those that the type has. @param {URLSearchParams} query @param {any} type */
function readGiven(query, type) {
  return Object.fromEntries([...query].filter(([name]) => name !== "type" && name in (type.schema.properties ?? {})));
}

/** @param {string} text */
const raiseFirst = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** @param {{type: any, caller: import("../pages.js").Caller, given: Record<string, string>}} props */
function TypeForm({ type, caller, given }) {
  const fields = useMemo(() => readFields(type.schema), [type]);
  const example = useMemo(() => renameAliases(type.schema, type.example), [type]);
  const [values, setValues] = useState({ ...example, ...given });
  const providers = useReading("/api/providers");
  const projects = useReading("/api/projects");
  const suggested = useMemo(() => ({
    ...suggestNames(providers.data?.providers ?? [], type, values.provider),
    projectId: (projects.data?.projects ?? []).filter((/** @type {any} */ one) => maySubmit(caller, one)).map((/** @type {any} */ one) => ({ value: one.projectId, label: one.name })),
  }), [providers.data, projects.data, type, values.provider]);
  const [repeat, setRepeat] = useState("");
  const quote = useQuote(`/api/jobs/${type.jobType}`, values, true);
  const [refusal, setRefusal] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  useEffect(() => setRefusal(null), [values, repeat]);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    try {
      if (repeat.trim()) {
        const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        const made = await call("POST", "/api/jobs/recurring", { body: { jobType: type.jobType, data: values, cronExpression: repeat.trim(), timeZone } });
        announce(`It runs ${made.schedule.charAt(0).toLowerCase()}${made.schedule.slice(1)}.`);
        return go(`${ROOT}/schedules`);
      }
      const job = await call("POST", `/api/jobs/${type.jobType}`, { body: values, headers: { "Idempotency-Key": newKey() } });
      if (job.cachedSeconds !== undefined) announce("Answered by an earlier job, free.");
      go(`${ROOT}/jobs/${job.jobId}`);
    } catch (error) {
      setRefusal(error);
      setBusy(false);
    }
  };
  const error = refusal ?? quote.error;
  const curl = `curl ${location.origin}/api/jobs/${type.jobType} -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '${JSON.stringify(values).replaceAll("'", "'\\''")}'`;
  return html`<form class="panel" onSubmit=${submit} noValidate>
    <header class="form-head"><div><h2>${formatType(type.jobType)}</h2><p class="hint">${type.summary}. ${raiseFirst(type.price)}.</p></div>
      <button type="button" class="quiet" onClick=${() => setValues({})}>Empty the form</button></header>
    <${SchemaForm} fields=${fields} example=${example} values=${values} change=${setValues} errors=${error?.errors} suggested=${suggested} />
    <details><summary>Repeat</summary><div class="field"><label for="repeat">Cron expression</label><input id="repeat" type="text" placeholder="0 9 * * MON-FRI, or @daily" value=${repeat} onInput=${(/** @type {any} */ event) => setRepeat(event.target.value)} /><p class="hint">Each run is a job of its own, at its own price. Times are those of ${Intl.DateTimeFormat().resolvedOptions().timeZone}.</p></div></details>
    <details><summary>As a request</summary><div class="json"><pre tabindex="0">${curl}</pre><${CopyButton} text=${curl} /></div></details>
    ${refusal && !refusal.errors.length && html`<${Failure} error=${refusal} />`}
    <footer class="form-foot"><${QuoteLine} quote=${quote} /><button class="primary" disabled=${busy || !!quote.error}>${repeat.trim() ? "Create the schedule" : "Create job"}</button></footer>
  </form>`;
}
