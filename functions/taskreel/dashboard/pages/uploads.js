/** Uploads: files to use in jobs, sent by dropping them here. */

import { html, useState } from "../vendor/preact.js";
import { call } from "../api.js";
import { announce, ConfirmDialog, CopyButton, Empty, Failure, Loading, More, Pill, Time } from "../elements.js";
import { FileDrop } from "../file_drop.js";
import { formatBytes } from "../format.js";
import { useNow, usePages } from "../reading.js";
import { ROOT } from "../router.js";

export default function Uploads() {
  const now = useNow();
  const { rows, data, error, reload, more } = usePages("/api/uploads?limit=50", "uploads", "uploadId", { everySeconds: 15 });
  const [removing, setRemoving] = useState(/** @type {any} */ (null));
  return html`
    <div class="title"><h1>Uploads</h1></div>
    <p class="lead">Your files for jobs. Name a file's reference where a job takes an address. They are removed a day after they were announced.</p>
    <${FileDrop} done=${(/** @type {any} */ upload) => { announce(`${upload.name} has arrived.`); void reload(); }} />
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!data ? !error && html`<${Loading} />` : rows.length === 0 ? html`<${Empty} title="No uploads"><p>Drop a picture, a film or a sound above, and it is listed here.</p></${Empty}>`
      : html`<div class="table-wrap"><table class="uploads"><thead><tr><th>File</th><th class="number wide-only">Size</th><th class="wide-only">Type</th><th>State</th><th class="number wide-only">Expires</th><th><span class="hidden">Acts</span></th></tr></thead>
        <tbody>${rows.map((one) => html`<tr key=${one.uploadId}>
          <th scope="row" class="file-name">${one.name}<small class="why"><code>${one.reference}</code></small></th><td class="number wide-only">${formatBytes(one.bytes)}</td><td class="wide-only">${one.contentType}</td>
          <td><${Pill} text=${one.received ? "received" : "awaited"} tone=${one.received ? "good" : "wait"} /></td><td class="number wide-only"><${Time} at=${one.expiresAt} now=${now} /></td>
          <td class="row-buttons"><${CopyButton} text=${one.reference} label="Copy" />${one.received && one.contentType.startsWith("image/") && html`<a class="button quiet wide-only" href=${`${ROOT}/new?type=image-upscale&imageUrl=${one.reference}`}>Use…</a>`}<button class="quiet" onClick=${() => setRemoving(one)}>Delete…</button></td></tr>`)}</tbody></table></div>`}
    <${More} more=${more} text="Older uploads" />
    ${removing && html`<${ConfirmDialog} title="Delete the upload" verb="Delete" danger close=${() => setRemoving(null)} act=${async () => { await call("DELETE", `/api/uploads/${removing.uploadId}`); announce(`${removing.name} was deleted.`); void reload(); }}><p><strong>${removing.name}</strong> and its file are removed. Jobs that name it and have not read it yet will fail.</p></${ConfirmDialog}>`}`;
}
