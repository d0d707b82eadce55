// The dashboard's modules of numbers and charts, under `node --test`.
import assert from "node:assert/strict";
import { test } from "node:test";

const folder = new URL("../../../functions/taskreel/dashboard/", import.meta.url);
const { findScale, placePoints, listDays } = await import(new URL("chart_scale.js", folder));
const { addModels, addTypes, listModelDays, sumDays, sumByDay } = await import(new URL("metrics.js", folder));
const { placeChanges } = await import(new URL("breaker_spans.js", folder));
const { findPrompt, formatType, nameFile } = await import(new URL("format.js", folder));
const { findPage, isCurrent, PAGES } = await import(new URL("pages.js", folder));

const NOW = Date.parse("2026-11-27T12:00:00Z");

test("an axis ends at a round number that is not below the values", () => {
  assert.deepEqual([0, 0.03, 7, 12, 24, 26, 99, 1000].map((most) => findScale(most).top), [1, 0.05, 10, 20, 25, 50, 100, 1000]);
  assert.deepEqual(findScale(7).ticks, [0, 5, 10]);
  // There is no half of a job.
  assert.deepEqual([findScale(3).ticks, findScale(0.03).ticks], [[0, 5], [0, 0.025, 0.05]]);
});

test("a line has a gap where a value is absent", () => {
  assert.deepEqual(placePoints([1, null, 2, 2], 2).map((part) => part.length), [1, 2]);
  assert.deepEqual(placePoints([2], 2), [[[50, 0]]]);
});

test("days are listed in UTC, today last", () => {
  assert.deepEqual(listDays(3, NOW), ["2026-11-25", "2026-11-26", "2026-11-27"]);
});

const day = (more) => ({ day: "2026-11-27", jobType: "image-generation", submitted: 1, completed: 0, failed: 0, cancelled: 0, expired: 0, retried: 0, run: { p50: 1, p90: 2, p99: 3 }, ...more });

test("outcomes are added over types, and types over days", () => {
  const rows = [day({ completed: 3, failed: 1 }), day({ jobType: "image-upscale", completed: 2, cancelled: 1 }), day({ day: "2026-11-26", completed: 4, run: { p50: 9, p90: 9, p99: 9 } })];
  assert.deepEqual(sumDays(rows, ["2026-11-26", "2026-11-27"]), { completed: [4, 5], failed: [0, 1], stopped: [0, 1], retried: [0, 0] });
  const [busiest, other] = addTypes(rows);
  assert.deepEqual([busiest.jobType, busiest.ended, busiest.success, busiest.newest.run.p50], ["image-generation", 8, 7 / 8, 1]);
  assert.deepEqual([other.jobType, other.ended], ["image-upscale", 3]);
});

test("a model's margin is what its credits earn less what its provider charges", () => {
  const call = (more) => ({ day: "2026-11-27", provider: "bfl", model: "flux", calls: 10, failed: 2, errors: { down: 2 }, credits: 10, released: 1, costUsd: 0.3, run: { p50: 5 }, ...more });
  const rows = [call({}), call({ day: "2026-11-26", errors: { down: 1, no_output: 1 } }), call({ model: null, credits: 1, costUsd: 0.5 })];
  const [first, second] = addModels(rows, 0.04);
  assert.deepEqual([first.key, first.calls, first.errors, Number(first.marginUsd.toFixed(4))], ["bfl/flux", 20, { down: 3, no_output: 1 }, 0.2]);
  assert.ok(second.marginUsd < 0);
  assert.equal(addModels(rows, null)[0].marginUsd, null);
  assert.deepEqual(sumByDay(rows, ["2026-11-26", "2026-11-27"], "credits"), [10, 11]);
});

test("a model has its spend and its run times on each day, and a gap on a day without a run", () => {
  const call = (more) => ({ day: "2026-11-27", provider: "bfl", model: "flux", credits: 10, costUsd: 0.3, run: { p50: 5, p90: 9 }, ...more });
  const rows = [call({}), call({ day: "2026-11-25", credits: 4, costUsd: 0, run: { p50: null, p90: null } }), call({ model: null, credits: 99 })];
  assert.deepEqual(listModelDays(rows, "bfl/flux", listDays(3, NOW)), { credits: [4, 0, 10], costUsd: [0, 0, 0.3], p50: [null, null, 5], p90: [null, null, 9] });
  assert.deepEqual(listModelDays(rows, "bfl/", ["2026-11-27"]).credits, [99]);
});

