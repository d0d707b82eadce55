// The dashboard's pure modules, under `node --test`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const folder = new URL("../../../functions/taskreel/dashboard/", import.meta.url);
const { applyChanges, letIn, showPage, addPage } = await import(new URL("live_rows.js", folder));
const { readFilters, writeFilters, buildApiQuery, matches } = await import(new URL("filters.js", folder));
const { explainJob } = await import(new URL("job_reason.js", folder));
const { readFields, renameAliases, splitFields, buildMergePatch, parseInput, setValue } = await import(new URL("schema_fields.js", folder));
const { groupErrors, findPersonalWork, sortDeadLetters, sortFailedJobs } = await import(new URL("attention.js", folder));
const { arrangeSteps } = await import(new URL("step_order.js", folder));
const { listDifferences } = await import(new URL("differences.js", folder));
const { formatSeconds, formatDistance } = await import(new URL("format.js", folder));

const NOW = Date.parse("2026-11-26T12:00:00Z");
const job = (id, more = {}) => ({
  jobId: id, jobType: "image-generation", status: "QUEUED", progress: 0, userId: "ada", projectId: null, parentId: null,
  createdAt: `2026-11-26T11:59:${id.padStart(2, "0")}Z`, updatedAt: "2026-11-26T11:59:00Z", statusAt: { QUEUED: "2026-11-26T11:59:00Z" },
  servedBy: "studio", attempt: 1, maxAttempts: 3, nextAttemptAt: null, error: null, credits: { held: 1, captured: 0, released: 0 },
  payload: {}, steps: [], ...more,
});
const any = () => true;

test("a changed job changes in its row, and new jobs wait until they are let in", () => {
  const list = showPage([job("20"), job("10")]);
  const changed = applyChanges(list, [job("10", { status: "COMPLETED", updatedAt: "2026-11-26T11:59:30Z" }), job("30")], any);
  assert.deepEqual(changed.rows.map((one) => [one.jobId, one.status]), [["20", "QUEUED"], ["10", "COMPLETED"]]);
  assert.deepEqual(changed.arrived.map((one) => one.jobId), ["30"]);
  assert.deepEqual(letIn(changed).rows.map((one) => one.jobId), ["30", "20", "10"]);
});

test("an older state that comes late does not replace a newer one", () => {
  const list = showPage([job("10", { status: "COMPLETED", updatedAt: "2026-11-26T11:59:30Z" })]);
  assert.equal(applyChanges(list, [job("10")], any).rows[0].status, "COMPLETED");
});

test("a row that no longer matches stays in its place, marked, until the list is let in", () => {
  const failed = (one) => one.status === "FAILED";
  const list = showPage([job("20", { status: "FAILED" }), job("10", { status: "FAILED" })]);
  const changed = applyChanges(list, [job("20", { updatedAt: "2026-11-26T11:59:59Z" })], failed);
  assert.deepEqual([...changed.gone], ["20"]);
  assert.equal(changed.rows.length, 2);
  assert.deepEqual(letIn(changed).rows.map((one) => one.jobId), ["10"]);
});

test("the next page repeats no row", () => {
  assert.deepEqual(addPage(showPage([job("20"), job("10")]), [job("10"), job("05")]).rows.map((one) => one.jobId), ["20", "10", "05"]);
});

test("filters survive the address, and become the API's parameters", () => {
  const query = new URLSearchParams("status=FAILED,EXPIRED&type=image-upscale&user=ada&since=24h&children=1");
  const filters = readFilters(query);
  assert.equal(writeFilters(filters), "status=FAILED,EXPIRED&type=image-upscale&user=ada&since=24h&children=1");
  const sent = buildApiQuery(filters, NOW);
  assert.equal(sent.get("createdAfter"), "2026-11-25T12:00:00.000Z");
  assert.deepEqual([sent.get("status"), sent.get("jobType"), sent.get("userId"), sent.get("includeChildren")], ["FAILED,EXPIRED", "image-upscale", "ada", "true"]);
  assert.equal(readFilters(new URLSearchParams("since=constructor")).since, "");
});

test("a live job is shown only where the filters match it", () => {
  const filters = (text) => readFilters(new URLSearchParams(text));
  assert.ok(matches(filters("status=QUEUED&user=ada"), job("10"), NOW));
  assert.ok(!matches(filters("user=bob"), job("10"), NOW));
  assert.ok(!matches(filters(""), job("10", { parentId: "20" }), NOW));
  assert.ok(!matches(filters("since=15m"), job("10", { createdAt: "2026-11-26T11:00:00Z" }), NOW));
});

