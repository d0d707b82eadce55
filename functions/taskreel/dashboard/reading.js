/** Reading the API in a page: with states of loading and error, and again from time to time. */

import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";
import { call } from "./api.js";
import { live } from "./live.js";

/**
 * @param {string | null} path null reads nothing
 * @param {{everySeconds?: number, accept?: number[]}} [options]
 * @returns {{data: any, error: any, loading: boolean, reload: () => Promise<void>, setData: (data: any) => void}}
 */
export function useReading(path, { everySeconds = 0, accept = [] } = {}) {
  const [state, setState] = useState(/** @type {any} */ ({ path: null, data: null, error: null }));
  const newest = useRef(0);
  const reload = useCallback(async () => {
    if (!path) return;
    const mine = ++newest.current;
    try {
      const data = await call("GET", path, { accept });
      if (mine === newest.current) setState({ path, data, error: null });
    } catch (error) {
      if (mine === newest.current) setState((/** @type {any} */ old) => ({ path, data: old.path === path ? old.data : null, error }));
    }
  }, [path]);
  useEffect(() => { void reload(); return () => { newest.current++; }; }, [reload]);
  useEffect(() => {
    if (!everySeconds) return undefined;
    const timer = setInterval(() => { if (!document.hidden) void reload(); }, everySeconds * 1000);
    return () => clearInterval(timer);
  }, [reload, everySeconds]);
  // After an outage nobody has to press a button.
  useEffect(() => live.watchState((link) => { if (link === "live") void reload(); }), [reload]);
  const fresh = state.path === path;
  return {
    data: fresh ? state.data : null,
    error: fresh ? state.error : null,
    loading: !!path && (!fresh || (!state.data && !state.error)),
    reload,
    setData: (data) => setState({ path, data, error: null }),
  };
}

/** The time in milliseconds, anew each second while the page is seen. */
export function useNow() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) setNow(Date.now()); }, 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

const MOST_AT_ONCE = 4;
/** @type {Map<string, {version: string, job: Promise<any>}>} */
const wholeJobs = new Map();
/** @type {(() => void)[]} */
const queue = [];
let running = 0;

/**
 * The whole job of a list's row, which has no payload and no addresses of files. Read once for
 * each of its states, and a few at a time.
 * @param {any} row
 */
export function readWholeJob(row) {
  const version = `${row.status} ${row.status === "COMPLETED" ? Math.floor(Date.now() / 1_800_000) : ""}`;
  const known = wholeJobs.get(row.jobId);
  if (known?.version === version) return known.job;
  const job = new Promise((resolve, reject) => {
    queue.push(() => {
      running++;
      call("GET", `/api/jobs/${row.jobId}`).then(resolve, reject).finally(() => { running--; startNext(); });
    });
  });
  wholeJobs.set(row.jobId, { version, job });
  job.catch(() => wholeJobs.delete(row.jobId));
  startNext();
  return job;
}

function startNext() {
  while (running < MOST_AT_ONCE && queue.length) /** @type {() => void} */ (queue.shift())();
}

/** The whole job once its row has been seen. @param {any} row @param {{current: Element | null}} ref */
export function useWholeJob(row, ref) {
  const [job, setJob] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let current = true;
    const read = () => readWholeJob(row).then((found) => { if (current) setJob(found); }, () => {});
    const element = ref.current;
    if (!element) return undefined;
    const watcher = new IntersectionObserver(([entry]) => {
      if (entry.isIntersecting) { watcher.disconnect(); void read(); }
    }, { rootMargin: "200px" });
    watcher.observe(element);
    return () => { current = false; watcher.disconnect(); };
  }, [row.jobId, row.status]);
  return job?.jobId === row.jobId ? job : null;
}
