/** Calls of the public API, and the stream of events. */

import { readToken } from "./session.js";

/** An answer that is no success: RFC 9457, with the API's stable `code`. */
export class ApiError extends Error {
  /** @param {number} status 0 if the server could not be reached @param {any} problem */
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `The server answered ${status}.`);
    this.status = status;
    /** @type {string} */ this.code = problem.code ?? "unknown";
    /** @type {{path: string, message: string}[]} */ this.errors = problem.errors ?? [];
  }
}

/** Tells the page that the token is no longer accepted. */
export const signals = new EventTarget();

/**
 * @param {string} method
 * @param {string} path
 * @param {{body?: unknown, headers?: Record<string, string>, accept?: number[]}} [options]
 *   `accept`: statuses beside 2xx whose body is an answer too
 * @returns {Promise<any>} the JSON; null of an answer without one
 */
export async function call(method, path, { body, headers = {}, accept = [] } = {}) {
  const token = readToken();
  /** @type {Record<string, string>} */
  const sent = { ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    signals.dispatchEvent(new Event("unreachable"));
    throw new ApiError(0, { code: "unreachable", detail: "The server cannot be reached. The page goes on when it is back." });
  }
  if (answer.status === 204) return null;
  const text = await answer.text();
  let json = null;
  try { json = JSON.parse(text); } catch { /* a proxy's own page */ }
  if (answer.ok || (accept.includes(answer.status) && json)) return json;
  if (answer.status === 401) signals.dispatchEvent(new Event("signed-out"));
  throw new ApiError(answer.status, json ?? {});
}

/** A new Idempotency-Key: a request that is sent again with it has one effect. */
export const newKey = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

/** @param {string} path */
export const get = (path) => call("GET", path);

/**
 * The parsed events of a stream of server-sent events. EventSource cannot send a token in a header.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @returns {AsyncGenerator<{event: string, id: string | null, data: string}>}
 */
export async function* readEvents(body) {
  const reader = body.pipeThrough(/** @type {ReadableWritablePair<string, Uint8Array<ArrayBuffer>>} */ (new TextDecoderStream())).getReader();
  let buffer = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    const blocks = buffer.split("\n\n");
    buffer = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) yield event;
    }
  }
}

/** @param {string} block one event's lines @returns null for a comment */
export function parseEvent(block) {
  let event = "message";
  let id = null;
  /** @type {string[]} */ const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    else if (line.startsWith("id: ")) id = line.slice(4);
    else if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return data.length ? { event, id, data: data.join("\n") } : null;
}