test("a delivered message says its answer's status and time", () => {
  const sent = job("10", { jobType: "webhook", status: "COMPLETED", statusAt: {}, credits: { captured: 0 }, result: { artifacts: [], status: 200, answer: "ok", milliseconds: 508 } });
  assert.equal(explainJob(sent, { now: NOW }).text, "Delivered (200) in 508 ms.");
});

test("one sentence says why a job waits", () => {
  const paused = { queues: [{ jobType: "image-generation", queue: "image-generation-queue", paused: true, depth: 5 }] };
  assert.match(explainJob(job("10"), { now: NOW, health: paused }).text, /image-generation-queue is paused/);
  const providers = [{ provider: "bfl", models: [{ name: "flux", aliases: [], breaker: { state: "open", byHand: false, admitsAt: "2026-11-26T12:04:00Z" } }] }];
  const waiting = job("10", { payload: { provider: "bfl", model: "flux" } });
  assert.match(explainJob(waiting, { now: NOW, providers }).text, /bfl flux is paused after failures; the next call is allowed in 4 min/);
  assert.match(explainJob(job("10", { status: "THROTTLED" }), { now: NOW }).text, /room/);
  assert.match(explainJob(job("10", { status: "BLOCKED", payload: { dependsOn: [{ jobId: "job_a" }] } }), { now: NOW }).href, /jobs\/job_a$/);
});

test("a job that waits for room says how many are ahead, and how long it takes", () => {
  const queue = { ahead: 14, aheadText: "14", startsIn: { p50: 60, p90: 420 }, endsIn: null };
  const text = explainJob(job("10", { status: "THROTTLED", queue }), { now: NOW }).text;
  assert.equal(text, "It waits for room: 14 jobs are ahead of it; about 60 s to go, nine times in ten at most 7 min.");
});

test("a failed job says why, after how many attempts, and what it cost", () => {
  const failed = job("10", { status: "FAILED", attempt: 3, error: { message: "The model is overloaded." }, credits: { held: 0, captured: 0, released: 1 } });
  assert.equal(explainJob(failed, { now: NOW }).text, "It failed after 3 attempts: The model is overloaded. Nothing was charged.");
});

test("a status of a newer server is shown, not hidden", () => {
  assert.match(explainJob(job("10", { status: "PARKED" }), { now: NOW }).text, /PARKED/);
});

test("a schema becomes fields: no aliases, no ignored ones, long texts and choices by kind", () => {
  const schema = {
    $defs: { Options: { type: "object", properties: { width: { type: "integer", minimum: 64, maximum: 4096, default: 1024 } } }, Priority: { type: "string", enum: ["high", "normal"] } },
    properties: {
      prompt: { anyOf: [{ type: "string", maxLength: 10000 }, { type: "null" }] }, modelId: { type: "string", description: "The same as `model`." },
      createdAt: { type: "string", description: "Ignored." }, priority: { $ref: "#/$defs/Priority", default: "normal" },
      options: { $ref: "#/$defs/Options" }, prompts: { type: "array", items: { type: "string" } }, spoken: { type: "boolean" }, story: { type: "object" },
    },
    required: ["prompt"],
  };
  const fields = readFields(schema);
  assert.deepEqual(fields.map((field) => [field.name, field.kind]), [["prompt", "long"], ["priority", "choice"], ["options", "group"], ["prompts", "lines"], ["spoken", "switch"], ["story", "json"]]);
  assert.deepEqual(fields[2].fields.map((field) => [field.path.join("."), field.maximum]), [["options.width", 4096]]);
  const parts = splitFields(fields, {});
  assert.deepEqual(parts.first.map((field) => field.name), ["prompt", "prompts", "spoken"]);
  assert.deepEqual(parts.groups.map((group) => group.fields.map((field) => field.name)), [["width"], ["story"]]);
  assert.deepEqual(parts.more.map((field) => field.name), ["priority"]);
});

