// The dashboard's modules of numbers and charts, under `node --test`.
import assert from "node:assert/strict";
import { test } from "node:test";

const folder = new URL("../../../functions/taskreel/dashboard/", import.meta.url);
const { findScale, placePoints, listDays } = await import(new URL("chart_scale.js", folder));
const { addModels, addTypes, sumDays, sumByDay } = await import(new URL("metrics.js", folder));
const { placeChanges } = await import(new URL("breaker_spans.js", folder));
const { findPrompt, formatType, nameFile } = await import(new URL("format.js", folder));
const { findPage, isCurrent, PAGES } = await import(new URL("pages.js", folder));

const NOW = Date.parse("2026-11-27T12:00:00Z");

test("an axis ends at a round number that is not below the values", () => {
  assert.deepEqual([0, 0.03, 7, 12, 24, 26, 99, 1000].map((most) => findScale(most).top), [1, 0.05, 10, 20, 25, 50, 100, 1000]);
  assert.deepEqual(findScale(7).ticks, [0, 5, 10]);
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