test("a breaker's day begins in the state that it had before", () => {
  const at = (hours) => new Date(NOW - hours * 3_600_000).toISOString();
  const spans = placeChanges([{ at: at(30), state: "open", byHand: true }, { at: at(12), state: "closed", byHand: false }], NOW);
  assert.deepEqual(spans.map((span) => [span.state, Math.round(span.left), Math.round(span.width)]), [["open", 0, 50], ["closed", 50, 50]]);
  assert.deepEqual(placeChanges([], NOW).map((span) => [span.state, span.width]), [["closed", 100]]);
});

test("a job is known by its file's name where it has no prompt", () => {
  assert.equal(findPrompt({ imageUrl: "https://example.com/a/a%20cat.png?signature=x" }), "a cat.png");
  assert.equal(findPrompt({ imageUrl: "upload:upl_1" }), "upload:upl_1"); // the page asks for its name
  assert.equal(nameFile("https://example.com/%"), "%");
  assert.equal(formatType("ai-processing"), "AI processing");
});

test("each page has its own path and key, and a page below another belongs to it", () => {
  assert.equal(new Set(PAGES.map((page) => page.path)).size, PAGES.length);
  assert.equal(new Set(PAGES.map((page) => page.key)).size, PAGES.length);
  assert.equal(findPage("/jobs/job_1").id, "job_1");
  assert.equal(findPage("/nothing"), null);
  const named = (name) => PAGES.find((page) => page.name === name);
  assert.ok(isCurrent(named("Webhooks"), "/webhooks/whe_1"));
  assert.ok(isCurrent(named("Jobs"), "/compare"));
  assert.ok(!isCurrent(named("Overview"), "/jobs"));
});

const { buildTimeline } = await import(new URL("timeline_lanes.js", folder));

test("a job's changes, attempts, failed calls and webhooks share one axis", () => {
  const at = (seconds) => new Date(NOW + seconds * 1000).toISOString();
  const job = { status: "COMPLETED", createdAt: at(0), statusAt: { COMPLETED: at(100) } };
  const history = {
    changes: [["QUEUED", 0, 0], ["PROCESSING", 10, 1], ["RETRYING", 40, 1], ["PROCESSING", 60, 2], ["COMPLETED", 90, 2]].map(([status, seconds, attempt]) => ({ status, at: at(seconds), attempt, by: "service" })),
    failedAttempts: [{ at: at(40), attempt: 1, provider: "bfl", model: "flux", code: "down", message: "no answer" }],
  };
  const deliveries = [{ event: "job.completed", endpointId: "whe_1", tries: [{ at: at(91), milliseconds: 9000, status: 204 }] }];
  const { start, end, lanes, moments } = buildTimeline(job, history, deliveries, NOW + 5_000_000);
  assert.deepEqual([start - NOW, end - NOW], [0, 100_000]);
  assert.deepEqual(lanes.map((lane) => [lane.name, lane.parts.map((part) => [Math.round(part.left), Math.round(part.width)])]), [
    ["Status", [[0, 10], [10, 30], [40, 20], [60, 30], [90, 1]]], ["Attempts", [[10, 30], [60, 30]]], ["Failed calls", [[40, 1]]], ["Webhooks", [[91, 9]]]]);
  assert.deepEqual(lanes[1].parts.map((part) => part.title), ["Attempt 1: retrying after 30 s", "Attempt 2: completed after 30 s"]);
  assert.deepEqual(moments.map((one) => one.name), ["Queued", "Processing", "Retrying", "Failed call", "Processing", "Completed", "Webhook"]);
});

test("before its history is read, a job's axis has the times that it carries itself", () => {
  const running = { status: "PROCESSING", createdAt: "2026-11-27T11:00:00Z", statusAt: { QUEUED: "2026-11-27T11:00:00Z", PROCESSING: "2026-11-27T11:30:00Z" } };
  const { lanes, end } = buildTimeline(running, null, [], NOW);
  assert.deepEqual(lanes.map((lane) => lane.parts.map((part) => part.width)), [[50, 50], [50]]);
  assert.equal(end, NOW);
});

const { readViews, removeView, storeView } = await import(new URL("view_store.js", folder));

test("a saved view replaces the one of its name, and odd storage is no view", () => {
  const stored = new Map();
  const storage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, text) => stored.set(key, text) };
  storeView(storage, { name: "mine", query: "user=ada" });
  storeView(storage, { name: "bad", query: "status=FAILED" });
  assert.deepEqual(storeView(storage, { name: "mine", query: "user=bob" }).map((view) => view.query), ["status=FAILED", "user=bob"]);
  assert.deepEqual(removeView(storage, "bad"), readViews(storage));
  for (const odd of ["{", "3", '[{"name": 1}]']) {
    stored.set("taskreel.views", odd);
    assert.deepEqual(readViews(storage), []);
  }
});

const { countOpen } = await import(new URL("attention.js", folder));