test("a form has its fields in the order of the example, then the type's own, and the settings of every type last", () => {
  const text = { type: "string" };
  const same = { ...text, description: "The same as `imageUrls`." };
  const schema = { required: ["prompt"], properties: { priority: { enum: ["LOW"], type: "string" }, model: text, provider: text, prompt: text, numImages: { type: "integer" }, imageUrls: { type: "array", items: text }, options: { type: "object", properties: { width: { type: "integer" } } }, image_urls: same } };
  const named = (example) => splitFields(readFields(schema), example).first.map((field) => field.name);
  assert.deepEqual(named({ prompt: "a", model: "m", provider: "p", imageUrls: [] }), ["prompt", "model", "provider", "imageUrls", "numImages"]);
  assert.deepEqual(named({ prompt: "a" }), ["prompt", "numImages", "imageUrls", "model", "provider"]);
  assert.deepEqual(renameAliases(schema, { image_urls: ["a"], prompt: "b" }), { imageUrls: ["a"], prompt: "b" });
  assert.deepEqual(renameAliases(schema, { image_urls: ["a"], imageUrls: ["c"] }), { image_urls: ["a"], imageUrls: ["c"] });
});

test("inputs become values, and an empty one none", () => {
  const field = (kind) => ({ kind });
  assert.equal(parseInput(field("number"), "12"), 12);
  assert.equal(parseInput(field("number"), "1e"), "1e");
  assert.deepEqual(parseInput(field("lines"), "a\n\nb"), ["a", "b"]);
  assert.deepEqual(setValue({ options: { width: 1 } }, ["options", "width"], undefined), {});
  assert.deepEqual(setValue({}, ["options", "width"], 2), { options: { width: 2 } });
});

test("an edit is the smallest merge patch", () => {
  const before = { prompt: "a", style: "oil", options: { width: 1, height: 2 }, list: [1] };
  assert.equal(buildMergePatch(before, structuredClone(before)), null);
  assert.deepEqual(buildMergePatch(before, { prompt: "b", options: { width: 1, height: 3 }, list: [1, 2] }), { prompt: "b", style: null, options: { height: 3 }, list: [1, 2] });
});

test("failures with one cause are one group, and a pipeline is not counted beside its job", () => {
  const failed = (id, message, more = {}) => job(id, { status: "FAILED", error: { code: "x", message, ...more } });
  const groups = groupErrors([failed("1", "Host 10.0.0.1 is down"), failed("2", "Host 10.0.0.2 is down"), failed("3", "step failed", { jobId: "1" })]);
  assert.deepEqual(groups.map((group) => group.jobs.map((one) => one.jobId)), [["1", "2"]]);
});

test("what needs a person: purchases without an answer, paused queues, stopped models", () => {
  const health = { queues: [{ queue: "q", jobType: "image-generation", paused: true, depth: 2 }] };
  const providers = [{ provider: "bfl", models: [{ name: "flux", breaker: { state: "open", byHand: true } }] }];
  const failed = [job("1", { status: "FAILED", error: { code: "ambiguous_create", message: "no answer" } })];
  const titles = findPersonalWork({ health, providers, failures: sortFailedJobs(failed, 100) }).map((item) => item.title);
  assert.deepEqual(titles, ["1 purchase without an answer", "Image generation is paused", "bfl: 1 model stopped"]);
});

test("an alert leads to the page that shows its cause", () => {
  const alert = (kind, severity, subject = "") => ({ kind, subject, severity, title: kind, text: "It holds.", advice: "Do this." });
  const alerts = [alert("credits", "CRITICAL"), alert("error-rate", "ERROR", "image-upscale"), alert("spend", "WARNING"), alert("sweep-late", "CRITICAL"), alert("breaker-open", "WARNING", "bfl flux"), alert("spend-cap", "WARNING", "users"), alert("spend-cap", "WARNING", "projects")];
  const items = findPersonalWork({ health: null, providers: [], failures: [], alerts });
  assert.deepEqual(items.map((item) => [item.title, item.href, item.link]), [
    ["credits", "/dashboard/users", "See the accounts"], ["error-rate (image-upscale)", "/dashboard/failures", "See failures"],
    ["spend", "/dashboard/credits", "See the money"], ["sweep-late", "/dashboard/queues", "See the queues"],
    ["spend-cap (users)", "/dashboard/users", "See the accounts"], ["spend-cap (projects)", "/dashboard/projects", "See the projects"],
  ]);
  assert.deepEqual(items.map((item) => [item.tone, item.detail])[2], ["warn", "It holds. Do this."]);
});

