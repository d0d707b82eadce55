/** A balance as an equation, which proves that no credit is lost; and the caps on spend. */

import { html } from "./vendor/preact.js";
import { PageOf, Pill, Time } from "./elements.js";

/** granted = available + held + captured + expired, always. @param {{account: any, of?: string}} props */
export function BalanceEquation({ account, of = "Balance" }) {
  const expired = account.expired ?? 0;
  const holds = account.granted === account.available + account.held + account.captured + expired;
  const part = (/** @type {string} */ name, /** @type {number} */ amount, /** @type {string} */ hint) => html`<div><strong>${amount.toLocaleString()}</strong><span>${name}</span><small>${hint}</small></div>`;
  return html`<div class="equation" role="group" aria-label=${of}>
    ${part("available", account.available, "to spend")}<i aria-hidden="true">+</i>${part("held", account.held, "by jobs that run")}<i aria-hidden="true">+</i>${part("charged", account.captured, "for finished work")}${expired > 0 && html`<i aria-hidden="true">+</i>${part("expired", expired, "with their grants")}`}<i aria-hidden="true">=</i>${part("granted", account.granted, "in all")}
    <${Pill} text=${holds ? "it adds up" : "it does not add up"} tone=${holds ? "good" : "bad"} />
  </div>`;
}

/** The balance of an account and its grants, as they are read. @param {{reading: any, of?: string, now: number, children?: any}} props `children` come before them */
export const AccountBalance = ({ reading, of, now, children }) => html`<${PageOf} reading=${reading} waiting=${html`<${BalanceSkeleton} />`}>${(/** @type {any} */ account) => html`${children}<${BalanceEquation} account=${account} of=${of} /><${Grants} account=${account} now=${now} />`}</${PageOf}>`;

/** The grants that end, or that are spent before others. @param {{account: any, now: number}} props */
function Grants({ account, now }) {
  const grants = (account.grants ?? []).filter((/** @type {any} */ grant) => grant.left + grant.held > 0);
  return grants.length > 0 && html`<ul class="plain">${grants.map((/** @type {any} */ grant) => html`<li key=${grant.grantId}>${grant.left.toLocaleString()} of ${grant.amount.toLocaleString()} credits left of a grant${grant.expiresAt && html` that ends <${Time} at=${grant.expiresAt} now=${now} />`} <small>priority ${grant.priority}</small></li>`)}</ul>`;
}

/** The place of a balance that is being read, of the same height. */
export const BalanceSkeleton = () => html`<div class="equation balance-waits" role="status" aria-label="Loading"><div><strong>–</strong><span>…</span><small>…</small></div></div>`;

/** What was spent of a cap that is set, as a bar. @param {{cap: any, label?: string}} props `label`: where no text is around it */
export const CapBar = ({ cap, label }) => html`<progress class=${cap.remaining === 0 ? "tone-bad" : ""} aria-label=${label} max=${Math.max(cap.limit, 1)} value=${Math.min(cap.spent, cap.limit)}></progress>`;

/** What was spent of each cap that is set; a project may have one on all its jobs. @param {{caps: any}} props */
export function Caps({ caps }) {
  const set = [["today", caps.daily], ["this month", caps.monthly], ["in all", caps.total ?? { limit: null }]].filter(([, cap]) => cap.limit !== null);
  return set.length > 0 && html`<div class="caps">${set.map(([name, cap]) => html`<label key=${name}>${cap.spent.toLocaleString()} of ${cap.limit.toLocaleString()} credits ${name}<${CapBar} cap=${cap} /></label>`)}</div>`;
}