test("open jobs are those of all queues for an admin, and one's own for a user", () => {
  const queues = { countedUpTo: 1000, queues: [{ queue: { waiting: 3, delayed: 1, active: 2 } }, { queue: { waiting: 1000, delayed: 0, active: 0 } }] };
  assert.deepEqual(countOpen(queues, null, true), { waiting: { count: 1004, more: true }, active: { count: 2, more: false } });
  const own = { countedUpTo: 1000, byStatus: { QUEUED: 2, SCHEDULED: 1, PROCESSING: 4 } };
  assert.deepEqual(countOpen(queues, own, false), { waiting: { count: 3, more: false }, active: { count: 4, more: false } });
  assert.equal(countOpen(null, null, false), null);
});

const { addReference, isFileAddress } = await import(new URL("schema_fields.js", folder));

test("fields that take a file's address take an upload's reference", () => {
  const is = (name, kind = "text") => isFileAddress({ name, kind });
  assert.deepEqual(["imageUrl", "imageUrls", "contentUrl", "audioUrl", "url"].map((name) => is(name)), [true, true, true, true, true]);
  assert.deepEqual([is("webhookUrl"), is("prompt"), is("curl", "json"), is("imageUrl", "json")], [false, false, false, false]);
  assert.deepEqual(addReference({ kind: "lines" }, ["a"], "upload:1"), ["a", "upload:1"]);
  assert.equal(addReference({ kind: "text" }, "a", "upload:1"), "upload:1");
});

const { buildOperationFilter, readFilters } = await import(new URL("filters.js", folder));

test("filters of the list are those of a bulk operation, without order and view", () => {
  const filters = readFilters(new URLSearchParams("status=FAILED,EXPIRED&type=image-upscale&user=ada&since=1h&order=oldest"));
  assert.deepEqual(buildOperationFilter(filters, NOW), { status: ["FAILED", "EXPIRED"], jobType: "image-upscale", userId: "ada", createdAfter: "2026-11-27T11:00:00.000Z" });
  assert.deepEqual(buildOperationFilter(readFilters(new URLSearchParams("order=oldest&children=1")), NOW), {});
});

const { mayChange, mayDelete } = await import(new URL("rights.js", folder));

test("a member of a project is offered what the role permits", () => {
  const job = { userId: "ada", projectId: "film" };
  const rights = (caller) => [mayChange(caller, job), mayDelete(caller, job)];
  const member = (role, project = "film") => ({ userId: "bob", admin: false, roles: { [project]: role } });
  assert.deepEqual(["viewer", "editor", "admin", "owner"].map((role) => rights(member(role))), [[false, false], [true, false], [true, true], [false, false]]);
  assert.deepEqual(rights(member("admin", "other")), [false, false]);
  assert.deepEqual(rights({ userId: "ada", admin: false, roles: {} }), [true, true]);
  assert.deepEqual(rights({ userId: "root", admin: true, roles: {} }), [true, true]);
  assert.equal(mayChange({ userId: "bob", admin: false, roles: {} }, { userId: "ada", projectId: null }), false);
});

const { readFields, suggestNames } = await import(new URL("schema_fields.js", folder));

test("a form offers the providers that serve a type, and the models of the chosen one", () => {
  const model = (name, more = {}) => ({ name, capability: "image", retired: false, ...more });
  const providers = [
    { provider: "bfl", jobTypes: ["image-generation"], models: [model("flux-2"), model("old", { retired: true })] },
    { provider: "runway", jobTypes: ["image-generation"], models: [model("gen4"), model("film", { capability: "video" })] },
    { provider: "elevenlabs", jobTypes: ["audio-synthesis"], models: [model("voice", { capability: "audio" })] },
  ];
  const type = { jobType: "image-generation", capability: "image" };
  assert.deepEqual(suggestNames(providers, type, "runway"), { provider: ["auto", "bfl", "runway"], model: ["gen4"] });
  assert.deepEqual(suggestNames(providers, type, undefined).model, ["flux-2", "gen4"]);
  assert.deepEqual(suggestNames([], type, "auto"), { provider: [], model: [] });
});

test("no two fields of a form have one label, and a hint is one sentence", () => {
  const schema = { properties: {
    quality: { enum: ["draft"], type: "string", description: "The class. More of it.\nAnd more." },
    options: { type: "object", properties: { quality: { enum: ["high"], type: "string" } } }, maxUsd: { type: "number" },
  } };
  const [quality, options, most] = readFields(schema);
  assert.notEqual(quality.label, options.fields[0].label);
  assert.deepEqual([quality.hint, most.label], ["The class.", "Most that it may cost, in US dollars"]);
});
