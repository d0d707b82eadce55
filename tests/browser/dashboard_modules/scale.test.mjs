// The list of jobs under load: counted rows, not times.
import assert from "node:assert/strict";
import { test } from "node:test";

const folder = new URL("../../../functions/taskreel/dashboard/", import.meta.url);
const { addPage, applyChanges, hasOverflowed, letIn, MOST_ARRIVED, MOST_LIVE, showPage } = await import(new URL("live_rows.js", folder));
const { groupRows } = await import(new URL("row_groups.js", folder));

const any = () => true;
const job = (number, more = {}) => ({ jobId: `job_${number}`, createdAt: new Date(number * 20).toISOString(), updatedAt: new Date(number * 20).toISOString(), status: "QUEUED", ...more });

test("after a million jobs a page is as small as after a hundred, and skips none", () => {
  let list = showPage([]);
  for (let number = 0; number < 1_000_000; number += 100) list = letIn(applyChanges(list, Array.from({ length: 100 }, (_, index) => job(number + index)), any));
  assert.equal(list.rows.length, MOST_LIVE);
  assert.deepEqual(list.rows.map((one) => one.jobId), Array.from({ length: MOST_LIVE }, (_, index) => `job_${999_999 - index}`));
  assert.ok(list.cut);
  // The next page begins behind the last row: what was taken off comes back with it.
  const last = Number(list.rows.at(-1).jobId.slice(4));
  const more = addPage(list, Array.from({ length: 40 }, (_, index) => job(last - 1 - index)));
  assert.equal(more.rows.length, MOST_LIVE + 40);
  assert.ok(!more.cut);
});

test("a reader of older pages has as many rows after new ones were let in", () => {
  const list = showPage(Array.from({ length: 400 }, (_, index) => job(400 - index)));
  assert.equal(letIn(applyChanges(list, [job(401)], any)).rows.length, 400);
});

test("while somebody points at the rows, new ones are counted up to a number", () => {
  let list = showPage([job(0)]);
  for (let number = 1; number < 5000; number++) list = applyChanges(list, [job(number)], any);
  assert.equal(list.arrived.length, MOST_ARRIVED);
  assert.ok(hasOverflowed(list));
  assert.deepEqual(list.rows.map((one) => one.jobId), ["job_0"]);
  // Those that were not remembered are between them and the old row, which waits for its page too.
  const shown = letIn(list);
  assert.ok(shown.cut);
  assert.equal(shown.rows.at(0).jobId, "job_4999");
  assert.ok(!shown.rows.some((one) => one.jobId === "job_0"));
});

test("an event changes one row; the others are the same objects, and are not drawn again", () => {
  const list = showPage(Array.from({ length: 100 }, (_, index) => job(index)));
  const changed = applyChanges(list, [job(7, { status: "COMPLETED" })], any);
  assert.deepEqual(changed.rows.filter((row, index) => row !== list.rows[index]).map((row) => row.jobId), ["job_7"]);
});

test("a contact sheet is grouped by prompt or by pipeline, in the order of the rows", () => {
  const rows = [job(4, { summary: { title: "a kite" } }), job(3, { summary: { title: "a boat" }, parentId: "job_2" }), job(2, { summary: { title: "a kite" }, steps: [{}] })];
  const ids = (by) => groupRows(rows, by).map((group) => [group.title, ...group.rows.map((one) => one.jobId)]);
  assert.deepEqual(ids("prompt"), [["a kite", "job_4", "job_2"], ["a boat", "job_3"]]);
  assert.deepEqual(ids("pipeline"), [["", "job_4"], ["a kite", "job_3", "job_2"]]);
  assert.equal(groupRows(rows, "constructor").length, 1);
});
