/** Reading the API in a page: with states of loading and error, and again from time to time. */

import { useCallback, useEffect, useRef, useState } from "./vendor/preact.js";
import { call } from "./api.js";
import { findPrompt, formatType, isUpload } from "./format.js";
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
  // After an outage no button has to be pressed.
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

/**
 * A list by pages: the first is read again from time to time, older ones when they are asked for.
 * @param {string | null} path with its query, without `cursor` @param {string} name of the list in the answer
 * @param {string} id the name of a row's id @param {{everySeconds?: number}} [options]
 */
export function usePages(path, name, id, options) {
  const first = useReading(path, options);
  const [older, setOlder] = useState(/** @type {{path: string | null, rows: any[], cursor: string | null | undefined}} */ ({ path, rows: [], cursor: undefined }));
  const [failure, setFailure] = useState(/** @type {any} */ (null));
  const mine = older.path === path ? older : { path, rows: [], cursor: undefined };
  const next = mine.cursor === undefined ? first.data?.nextCursor ?? null : mine.cursor;
  const loadMore = async () => {
    try {
      const page = await call("GET", `${path}${path?.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(next)}`);
      setOlder({ path, rows: [...mine.rows, ...page[name]], cursor: page.nextCursor });
      setFailure(null);
    } catch (error) { setFailure(error); }
  };
  const top = first.data?.[name] ?? [];
  const known = new Set(top.map((/** @type {any} */ row) => row[id]));
  const rows = [...top, ...mine.rows.filter((row) => !known.has(row[id]))];
  return { ...first, error: first.error ?? failure, rows, more: next ? loadMore : null };
}

/** A value once it has not changed for a moment, for what is typed. @template T @param {T} value @returns {T} */
export function useDelayed(value) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 350);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
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

/** @type {Map<string, Promise<string>>} the names of uploads by their reference */
const uploadNames = new Map();

/** The words by which a person knows a job: its prompt, or the name of its file. @param {{payload?: any, summary?: any, jobType: string} | null} job */
export function useTitle(job) {
  const prompt = job?.summary?.title ?? findPrompt(job?.payload);
  const reference = isUpload(prompt) ? prompt : "";
  const [name, setName] = useState("");
  useEffect(() => {
    if (!reference) return undefined;
    let current = true;
    // An upload that has expired is no longer there to be asked.
    const known = uploadNames.get(reference) ?? call("GET", `/api/uploads/${reference.slice("upload:".length)}`).then((upload) => upload.name, () => "Uploaded file");
    uploadNames.set(reference, known);
    void known.then((found) => { if (current) setName(found); });
    return () => { current = false; };
  }, [reference]);
  if (reference) return name || "Uploaded file";
  return prompt || (job ? formatType(job.jobType) : "");
}
