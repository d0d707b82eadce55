"""Answers and work that one caller's documents or templates could make too large."""

from __future__ import annotations

import base64
import json
import sys
from types import FrameType
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from simulation.world import World
from taskreel.app.jobs import queries
from taskreel.domain.errors import ForbiddenError, PermanentError
from taskreel.domain.template import fill_template

LARGE = {**NOOP, "options": {**NOOP["options"], "providerOptions": {"x": "a" * 600_000}}}


# ── Lists ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_list_carries_no_payloads(world: World, ada: httpx.AsyncClient) -> None:
    """A page of 100 jobs of 0.8 MB was 83 MiB."""
    for _ in range(5):
        await submit_job(ada, LARGE)
    await world.advance(30)
    listed = await ada.get("/api/jobs?limit=100")
    assert len(listed.content) < 20_000
    rows = listed.json()["jobs"]
    assert len(rows) == 5
    assert all("payload" not in row for row in rows)
    assert all(row["result"] == {"artifacts": []} for row in rows)
    alone = (await ada.get(f"/api/jobs/{rows[0]['jobId']}")).json()
    assert len(alone["payload"]["options"]["providerOptions"]["x"]) == 600_000


async def test_a_page_of_large_documents_ends_early_and_the_cursor_goes_on(
    ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_CHUNK", 2)
    monkeypatch.setattr(queries, "_BYTES_OF_A_PAGE", 1_000_000)
    made = [(await submit_job(ada, LARGE))["jobId"] for _ in range(7)]
    found: list[str] = []
    cursor, pages = "", 0
    while pages < 10:
        page = (await ada.get("/api/jobs?limit=100" + cursor)).json()
        found += [row["jobId"] for row in page["jobs"]]
        pages += 1
        if page["nextCursor"] is None:
            break
        assert len(page["jobs"]) == 2
        cursor = f"&cursor={page['nextCursor']}"
    assert sorted(found) == sorted(made)
    assert pages == 4


# ── Cursors and filters ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("id_", ["\ud800", "", "x" * 1501, "é" * 800])
@pytest.mark.parametrize("path", ["/api/jobs", "/api/credits/ledger"])
async def test_a_cursor_that_no_page_has_given_is_refused(
    ada: httpx.AsyncClient, path: str, id_: str
) -> None:
    text = json.dumps(["2026-01-01T00:00:00+00:00", id_])
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    answer = await ada.get(path, params={"cursor": cursor})
    assert answer.status_code == 422


@pytest.mark.parametrize("name", ["projectId", "parentId", "userId"])
async def test_a_filter_that_is_too_long_is_refused(ada: httpx.AsyncClient, name: str) -> None:
    assert refused_paths(await ada.get("/api/jobs", params={name: "x" * 1501})) == {name}


async def test_a_job_id_that_is_too_long_is_not_found(ada: httpx.AsyncClient) -> None:
    expect_problem(await ada.get(f"/api/jobs/{'x' * 2000}"), 404, "not_found")


# ── Templates ────────────────────────────────────────────────────────────────────────────────────


def test_a_template_that_takes_seconds_to_evaluate_is_refused_in_a_tenth() -> None:
    """Twenty filters over 20,000 items took three seconds of the event loop."""
    filters = [
        f"{{{{length(payload.b[?contains(@,'{n}') && contains(@,'2')])}}}}" for n in range(20)
    ]
    context = {"payload": {"b": [str(number) for number in range(20_000)]}}
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        with pytest.raises(PermanentError, match="steps to evaluate"):
            fill_template(filters, context)
    finally:
        sys.setprofile(before)
    # Ten calls for each of the 30,000 steps; all of them would be four millions.
    assert calls < 400_000


def test_a_filter_over_a_thousand_items_is_evaluated() -> None:
    context = {"payload": {"b": [{"n": number} for number in range(1000)]}}
    assert fill_template("{{length(payload.b[?n > `10`].n)}}", context) == 989


# ── Chains ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_chain_of_600_waiting_jobs_ends_with_its_first(
    world: World, ada: httpx.AsyncClient
) -> None:
    """The cancellation answered 500 with a RecursionError, and 122 jobs stayed BLOCKED."""
    root = world.as_user("root", role="admin")
    await root.post("/api/credits/ada/grants", json={"amount": 1000})
    world.cut_off = True
    first = await submit_job(ada)
    last = first
    for _ in range(600):
        last = await submit_job(ada, {**NOOP, "dependsOn": [{"jobId": last["jobId"]}]})
    answer = await ada.delete(f"{IMAGE}/{first['jobId']}")
    assert answer.status_code == 200
    assert (await read_job(ada, last))["error"]["code"] == "dependency_failed"
    assert (await read_balance(ada))["held"] == 0


# ── Control characters ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "name", "position"),
    [("\x00", "U+0000", 0), ("a fox\x1b[2J", "U+001B", 5), ("ab\ufffe", "U+FFFE", 2)],
)
async def test_a_control_character_is_refused_with_its_position(
    ada: httpx.AsyncClient, text: str, name: str, position: int
) -> None:
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("prompt", {"prompt": text}),
        ("projectId", {**NOOP, "projectId": text}),
    ]
    for path, body in bodies:
        answer = await ada.post(IMAGE, json=body)
        assert refused_paths(answer) == {path}
        found = answer.json()["errors"][0]["message"]
        assert found == f"contains the control character {name} at position {position}"


async def test_tabs_and_line_ends_are_no_control_characters(ada: httpx.AsyncClient) -> None:
    await submit_job(ada, {**NOOP, "prompt": "a fox\r\n\tin the snow 🦊"})


# ── Addresses of files ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("digits", [13, 4301, 100_000])
async def test_an_expiry_of_thousands_of_digits_is_no_valid_address(
    world: World, digits: int
) -> None:
    with pytest.raises(ForbiddenError):
        world.files.check_url("x", expires="9" * digits, signature="s")
