/** Users, for admins: balances and limits of all, and one user's grants, limit and caps. */

import { html, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { AccountBalance } from "../balance.js";
import { announce, Empty, Failure, Loading, More } from "../elements.js";
import { useDelayed, useNow, usePages, useReading } from "../reading.js";
import { go, linkTo } from "../router.js";
import { CapsForm, GrantForm, NumberField, Reason, SmallForm } from "../small_forms.js";

/** @param {import("../pages.js").PageProps} props */
export default function Users({ query }) {
  const chosen = query.get("user") ?? "";
  const [text, setText] = useState("");
  const prefix = useDelayed(text.trim());
  const { rows, data, error, reload, more } = usePages(`/api/accounts?limit=50${prefix && `&prefix=${encodeURIComponent(prefix)}`}`, "accounts", "userId", { everySeconds: 15 });
  return html`
    <div class="title"><h1>Users</h1></div>
    <p class="lead">A user is here from the first job or grant on. Jobs over a user's limit wait; credits over a cap are refused.</p>
    ${chosen && html`<${OneUser} key=${chosen} user=${chosen} done=${reload} />`}
    <div class="filter-row"><label class="search"><span class="hidden">Find a user by the beginning of the id</span><input data-search type="search" placeholder="The beginning of a user's id  ( / )" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} onKeyDown=${(/** @type {KeyboardEvent} */ event) => { if (event.key === "Enter" && text.trim()) go(userPath(text.trim())); }} /></label></div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} lines=${8} />` : rows.length === 0 ? html`<${Empty} title=${prefix ? "No user's id begins so" : "No users yet"}>${prefix && html`<p>A user without jobs can be given credits: <a href=${userPath(prefix)}>open ${prefix}</a></p>`}</${Empty}>`
      : html`<div class="table-wrap"><table><thead><tr><th>User</th><th class="wide-only">Tier</th><th class="number">Available</th><th class="number wide-only">Held</th><th class="number wide-only">Charged</th><th class="number wide-only">Granted</th><th class="number">Running</th><th class="number wide-only">Waiting</th></tr></thead>
        <tbody>${rows.map((one) => html`<tr key=${one.userId} class=${one.userId === chosen ? "selected" : ""}><th scope="row"><a href=${userPath(one.userId)}>${one.userId}</a>${one.shards > 1 && html` <small>${one.shards} shards</small>`}</th><td class="wide-only">${one.tier ?? html`<span class="zero">–</span>`}</td><td class="number">${one.available.toLocaleString()}</td><td class="number wide-only">${one.held.toLocaleString()}</td><td class="number wide-only">${one.captured.toLocaleString()}</td><td class="number wide-only">${one.granted.toLocaleString()}</td><td class="number">${one.active}${one.activeJobs !== null && html`<small> of ${one.activeJobs}${one.isOwn && " (own)"}</small>`}</td><td class="number wide-only">${one.waiting ? one.waiting.toLocaleString() : html`<span class="zero">0</span>`}</td></tr>`)}</tbody></table></div>`}
    <${More} more=${more} text="More users" />`;
}

/** The page of a user, or of the project whose account it is. @param {string} user */
const userPath = (user) => user.startsWith("project:") ? linkTo(`/projects/${user.slice("project:".length)}`) : `${linkTo("/users")}?user=${encodeURIComponent(user)}`;

/** @param {{user: string, done: () => void}} props */
function OneUser({ user, done }) {
  const now = useNow();
  const id = encodeURIComponent(user);
  const account = useReading(`/api/credits/${id}`, { everySeconds: 10 });
  const limit = useReading(`/api/limits/${id}`, { everySeconds: 10 });
  const caps = useReading(`/api/credits/${id}/caps`, { everySeconds: 30 });
  // The first account whose id begins so is the user's own, if they have one.
  const found = useReading(`/api/accounts?limit=1&prefix=${id}`, { everySeconds: 10 });
  const first = found.data?.accounts[0];
  const documents = first?.userId === user ? first.documents : 1;
  const reload = () => { for (const one of [account, limit, caps, found]) void one.reload(); done(); };
  return html`<section class="panel user" aria-label=${`User ${user}`}>
    <div class="title"><h2>${user}</h2><a href=${`${linkTo("/jobs")}?user=${id}`}>Jobs</a><a href=${`${linkTo("/jobs")}?user=${id}&status=FAILED`}>Failed</a><a class="button quiet" href=${linkTo("/users")} aria-label="Close">✕</a></div>
    <${AccountBalance} reading=${account} now=${now} />
    <div class="user-forms">
      <${GrantForm} path=${`/api/credits/${id}/grants`} to=${user} whose="the user's" mayEnd=${documents === 1} done=${reload} />
      ${!(limit.data && caps.data && (found.data || found.error)) ? html`<div class="small-form small-form-waits"></div>` : html`<${LimitForm} key=${limit.data.activeJobs} limit=${limit.data} divided=${documents > 1} path=${`/api/limits/${id}`} done=${reload} />${documents > 1 ? html`<${UniteForm} account=${first} path=${`/api/accounts/${id}/shards`} done=${reload} />` : html`<${CapsForm} key=${`${caps.data.daily.limit}/${caps.data.monthly.limit}`} caps=${caps.data} path=${`/api/credits/${id}/caps`} done=${reload} />`}`}
    </div>
  </section>`;
}

/** Of an account that is divided, in place of what its documents could not know. @param {{account: any, path: string, done: () => void}} props */
function UniteForm({ account, path, done }) {
  const [reason, setReason] = useState("");
  const isUnited = account.shards === 1;
  const act = async () => {
    const united = await call("PUT", path, { body: { shards: 1, reason: reason.trim() } });
    announce(united.documents > 1 ? `New jobs of ${account.userId} go to one document; ${united.documents - 1} more hold credits of jobs that run.` : `The account of ${account.userId} is one document again.`);
    done();
  };
  const hint = isUnited ? `It is being united: ${account.documents - 1} more of its documents hold credits of jobs that run. Unite it again when these have ended.`
    : `New jobs are divided among ${account.shards} documents, none of which knows what all spend. So there is no cap on spend, and no grant that ends, until it is united.`;
  return html`<${SmallForm} title="Divided account" verb=${isUnited ? "Unite the rest" : "Unite the account"} ready act=${act} hint=${hint}><${Reason} value=${reason} change=${setReason} /></${SmallForm}>`;
}

/** @param {{limit: any, divided: boolean, path: string, done: () => void}} props `divided`: it must have a limit of its own */
function LimitForm({ limit, divided, path, done }) {
  const [most, setMost] = useState(limit.isOwn ? String(limit.activeJobs) : "");
  const [reason, setReason] = useState("");
  const act = async () => {
    await call("PUT", path, { body: { activeJobs: most ? Number(most) : null, reason: reason.trim() } });
    announce(most ? `${limit.userId} may run ${most} jobs at a time.` : `${limit.userId} has the limit of the tier again.`);
    done();
  };
  const now = `${limit.active} run and ${limit.waiting} wait now. ${limit.activeJobs === null ? "There are no limits here." : divided ? "The limit is divided with the account, so there must be one." : limit.isOwn ? "An own limit; empty is the tier's." : `The tier ${limit.tier ?? "free"} allows ${limit.activeJobs}.`}`;
  return html`<${SmallForm} title="Jobs at a time" verb=${most || divided ? "Set the limit" : "Use the tier's limit"} ready=${most !== (limit.isOwn ? String(limit.activeJobs) : "") && (!!most || !divided)} act=${act} hint=${now}>
    <${NumberField} label="Limit" value=${most} placeholder=${limit.activeJobs === null ? "" : String(limit.activeJobs)} change=${setMost} /><${Reason} value=${reason} change=${setReason} /></${SmallForm}>`;
}
