"""The list of jobs while fifty jobs change each second: it moves seldom, and never stalls."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.signed_in_page import SECONDS, signed_in
from e2e.processes import Stack
from nightly_tests import skip_by_day

pytestmark = [pytest.mark.browser, pytest.mark.slow]

log = logging.getLogger(__name__)

RATE = 50
#: Rows of a page that nobody reads beyond (`MOST_LIVE` of live_rows.js).
MOST_ROWS = 60
#: The page draws changed jobs so often (`FLUSH_MS`), and moves rows so often (`LET_IN_MS`).
FLUSH_SECONDS, LET_IN_SECONDS = 0.4, 1.5
LONG_TASK_MS = 100
STREAM = Path(__file__).with_name("changing_jobs.js")
#: Counts the pictures in which rows were added, and those in which anything of them changed: of
#: the list that is shown then, if the page draws another one.
COUNT = """() => {
  const LIST = "table.jobs tbody, ul.sheet";
  const all = { childList: true, subtree: true, characterData: true, attributes: true };
  window.drawn = { moved: 0, changed: 0 };
  new MutationObserver((found) => {
    const element = (node) => node instanceof Element ? node : node.parentElement;
    const inside = found.filter((one) => element(one.target)?.closest(LIST));
    window.drawn.changed += Number(inside.length > 0);
    const moved = inside.some((one) => one.target.matches?.(LIST) && one.addedNodes.length);
    window.drawn.moved += Number(moved);
  }).observe(document.body, all);
}"""


@pytest.fixture(scope="module")
def listed(running: Stack) -> Stack:
    """A stack with a page of one user's jobs."""
    with running.client("una") as api:
        for number in range(20):
            later = {"prompt": f"dunes {number}", "scheduleAt": "2030-01-01T00:00:00Z"}
            assert api.post("/api/jobs/image-generation", json=later).status_code == 202
    return running


@contextmanager
def changing_jobs(browser: Browser, stack: Stack, path: str) -> Iterator[Page]:
    with signed_in(browser, stack, "una", path) as page:
        page.add_init_script(path=STREAM)
        page.reload()
        expect(page.locator("[data-row]")).to_have_count(20, timeout=SECONDS)
        expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=SECONDS)
        yield page


@pytest.mark.parametrize("path", ["/jobs", "/jobs?view=sheet"])
def test_many_changes_a_second_are_drawn_and_move_rows_now_and_then(
    browser: Browser, listed: Stack, path: str
) -> None:
    with changing_jobs(browser, listed, path) as page:
        page.evaluate(COUNT)
        done = page.evaluate(f"begin(4, {RATE})")
        # A new job is let in: the stream was read while it came.
        expect(page.locator("[data-row]").nth(20)).to_be_visible(timeout=SECONDS)
        page.wait_for_function("window.drawn.moved >= 1", timeout=SECONDS)
        drawn = page.evaluate("window.drawn")
        assert done["sent"] >= 4 * RATE
        assert page.locator("[data-row]").count() <= MOST_ROWS
        seconds = page.evaluate("performance.now()") / 1000
        assert drawn["moved"] <= seconds / LET_IN_SECONDS + 2
        # The clock of the rows ticks once a second, besides.
        assert drawn["changed"] <= seconds / FLUSH_SECONDS + seconds + 5


@skip_by_day("measures")
@pytest.mark.parametrize("path", ["/jobs", "/jobs?view=sheet", ""])
def test_fifty_changes_a_second_make_no_long_task(
    browser: Browser, listed: Stack, path: str, tmp_path: Path
) -> None:
    """By the processor's time of each task, which other work of the machine does not lengthen."""
    with changing_jobs(browser, listed, path or "/jobs") as page:
        if not path:
            page.get_by_role("link", name="Overview").click()
            expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=SECONDS)
        trace = tmp_path / "trace.json"
        browser.start_tracing(page=page, path=trace, categories=["toplevel", "devtools.timeline"])
        done = page.evaluate(f"begin(20, {RATE})")
        browser.stop_tracing()
        slowest = sorted(find_task_times(json.loads(trace.read_text())["traceEvents"]))[-5:]
        walls = [round(one) for one in page.evaluate("window.longTasks") if one > LONG_TASK_MS]
        log.info(
            "%s: slowest tasks, ms of the processor: %s; by the clock: %s", path, slowest, walls
        )
        assert done["sent"] >= 20 * RATE
        assert slowest[-1] <= LONG_TASK_MS


def find_task_times(events: list[dict[str, Any]]) -> list[float]:
    """The milliseconds of the processor of each task of the page's main thread."""
    tasks = [one for one in events if one["name"].endswith("RunTask") and "tdur" in one]
    scripts = Counter((one["pid"], one["tid"]) for one in events if one["name"] == "FunctionCall")
    [(main, _)] = scripts.most_common(1)
    return [one["tdur"] / 1000 for one in tasks if (one["pid"], one["tid"]) == main]
