/** Credits: the balance as an equation, the ledger, and for admins other users' balances and grants. */

import { html, useEffect, useState } from "../vendor/preact.js";
import { call, get } from "../api.js";
import { announce, Empty, Failure, Loading, Pill, Time } from "../elements.js";
import { useNow, useReading } from "../reading.js";
import { ROOT } from "../router.js";

/** @type {Record<string, [string, string]>} */
const KINDS = { grant: ["Grant", "good"], capture: ["Charged", "busy"], release: ["Returned", "off"] };

/** @param {{caller: any}} props */
export default function Credits({ caller }) {
  const now = useNow();
  const account = useReading("/api/credits", { everySeconds: 10 });
  const ledger = useReading("/api/credits/ledger?limit=50", { everySeconds: 10 });
  const [older, setOlder] = useState(/** @type {any[]} */ ([]));
  const [cursor, setCursor] = useState(/** @type {string | null | undefined} */ (undefined));
  const next = cursor === undefined ? ledger.data?.nextCursor : cursor;
  const loadMore = async () => {
    const page = await get(`/api/credits/ledger?limit=50&cursor=${encodeURIComponent(next)}`);
    setOlder((old) => [...old, ...page.entries]);
    setCursor(page.nextCursor);
  };
  const first = ledger.data?.entries ?? [];
  const known = new Set(first.map((/** @type {any} */ one) => one.entryId));
  const entries = [...first, ...older.filter((one) => !known.has(one.entryId))];
  return html`
    <h1>Credits</h1>
    ${account.error && html`<${Failure} error=${account.error} retry=${account.reload} />`}
    ${account.data ? html`<${Equation} account=${account.data} />` : !account.error && html`<${Loading} lines=${2} />`}
    ${caller.admin && html`<${OtherUser} caller=${caller} />`}
    <section><h2>Your ledger</h2>
      ${ledger.error && html`<${Failure} error=${ledger.error} retry=${ledger.reload} />`}
      ${!ledger.data ? !ledger.error && html`<${Loading} />` : entries.length === 0 ? html`<${Empty} title="No entries yet"><p>Each job that ends writes one line here: what it cost, and what came back.</p></${Empty}>`
        : html`<div class="table-wrap"><table><thead><tr><th>Entry</th><th class="number">Amount</th><th class="number wide-only">Of a hold of</th><th>Job or reason</th><th class="number">When</th></tr></thead>
          <tbody>${entries.map((/** @type {any} */ one) => html`<tr key=${one.entryId}><td><${Pill} text=${(KINDS[one.kind] ?? [one.kind])[0]} tone=${(KINDS[one.kind] ?? ["", "off"])[1]} /></td><td class="number">${one.kind === "capture" ? "−" : one.kind === "grant" ? "+" : ""}${one.amount.toLocaleString()}</td><td class="number wide-only">${one.kind === "grant" ? "–" : one.held.toLocaleString()}</td><td>${one.jobId ? html`<a href=${`${ROOT}/jobs/${one.jobId}`}><code>${one.jobId}</code></a>` : html`${one.reason ?? ""}${one.grantedBy ? html` <small>by ${one.grantedBy}</small>` : ""}`}</td><td class="number"><${Time} at=${one.createdAt} now=${now} /></td></tr>`)}</tbody></table></div>`}
      ${next && html`<div class="more"><button onClick=${loadMore}>Older entries</button></div>`}
    </section>`;
}

/** granted = available + held + captured, always. @param {{account: any}} props */
function Equation({ account }) {
  const holds = account.granted === account.available + account.held + account.captured;
  const part = (/** @type {string} */ name, /** @type {number} */ amount, /** @type {string} */ hint) => html`<div><strong>${amount.toLocaleString()}</strong><span>${name}</span><small>${hint}</small></div>`;
  return html`<div class="equation" aria-label="Balance">
    ${part("available", account.available, "to spend")}<i aria-hidden="true">+</i>${part("held", account.held, "by jobs that run")}<i aria-hidden="true">+</i>${part("charged", account.captured, "for finished work")}<i aria-hidden="true">=</i>${part("granted", account.granted, "in all")}
    <${Pill} text=${holds ? "it adds up" : "it does not add up"} tone=${holds ? "good" : "bad"} />
  </div>`;
}

/** @param {{caller: any}} props */
function OtherUser({ caller }) {
  const [user, setUser] = useState("");
  const [account, setAccount] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [amount, setAmount] = useState("");
  const [reason, setReason] = useState("");
  useEffect(() => { setAccount(null); setError(null); }, [user]);
  const guard = async (/** @type {Event} */ event, /** @type {() => Promise<void>} */ work) => {
    event.preventDefault();
    try { await work(); setError(null); } catch (failure) { setError(failure); }
  };
  const path = `/api/credits/${encodeURIComponent(user.trim())}`;
  const read = (/** @type {Event} */ event) => guard(event, async () => setAccount(await get(path)));
  const grant = (/** @type {Event} */ event) => guard(event, async () => {
    setAccount(await call("POST", `${path}/grants`, { body: { amount: Number(amount), ...(reason.trim() && { reason: reason.trim() }) }, headers: { "Idempotency-Key": crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` } }));
    announce(`${Number(amount).toLocaleString()} credits granted to ${user.trim()}.`);
    setAmount("");
  });
  return html`<section class="panel"><h2>A user's balance</h2>
    <form class="filter-row" onSubmit=${read}><label class="compact">User<input required value=${user} placeholder=${caller.userId} onInput=${(/** @type {any} */ event) => setUser(event.target.value)} /></label><button>Show</button></form>
    ${error && html`<${Failure} error=${error} />`}
    ${account && html`<${Equation} account=${account} /><form class="filter-row" onSubmit=${grant}><label class="compact">Grant<input required type="number" min="1" step="1" value=${amount} onInput=${(/** @type {any} */ event) => setAmount(event.target.value)} /></label><label class="compact">Reason<input maxlength="500" value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /></label><button class="primary" disabled=${!amount}>Grant ${amount || ""} credits</button></form>`}
  </section>`;
}
