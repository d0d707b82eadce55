// The stream of job changes, under `node --test`: a server of streams in place of `fetch`.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

const folder = new URL("../../../functions/taskreel/dashboard/", import.meta.url);
const { signals } = await import(new URL("api.js", folder));
const { LiveJobs } = await import(new URL("live.js", folder));

globalThis.sessionStorage = globalThis.localStorage = { getItem: () => "a-token" };
globalThis.requestAnimationFrame = (draw) => setTimeout(draw, 0);

let now = 0;
let timers = [];
Date.now = () => now;
globalThis.setTimeout = (callback, delay) => timers.push({ at: now + delay, callback });
/** Let the time pass. */
function tick(milliseconds) {
  now += milliseconds;
  const due = timers.filter((timer) => timer.at <= now);
  timers = timers.filter((timer) => timer.at > now);
  for (const { callback } of due) callback();
}

/** Let all that is ready run: the streams' own work takes turns of the event loop. */
const settle = async () => { for (let turn = 0; turn < 20; turn++) await new Promise((resume) => setImmediate(resume)); };

let streams;
beforeEach(() => {
  streams = [];
  timers = [];
  globalThis.fetch = async (_path, { headers, signal }) => {
    const stream = new TransformStream();
    const writer = stream.writable.getWriter();
    writer.closed.catch(() => {});
    const fail = (reason) => void writer.abort(reason).catch(() => {});
    signal.addEventListener("abort", () => fail(signal.reason));
    const send = (event, id, data) => void writer.write(new TextEncoder().encode(`event: ${event}\nid: ${id}\ndata: ${data}\n\n`)).catch(() => {});
    streams.push({ send, fail, signal, after: headers["Last-Event-ID"] });
    return new Response(stream.readable);
  };
});

async function connect() {
  const live = new LiveJobs();
  const states = [];
  live.watchState((state) => states.push(state));
  live.start();
  await settle();
  return { live, states };
}

test("a stream that breaks without an id and is back at once makes pages read again", async () => {
  const { live, states } = await connect();
  streams[0].fail(new TypeError("network error"));
  await settle();
  tick(500);
  await settle();
  live.stop();
  assert.deepEqual(states, ["live", "connecting", "live"]);
  assert.equal(streams[1].after, undefined);
});

test("a call that finds no server is repeated: the stream is opened again, behind its last event", async () => {
  const { live, states } = await connect();
  streams[0].send("ready", "7.1", "{}");
  await settle();
  signals.dispatchEvent(new Event("unreachable"));
  assert.ok(streams[0].signal.aborted);
  await settle();
  tick(500);
  await settle();
  live.stop();
  assert.deepEqual(states, ["live", "lost", "live"]);
  assert.equal(streams[1].after, "7.1");
});

test("a call that always fails opens a stream each ten seconds, and no more often", async () => {
  const { live } = await connect();
  live.watchState((state) => { if (state === "live") signals.dispatchEvent(new Event("unreachable")); });
  signals.dispatchEvent(new Event("unreachable"));
  for (let second = 0; second < 120; second++) {
    await settle();
    tick(1000);
  }
  await settle();
  live.stop();
  assert.ok(streams.length > 8 && streams.length < 20, `${streams.length} streams in 120 seconds`);
});

test("after signing out and in again within the delay there is one stream", async () => {
  const { live } = await connect();
  streams[0].fail(new TypeError("network error"));
  await settle();
  live.stop();
  live.start();
  tick(500);
  await settle();
  live.stop();
  assert.equal(streams.length, 2);
});

test("of fifty changes a second a page is drawn a few times, and none is lost", async () => {
  const { live } = await connect();
  const seen = new Set();
  let drawn = 0;
  live.subscribe((jobs) => { drawn++; for (const job of jobs) seen.add(job.jobId); });
  for (let number = 0; number < 500; number++) {
    streams[0].send("status", `7.${number}`, JSON.stringify({ jobId: `job_${number}` }));
    await settle();
    tick(20);
  }
  for (let turn = 0; turn < 3; turn++) tick(400);
  live.stop();
  assert.equal(seen.size, 500);
  assert.ok(drawn <= 26, `drawn ${drawn} times in ten seconds`);
});
