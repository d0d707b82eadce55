/** A circuit breaker's last day as a bar: when its model was in use, stopped, or on trial. */

import { html } from "./vendor/preact.js";
import { placeChanges } from "./breaker_spans.js";
import { formatFullTime } from "./format.js";

/** @type {Record<string, [string, string]>} */
const STATES = { closed: ["in use", "good"], open: ["stopped", "bad"], half_open: ["on trial", "warn"] };

/** @param {{changes: {at: string, state: string, byHand: boolean}[], now: number}} props */
export function BreakerHistory({ changes, now }) {
  const spans = placeChanges(changes, now);
  if (spans.length < 2) return null;
  const words = spans.slice(1).map((span) => `${formatFullTime(span.at)}: ${(STATES[span.state] ?? [span.state])[0]}${span.byHand ? " by an admin" : ""}`);
  return html`<span class="breaker-bar" role="img" aria-label=${`The last 24 hours. ${words.join(". ")}`} title=${`The last 24 hours\n${words.join("\n")}`}>${spans.map((span) => html`<i key=${span.at} class=${`tone-${(STATES[span.state] ?? ["", "off"])[1]}`} style=${{ left: `${span.left}%`, width: `${span.width}%` }}></i>`)}</span>`;
}
