/** A place to drop files, which sends them to the bucket and tells their references. */

import { html, useRef, useState } from "./vendor/preact.js";
import { ApiError, call } from "./api.js";
import { formatBytes } from "./format.js";

/**
 * @param {{done: (upload: any) => void, accept?: string, label?: string, small?: boolean}} props
 *   `done` gets each upload once its file has arrived
 */
export function FileDrop({ done, accept = "image/*,video/*,audio/*,text/plain", label = "Drop files here", small = false }) {
  const [over, setOver] = useState(false);
  const [running, setRunning] = useState(/** @type {{name: string, share: number}[]} */ ([]));
  const [failures, setFailures] = useState(/** @type {string[]} */ ([]));
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const sendAll = async (/** @type {Iterable<File>} */ files) => {
    setFailures([]);
    for (const file of files) {
      const entry = { name: `${file.name}, ${formatBytes(file.size)}`, share: 0 };
      setRunning((old) => [...old, entry]);
      try {
        done(await sendFile(file, (share) => { entry.share = share; setRunning((old) => [...old]); }));
      } catch (error) {
        setFailures((old) => [...old, `${file.name}: ${/** @type {Error} */ (error).message}`]);
      }
      setRunning((old) => old.filter((one) => one !== entry));
    }
  };
  const drop = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(false);
    void sendAll(event.dataTransfer?.files ?? []);
  };
  return html`<div class=${`drop ${over ? "over" : ""} ${small ? "small-drop" : ""}`} onDragOver=${(/** @type {Event} */ event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <p>${label}, or <button type="button" class="link-button" onClick=${() => input.current?.click()}>choose ${small ? "one" : "them"}</button></p>
    <input ref=${input} type="file" multiple accept=${accept} class="hidden" tabindex="-1" aria-label="Files to upload" onChange=${(/** @type {any} */ event) => { void sendAll([...event.target.files]); event.target.value = ""; }} />
    ${running.map((one) => html`<label key=${one.name}>${one.name}<progress max="1" value=${one.share}></progress></label>`)}
    ${failures.map((text) => html`<p key=${text} class="field-error" role="alert">${text}</p>`)}
  </div>`;
}

/** Announce a file, and send it. @param {File} file @param {(share: number) => void} progress @returns {Promise<any>} */
async function sendFile(file, progress) {
  const upload = await call("POST", "/api/uploads", { body: { name: file.name, contentType: file.type || "text/plain", bytes: file.size } });
  await new Promise((resolve, reject) => {
    // `fetch` tells nothing about how much has been sent.
    const request = new XMLHttpRequest();
    request.open("PUT", upload.uploadUrl);
    request.setRequestHeader("Content-Type", upload.contentType);
    request.upload.onprogress = (event) => { if (event.lengthComputable) progress(event.loaded / event.total); };
    request.onload = () => (request.status < 300 ? resolve(null) : reject(new ApiError(request.status, { detail: `The bucket refused the file with ${request.status}.` })));
    request.onerror = () => reject(new ApiError(0, { detail: "The file could not be sent: the bucket cannot be reached." }));
    request.send(file);
  });
  return upload;
}