test("an alert and the failures that are its cause are one row", () => {
  const alert = (kind, subject = "") => ({ kind, subject, severity: "ERROR", title: kind, text: "12 of 20 failed.", advice: "Do this." });
  const kind = (key, code, types) => ({ key, code, message: `It is ${key}`, count: 3, least: false, types, jobId: "1", href: "/f", link: "See" });
  const failures = [kind("a", "down", ["image-upscale"]), kind("b", "gone", ["image-upscale"]), kind("c", "ambiguous_create", ["lip-sync"])];
  const alerts = [alert("error-rate", "image-upscale"), alert("error-rate", "lip-sync"), alert("dead-letters"), alert("ambiguous-purchase")];
  const found = findPersonalWork({ health: null, providers: [], failures, alerts });
  assert.deepEqual(found.map((item) => item.title), ["error-rate (lip-sync)", "3 purchases without an answer", "3 jobs failed: It is a", "3 jobs failed: It is b"]);
  assert.deepEqual(found.map((item) => item.detail).slice(2), ["Image upscale. 12 of 20 failed.", "Image upscale"]);
  const alone = findPersonalWork({ health: null, providers: [], failures: [], alerts });
  assert.equal(alone.length, alerts.length);
});

test("an admin is led to what an operator can correct, and a user to their own mistakes", () => {
  const group = (code, open, more = {}) => ({ fingerprint: code, jobType: "image-upscale", code, message: `It is ${code}.`, open, jobIds: ["1", "2"], lastSeenAt: "2026-11-26T11:00:00Z", ...more });
  const groups = [group("input_not_found", 40), group("provider_down", 2), group("internal_error", 3), group("no_output", 9, { lastSeenAt: "2026-11-20T11:00:00Z" }), group("moderation", 0)];
  const found = sortDeadLetters(groups, "2026-11-25T12:00:00Z");
  assert.equal(found.explained, 40);
  const items = findPersonalWork({ health: null, providers: [], failures: found.failures });
  assert.deepEqual(items.map((item) => [item.title, item.href]), [["3 jobs failed: It is internal_error", "/dashboard/failures"], ["2 jobs failed: It is provider_down", "/dashboard/failures"]]);
  const mine = sortFailedJobs([job("1", { error: { code: "input_not_found", message: "It is gone." } })], 100);
  assert.deepEqual(findPersonalWork({ health: null, providers: [], failures: mine }).map((item) => item.href), ["/dashboard/jobs/1"]);
});

test("a pipeline's graph follows its own references; steps that ran at the same time share a column", () => {
  const steps = ["picture", "voice", "film"].map((name) => ({ name }));
  const payload = { steps: { picture: {}, voice: {}, film: { payload: { visual: "{{steps.picture.artifacts[0]}}" }, after: ["voice"] } } };
  const graph = arrangeSteps({ steps, payload }, []);
  assert.deepEqual(graph.columns.map((column) => column.map((step) => step.name)), [["picture", "voice"], ["film"]]);
  assert.deepEqual(graph.edges.sort(), [["picture", "film"], ["voice", "film"]]);
  const child = (step, from, to) => ({ step, createdAt: `2026-11-26T12:00:0${from}Z`, statusAt: to ? { COMPLETED: `2026-11-26T12:00:0${to}Z` } : {} });
  const columns = (...children) => arrangeSteps({ steps, payload: {} }, children).columns.map((column) => column.map((step) => step.name));
  assert.deepEqual(columns(child("picture", 0, 4), child("voice", 1, 3), child("film", 4)), [["picture", "voice"], ["film"]]);
  assert.deepEqual(columns(child("picture", 0, 1), child("voice", 1)), [["picture"], ["voice"], ["film"]]);
});

test("differences are listed by path", () => {
  assert.deepEqual(listDifferences({ a: 1, o: { x: 1 } }, { a: 1, o: { x: 2 }, n: true }), [{ path: "o.x", before: "1", after: "2" }, { path: "n", before: "–", after: "true" }]);
});

test("times are short", () => {
  assert.deepEqual([0.05, 3.21, 59, 300, 7200].map(formatSeconds), ["50 ms", "3.2 s", "59 s", "5 min", "2 h"]);
  assert.equal(formatDistance("2026-11-26T12:00:30Z", NOW), "in 30 s");
});

test("no module but the page's own loads markup as text", () => {
  const main = readFileSync(new URL("main.js", folder), "utf8");
  assert.ok(!/innerHTML|eval\(|new Function/.test(main));
});
