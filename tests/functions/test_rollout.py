"""Rollout and rollback: this revision over the documents of the one before, and of the one after.

`tests/data/documents_2026_11.json` was written by the revision of its date, and is never written
again; a later release adds a file of its own (`WRITE_STORED_DOCUMENTS=1`, with another name).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import BATCH, IMAGE, NOOP, batch_request, image_request, submit_job
from functions.stored_documents import (
    load_documents,
    read_documents,
    save_documents,
    store_documents,
)
from simulation.world import KEY, World
from taskreel.domain.job_status import Status

DATA = Path(__file__).parents[1] / "data"
LAST_RELEASE = DATA / "documents_2026_11.json"
FILM = {
    "steps": {
        "one": {"type": "image-generation", "payload": NOOP},
        "two": {
            "type": "image-generation",
            "payload": {**NOOP, "prompt": "{{steps.one.artifacts[0]}}"},
        },
    }
}


async def make_jobs_in_every_status(world: World, ada: httpx.AsyncClient) -> None:
    for path, body in (
        (IMAGE, NOOP),
        (BATCH, batch_request(3)),
        (IMAGE, image_request("fail-permanent")),
        ("/api/jobs/pipeline", FILM),
    ):
        await submit_job(ada, body, path)
    await world.advance(60)
    slow = await submit_job(ada, image_request("slow", seconds=1000))
    await submit_job(ada, {**NOOP, "dependsOn": [{"jobId": slow["jobId"]}]})
    later = world.now() + timedelta(days=300)
    await submit_job(ada, {**NOOP, "scheduleAt": later.isoformat()})
    cancelled = await submit_job(ada, image_request("slow", seconds=1000))
    await world.advance(10)
    await ada.delete(f"{IMAGE}/{cancelled['jobId']}")
    await submit_job(ada, image_request("fail-temporary"))
    await world.advance(4)
    await submit_job(ada, NOOP)


async def read_everything(ada: httpx.AsyncClient) -> dict[str, str]:
    """Ask for every document by every route; the status of each job."""
    listed = await ada.get("/api/jobs?limit=100&includeChildren=true")
    assert listed.status_code == 200, listed.text
    jobs = listed.json()["jobs"]
    for job in jobs:
        for path in ("", "/progress"):
            answer = await ada.get(f"/api/jobs/{job['jobType']}/{job['jobId']}{path}")
            assert answer.status_code == 200, answer.text
        alone = await ada.get(f"/api/jobs/{job['jobId']}")
        assert alone.status_code == 200, alone.text
        if job["status"] == "COMPLETED":
            result = await ada.get(f"/api/jobs/{job['jobType']}/{job['jobId']}/result")
            assert result.status_code == 200, result.text
    for path in ("/api/credits", "/api/credits/ledger"):
        answer = await ada.get(path)
        assert answer.status_code == 200, answer.text
    return {job["jobId"]: job["status"] for job in jobs}


async def run_until_all_have_ended(world: World) -> None:
    for _ in range(20):
        await world.advance(120)
        await world.sweep()


async def test_the_documents_of_the_last_release_are_read_run_and_settled(
    world: World, ada: httpx.AsyncClient
) -> None:
    documents = load_documents(LAST_RELEASE)
    await store_documents(world, documents)
    before = await read_everything(ada)
    assert set(before) == set(documents["jobs"])
    assert {"SCHEDULED", "BLOCKED", "QUEUED", "PROCESSING", "COMPLETED"} <= set(before.values())
    await run_until_all_have_ended(world)
    after = await read_everything(ada)
    ended = {id_ for id_, status in after.items() if Status(status).final}
    assert {id_ for id_, status in before.items() if status != "SCHEDULED"} == ended


@pytest.mark.skipif(
    "WRITE_STORED_DOCUMENTS" not in os.environ, reason="writes the data of a release"
)
async def test_write_the_documents_of_this_release(world: World, ada: httpx.AsyncClient) -> None:
    await make_jobs_in_every_status(world, ada)
    documents = await read_documents(world)
    save_documents(documents, LAST_RELEASE)


# ── A newer revision ─────────────────────────────────────────────────────────────────────────────


def as_written_by_the_next_revision(value: Any) -> Any:
    """Add a field to every object that a model of ours reads."""
    documents = deepcopy(value)
    for rows in documents.values():
        for row in rows.values():
            row["newField"] = {"a": [1]}
    for job in documents["jobs"].values():
        job["payload"]["newField"] = 1
        job["payload"].setdefault("options", {})["newField"] = 1
        for name in ("retry", "credits", "error"):
            job.setdefault(name, None)
            if job[name] is not None:
                job[name]["newField"] = True
            else:
                del job[name]
        for part in [*job.get("units", []), *job.get("steps", {}).values()]:
            part["newField"] = 2.5
            for artifact in part.get("artifacts", []):
                artifact["newField"] = "x"
    return documents


def list_places(value: Any, at: str = "") -> set[str]:
    """The paths of all new fields in a document."""
    if isinstance(value, dict):
        inner = {f"{at}.{name}": one for name, one in value.items()}
    elif isinstance(value, list):
        inner = {f"{at}[{index}]": one for index, one in enumerate(value)}
    else:
        return set()
    found = {place for place in inner if place.endswith(".newField")}
    return found.union(*(list_places(one, place) for place, one in inner.items()))


async def test_fields_of_the_next_revision_are_written_back_and_its_jobs_run(
    world: World, ada: httpx.AsyncClient
) -> None:
    documents = as_written_by_the_next_revision(load_documents(LAST_RELEASE))
    await store_documents(world, documents)
    before = await read_everything(ada)
    assert set(before) == set(documents["jobs"])

    await run_until_all_have_ended(world)
    after = await read_everything(ada)
    assert {s for id_, s in after.items() if before[id_] != "SCHEDULED"} <= {
        "COMPLETED",
        "FAILED",
        "CANCELLED",
    }
    stored = await read_documents(world)
    for collection, rows in documents.items():
        for id_, row in rows.items():
            lost = list_places(row) - list_places(stored[collection][id_])
            # An error that is over is no more.
            assert {place for place in lost if ".error." not in place} == set(), (collection, id_)
    spent = stored["accounts"]["ada"]
    assert spent["held"] == 1  # the job of next year
    assert spent["granted"] == spent["available"] + spent["held"] + spent["captured"]


def put_new_status(job: dict[str, Any]) -> None:
    job["status"] = "PAUSED"
    job["statusAt"]["PAUSED"] = job["createdAt"]


def put_new_unit_state(job: dict[str, Any]) -> None:
    job["units"][0]["state"] = "paused"


def put_new_priority(job: dict[str, Any]) -> None:
    job["priority"] = "urgent"


@pytest.mark.parametrize("put", [put_new_status, put_new_unit_state, put_new_priority])
async def test_a_state_that_only_the_next_revision_knows_is_shown_and_not_changed(
    world: World, ada: httpx.AsyncClient, put: Callable[[dict[str, Any]], None]
) -> None:
    await submit_job(ada, image_request("slow", seconds=1000))
    documents = await read_documents(world)
    ((job_id, job),) = documents["jobs"].items()
    put(job)
    await store_documents(world, documents)
    await read_everything(ada)
    for _ in range(3):
        await world.advance(150)
        await world.sweep()
    stored = (await read_documents(world))["jobs"][job_id]
    again = deepcopy(stored)
    put(again)
    assert again == stored

    assert (await ada.delete(f"{IMAGE}/{job_id}")).status_code == 200
    assert (await ada.get("/api/credits")).json()["held"] == 0


async def test_a_ledger_entry_of_a_new_kind_is_listed(world: World, ada: httpx.AsyncClient) -> None:
    await submit_job(ada)
    documents = await read_documents(world)
    (entry,) = documents["ledger"].values()
    entry["kind"] = "gift"
    await store_documents(world, documents)
    listed = await ada.get("/api/credits/ledger")
    assert [entry["kind"] for entry in listed.json()["entries"]] == ["gift"]


async def test_a_document_that_cannot_be_read_does_not_stop_a_list(
    world: World, ada: httpx.AsyncClient
) -> None:
    odd = await submit_job(ada)
    other = await submit_job(ada)
    documents = await read_documents(world)
    documents["jobs"][odd["jobId"]]["units"] = "three"
    await store_documents(world, documents)
    listed = await ada.get("/api/jobs")
    assert [job["jobId"] for job in listed.json()["jobs"]] == [other["jobId"]]


async def test_a_task_of_the_next_revision_is_processed(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada)
    answer = await world.processor.post(
        "/tasks/process",
        json={"jobId": job["jobId"], "delivery": 1, "newField": 1},
        headers={"X-Internal-Api-Key": KEY},
    )
    assert answer.status_code == 200
    assert (await world.job(job["jobId"])).status is Status.COMPLETED


async def test_a_request_body_with_an_unknown_field_is_still_refused(
    ada: httpx.AsyncClient,
) -> None:
    for body in ({**NOOP, "newField": 1}, {**NOOP, "priority": "urgent"}):
        assert (await ada.post(IMAGE, json=body)).status_code == 422
    assert (await ada.get("/api/jobs?status=PAUSED")).status_code == 422
