/** A form made from a job type's JSON Schema. */

import { html, useMemo, useState } from "./vendor/preact.js";
import { FileDrop } from "./file_drop.js";
import { addReference, formatInput, isFileAddress, parseInput, readValue, setValue, splitFields } from "./schema_fields.js";

/** @typedef {import("./schema_fields.js").Field} Field */
/** @typedef {string | {value: string, label: string}} Suggestion */

const BY_TIER = "by tier";

/**
 * @param {{fields: Field[], example: any, values: any, change: (values: any) => void,
 *   errors?: {path: string, message: string}[], suggested?: Record<string, Suggestion[]>}} props `suggested`: known
 *   values of text fields, by their path
 */
export function SchemaForm({ fields, example, values, change, errors = [], suggested = {} }) {
  const parts = useMemo(() => splitFields(fields, example), [fields, example]);
  const shared = { values, change, errors, suggested };
  const inside = (/** @type {Field[]} */ some) => some.map((field) => html`<${FieldInput} key=${field.path.join(".")} field=${field} ...${shared} />`);
  const known = new Set(fields.map((field) => field.name));
  const other = errors.filter((error) => !known.has(error.path.split(/[.[]/)[0]));
  return html`<div class="schema-form">
    ${other.map((error) => html`<p key=${error.path} class="field-error" role="alert">${error.path ? `${error.path}: ` : ""}${error.message}</p>`)}
    <div class="grid">${inside(parts.first)}</div>
    ${parts.groups.map((group) => html`<details key=${group.label} open=${group.fields.some((field) => field.path[0] in values)}><summary>${group.label}</summary><div class="grid">${inside(group.fields)}</div></details>`)}
    ${parts.more.length > 0 && html`<details><summary>More settings</summary><div class="grid">${inside(parts.more)}</div></details>`}
  </div>`;
}

/** @param {{field: Field, values: any, change: (values: any) => void, errors: {path: string, message: string}[], suggested: Record<string, Suggestion[]>}} props */
function FieldInput({ field, values, change, errors, suggested }) {
  const path = field.path.join(".");
  const id = `field-${path}`;
  const value = readValue(values, field.path);
  // What was typed stays, while it is no number or no JSON yet.
  const [typed, setTyped] = useState(/** @type {string | null} */ (null));
  if (field.kind === "group") {
    return html`<fieldset><legend>${field.label}</legend><div class="grid">${field.fields.map((inner) => html`<${FieldInput} key=${inner.name} field=${inner} values=${values} change=${change} errors=${errors} suggested=${suggested} />`)}</div></fieldset>`;
  }
  const error = errors.find((one) => one.path === path || one.path.startsWith(`${path}.`) || one.path.startsWith(`${path}[`));
  const input = (/** @type {any} */ event) => {
    setTyped(event.target.value);
    change(setValue(values, field.path, parseInput(field, event.target.value)));
  };
  const shared = {
    id, onInput: input, onBlur: () => setTyped(null), "aria-invalid": error ? "true" : undefined,
    "aria-describedby": `${id}-hint`, value: typed ?? formatInput(field, value),
    list: suggested[path]?.length ? `${id}-list` : undefined,
  };
  // The server puts a job without a priority by its owner's tier, whatever the schema's default says.
  const placeholder = path === "priority" ? BY_TIER : field.initial === undefined || typeof field.initial === "object" ? "" : String(field.initial);
  return html`<div class=${`field ${["long", "lines", "json"].includes(field.kind) ? "full" : ""}`}>
    <label for=${id}>${field.label}${field.required && html` <abbr title="required">*</abbr>`}</label>
    ${renderControl(field, shared, placeholder)}
    ${suggested[path]?.length > 0 && html`<datalist id=${`${id}-list`}>${suggested[path].map((one) => typeof one === "string" ? html`<option key=${one} value=${one} />` : html`<option key=${one.value} value=${one.value}>${one.label}</option>`)}</datalist>`}
    ${isFileAddress(field) && html`<${FileDrop} small label="Drop a file" done=${(/** @type {any} */ upload) => { setTyped(null); change(setValue(values, field.path, addReference(field, value, upload.reference))); }} />`}
    <p id=${`${id}-hint`} class=${error ? "field-error" : "hint"}>${error ? error.message : describeField(field)}</p>
  </div>`;
}

/** @param {Field} field @param {any} shared @param {string} placeholder */
function renderControl(field, shared, placeholder) {
  switch (field.kind) {
    case "choice":
      return html`<select ...${shared} onInput=${undefined} onChange=${shared.onInput}><option value="">${placeholder === BY_TIER ? BY_TIER : placeholder ? `${placeholder} (default)` : "–"}</option>${field.choices.map((choice) => html`<option key=${choice} value=${choice}>${choice}</option>`)}</select>`;
    case "switch":
      return html`<select ...${shared} onInput=${undefined} onChange=${shared.onInput}><option value="">${placeholder ? `${placeholder === "true" ? "yes" : "no"} (default)` : "–"}</option><option value="true">yes</option><option value="false">no</option></select>`;
    case "number":
      return html`<input type="number" inputmode="decimal" step=${field.step} min=${field.minimum} max=${field.maximum} placeholder=${placeholder} ...${shared} />`;
    case "long": return html`<textarea rows="3" placeholder=${placeholder} ...${shared}></textarea>`;
    case "lines": return html`<textarea rows="3" ...${shared}></textarea>`;
    case "json": return html`<textarea rows=${Math.min(14, Math.max(3, shared.value.split("\n").length))} class="code" spellcheck="false" placeholder="JSON" ...${shared}></textarea>`;
    default: return html`<input type="text" placeholder=${placeholder} ...${shared} />`;
  }
}

/** @param {Field} field */
function describeField(field) {
  const range = field.minimum !== undefined && field.maximum !== undefined ? `${field.minimum} to ${field.maximum.toLocaleString()}. ` : "";
  return `${range}${field.kind === "lines" ? "One a line. " : ""}${field.hint}`;
}
