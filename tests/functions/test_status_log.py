"""Each change of a job's status is one line in the log, once it is stored."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import httpx
import pytest

from simulation.world import KEY, World
from taskreel import log

TRACE = "0af7651916cd43dd8448eb211c80319c"


def status_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if vars(record).get("action") == "job_status"]


async def submit(ada: httpx.AsyncClient, **body: Any) -> str:
    answer = await ada.post("/api/jobs/image-generation", json={"prompt": "a kite", **body})
    job_id: str = answer.json()["jobId"]
    return job_id


async def test_a_job_that_completes_is_three_lines(
    world: World, ada: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    job_id = await submit(ada)
    await world.advance(5)
    lines = status_lines(caplog)
    assert [line["status"] for line in lines] == ["QUEUED", "PROCESSING", "COMPLETED"]
    assert {(line["job_id"], line["user_id"], line["job_type"]) for line in lines} == {
        (job_id, "ada", "image-generation")
    }
    assert lines[1]["waited_ms"] >= 0
    assert lines[1]["attempt"] == 1
    assert lines[2]["run_ms"] >= 0
    assert (lines[2]["provider"], lines[2]["credits"]) == ("studio", 1)
    assert "image-generation COMPLETED" in caplog.text


async def test_a_failure_says_why(
    world: World, ada: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await submit(ada, options={"studio": {"mode": "fail-permanent"}})
    await world.advance(5)
    last = status_lines(caplog)[-1]
    assert (last["status"], last["levelname"]) == ("FAILED", "WARNING")
    assert last["code"]
    assert last["error"]


async def test_a_call_that_fails_names_its_user_and_says_why(
    world: World, ada: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await submit(ada, options={"studio": {"mode": "fail-permanent"}})
    await world.advance(5)
    (line,) = [vars(one) for one in caplog.records if vars(one).get("action") == "unit_failed"]
    assert (line["job_id"], line["user_id"]) == (job_id, "ada")
    assert "fails permanently" in line["error"]


async def test_a_transaction_that_is_not_stored_logs_nothing(
    ada: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    refused = await ada.post(
        "/api/jobs/batch-generation", json={"prompts": ["a kite"] * 100, "options": {}}
    )
    again = await ada.post("/api/jobs/image-generation", json={"prompt": "a kite"})
    assert (refused.status_code, again.status_code) == (202, 402)
    assert len(status_lines(caplog)) == 1


async def test_the_line_of_a_delivery_belongs_to_its_trace(
    world: World, ada: httpx.AsyncClient
) -> None:
    job_id = await submit(ada)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(log._JsonFormatter("my-project"))
    logger = logging.getLogger("taskreel.adapters.logged_store")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        answer = await world.processor.post(
            "/tasks/process",
            json={"jobId": job_id, "delivery": 1},
            headers={"X-Internal-Api-Key": KEY, "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        )
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["status"] for line in lines] == ["PROCESSING", "COMPLETED"]
    assert {line["logging.googleapis.com/trace"] for line in lines} == {
        f"projects/my-project/traces/{TRACE}"
    }
