"""Requests and results near the size of a document: 1,000,000 bytes, payload 700,000."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    read_balance,
    read_job,
    submit_job,
)
from functions.stored_documents import read_documents, store_documents
from simulation.world import World
from taskreel.app.jobs.job_store import MAX_PAYLOAD_BYTES, is_larger, measure_bytes
from taskreel.app.jobs.unit_runner import UnitRunner


def large_request(size: int, **fields: Any) -> dict[str, Any]:
    return {**NOOP, "options": {"providerOptions": {"x": "a" * size}}, **fields}


@pytest.mark.parametrize(
    ("value", "size"),
    [("", 1), ("é", 3), (None, 1), (True, 1), (7, 8), (0.5, 8), ({"ab": [1, "x"]}, 13)],
)
def test_sizes_are_counted_as_firestore_does(value: Any, size: int) -> None:
    assert measure_bytes(value) == size
    assert is_larger(value, size - 1)
    assert not is_larger(value, size)


@pytest.mark.parametrize("body", [large_request(MAX_PAYLOAD_BYTES), large_request(1_040_000)])
async def test_a_request_that_leaves_no_room_is_refused_before_it_is_charged(
    ada: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    expect_problem(await ada.post(IMAGE, json=body), 413, "too_large")
    expect_problem(await ada.post(f"{IMAGE}?validateOnly=true", json=body), 413, "too_large")
    balance = await read_balance(ada)
    assert (balance["held"], balance["captured"]) == (0, 0)


async def test_twenty_thousand_small_numbers_are_counted_as_they_are_stored(
    ada: httpx.AsyncClient,
) -> None:
    body = {**NOOP, "options": {"providerOptions": {"x": [1] * 90_000}}}
    assert len(json.dumps(body)) < 300_000
    expect_problem(await ada.post(IMAGE, json=body), 413, "too_large")


async def test_a_large_request_that_has_room_is_completed(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = large_request(650_000)
    body["options"] |= NOOP["options"]
    job = await submit_job(ada, body)
    await world.advance(30)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


def add_to_result(monkeypatch: pytest.MonkeyPatch, characters: int) -> None:
    """Let each finished unit have a text of so many characters."""
    record = UnitRunner._record_done

    async def record_done(runner: UnitRunner, answer: Any) -> None:
        await record(runner, answer)
        runner.unit = runner.unit.with_changes(data={"text": "x" * characters})

    monkeypatch.setattr(UnitRunner, "_record_done", record_done)


async def test_a_result_that_does_not_fit_fails_the_job_and_says_why(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_to_result(monkeypatch, 1_000_000)
    job = await submit_job(ada, NOOP)
    await world.advance(30)
    stored = (await read_documents(world))["jobs"][job["jobId"]]
    monkeypatch.undo()
    assert (stored["status"], stored["error"]["code"]) == ("FAILED", "document_too_large")
    assert measure_bytes(stored) <= 1_000_000


@pytest.mark.parametrize("status", ["QUEUED", "PROCESSING"])
async def test_a_job_that_cannot_be_written_any_more_is_still_cancelled(
    world: World, ada: httpx.AsyncClient, status: str
) -> None:
    """Of earlier versions there are jobs of up to 1 MiB, which held their credits for ever."""
    world.cut_off = True
    job = await submit_job(ada)
    documents = await read_documents(world)
    stored = documents["jobs"][job["jobId"]]
    stored["payload"]["options"]["providerOptions"] = {"x": "a" * 1_045_000}
    stored["status"] = status
    stored["statusAt"][status] = stored["createdAt"]
    await store_documents(world, documents)
    answer = await ada.delete(f"{IMAGE}/{job['jobId']}")
    assert answer.json()["status"] == "CANCELLED"
    assert (await read_balance(ada))["held"] == 0
    assert measure_bytes((await read_documents(world))["jobs"][job["jobId"]]) < 10_000


async def test_a_job_that_cannot_be_written_any_more_fails_instead_of_staying_queued(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    documents = await read_documents(world)
    payload = documents["jobs"][job["jobId"]]["payload"]
    payload["options"]["providerOptions"] = {"x": "a" * 1_045_000}
    await store_documents(world, documents)
    await world.advance(10)
    found = await read_job(ada, job)
    assert (found["status"], found["error"]["code"]) == ("FAILED", "document_too_large")
    assert (await read_balance(ada))["held"] == 0


async def test_a_step_whose_payload_grows_too_large_ends_its_pipeline(
    world: World, ada: httpx.AsyncClient
) -> None:
    text = "x" * 300_000
    options = {"providerOptions": {"a": "{{payload.input.text}}", "b": "{{payload.input.text}}"}}
    options["providerOptions"] |= {"c": "{{payload.input.text}}"}
    body = {
        "input": {"text": text},
        "steps": {"one": {"type": "image-generation", "payload": {**NOOP, "options": options}}},
    }
    answer = await ada.post("/api/jobs/pipeline", json=body)
    if answer.status_code == 202:
        await world.advance(30)
        found = await read_job(ada, answer.json())
        assert (found["status"], found["error"]["code"]) == ("FAILED", "payload_too_large")
    else:
        assert answer.status_code in {413, 422}, answer.text
    assert (await read_balance(ada))["held"] == 0
