/** One stream of job changes for the whole page, which connects again by itself. */

import { readEvents, signals } from "./api.js";
import { readToken } from "./session.js";

/** A page is drawn again for changed jobs so often at most, however many change. */
const FLUSH_MS = 400;
const FIRST_DELAY = 500;
const LONGEST_DELAY = 10_000;

/** @typedef {"connecting" | "live" | "lost"} LinkState */

export class LiveJobs {
  /** @type {Set<(jobs: any[]) => void>} */ #readers = new Set();
  /** @type {Set<(state: LinkState) => void>} */ #watchers = new Set();
  /** @type {Map<string, any>} */ #waiting = new Map();
  /** @type {LinkState} */ state = "connecting";
  #position = "";
  #running = false;
  #flushedAt = 0;
  #stop = new AbortController();
  #connection = new AbortController();

  constructor() {
    signals.addEventListener("unreachable", () => this.#connectAgain());
  }

  /** Call `reader` with changed jobs, a few times a second at most. @param {(jobs: any[]) => void} reader */
  subscribe(reader) {
    this.#readers.add(reader);
    return () => { this.#readers.delete(reader); };
  }

  /** @param {(state: LinkState) => void} watcher */
  watchState(watcher) {
    this.#watchers.add(watcher);
    return () => { this.#watchers.delete(watcher); };
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#stop = new AbortController();
    this.#position = "";
    void this.#run(this.#stop.signal);
  }

  stop() {
    this.#running = false;
    this.#stop.abort();
    this.#connection.abort();
  }

  /** @param {AbortSignal} stopped */
  async #run(stopped) {
    let delay = FIRST_DELAY;
    while (!stopped.aborted) {
      let connectedAt = Infinity;
      try {
        await this.#follow(() => { connectedAt = Date.now(); });
      } catch { /* the connection has ended: the next one goes on behind the last event */ }
      if (stopped.aborted) return;
      // However it ended: every page reads the API again once the state is "live".
      if (this.state === "live") this.#enter("connecting");
      // A call that always fails ends each connection soon; that must not become a fast circle.
      if (Date.now() - connectedAt > LONGEST_DELAY) delay = FIRST_DELAY;
      await new Promise((resume) => setTimeout(resume, delay));
      delay = Math.min(delay * 2, LONGEST_DELAY);
    }
  }

  /** @param {() => void} connected */
  async #follow(connected) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream", Authorization: `Bearer ${readToken()}` };
    if (this.#position) headers["Last-Event-ID"] = this.#position;
    this.#connection = new AbortController();
    let answer;
    try {
      answer = await fetch("/api/jobs/events?summary=true", { headers, signal: this.#connection.signal });
    } catch (error) {
      this.#enter("lost");
      throw error;
    }
    if (answer.status === 401) {
      signals.dispatchEvent(new Event("signed-out"));
      this.stop();
    }
    if (!answer.ok || !answer.body) {
      this.#enter("lost");
      throw new Error(`events: ${answer.status}`);
    }
    this.#enter("live");
    connected();
    for await (const { event, id, data } of readEvents(answer.body)) {
      if (id) this.#position = id;
      if (event === "expired") signals.dispatchEvent(new Event("signed-out"));
      if (event === "ready" || event === "expired") continue;
      this.#deliver(JSON.parse(data));
    }
  }

  /** A call found no server: the stream may be dead too, and only a new one shows that all is well. */
  #connectAgain() {
    if (!this.#running) return;
    const wasLive = this.state === "live";
    this.#enter("lost");
    if (wasLive) this.#connection.abort();
  }

  /** @param {any} job */
  #deliver(job) {
    if (this.#waiting.size === 0) {
      // The first change after a rest is shown at once; of many a second, a few pictures are.
      const rest = Math.max(0, this.#flushedAt + FLUSH_MS - Date.now());
      setTimeout(() => requestAnimationFrame(() => this.#flush()), rest);
    }
    this.#waiting.set(job.jobId, job);
  }

  #flush() {
    const jobs = [...this.#waiting.values()];
    this.#waiting.clear();
    this.#flushedAt = Date.now();
    for (const reader of this.#readers) reader(jobs);
  }

  /** @param {LinkState} state */
  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    for (const watcher of this.#watchers) watcher(state);
  }
}

export const live = new LiveJobs();
