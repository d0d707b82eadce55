/** The facts of a result to read: scripts and stories as text, other values as a table. */

import { html } from "./vendor/preact.js";
import { Json } from "./elements.js";
import { splitWords } from "./schema_fields.js";

const LONG = 120;

/** @param {{facts: Record<string, any>}} props the result without its files */
export function ResultText({ facts }) {
  const entries = Object.entries(facts).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length));
  if (!entries.length) return null;
  const { title, scenes } = facts;
  const isStory = Array.isArray(scenes) && scenes.length > 0 && typeof scenes[0] === "object";
  const long = entries.filter(([name, value]) => typeof value === "string" && value.length > LONG && !(isStory && name === "text"));
  const short = entries.filter(([name, value]) => name !== "title" && (typeof value === "number" || typeof value === "boolean" || (typeof value === "string" && value.length <= LONG)));
  const rest = entries.filter(([name, value]) => typeof value === "object" && !(isStory && name === "scenes"));
  return html`<div class="result-text">
    ${typeof title === "string" && html`<h3>${title}</h3>`}
    ${long.map(([name, value]) => html`<div key=${name} class="prose">${long.length > 1 && html`<h4>${splitWords(name)}</h4>`}<p>${value}</p></div>`)}
    ${isStory && html`<ol class="scenes">${scenes.map((/** @type {any} */ scene, /** @type {number} */ index) => html`<li key=${index}>${readScene(scene)}</li>`)}</ol>`}
    ${short.length > 0 && html`<dl class="inline">${short.map(([name, value]) => html`<div key=${name}><dt>${splitWords(name)}</dt><dd>${String(value)}</dd></div>`)}</dl>`}
    ${rest.length > 0 && html`<details><summary>All values</summary><${Json} value=${Object.fromEntries(rest)} name="Result" /></details>`}
  </div>`;
}

/** @param {any} scene */
function readScene(scene) {
  const name = scene.heading ?? scene.title;
  return html`${name && html`<strong>${name}</strong>`}${scene.description && html`<p>${scene.description}</p>`}${typeof scene.narration === "string" && scene.narration.includes(" ") && html`<p class="narration">“${scene.narration}”</p>`}
    ${Array.isArray(scene.dialogue) && scene.dialogue.map((/** @type {any} */ line, /** @type {number} */ index) => html`<p key=${index} class="dialogue">${typeof line === "string" ? line : html`<b>${line.character ?? line.speaker ?? ""}</b> ${line.line ?? line.text ?? ""}`}</p>`)}`;
}
