"""Errors that no code expected: each ends as a counted failure of its one job."""

from __future__ import annotations

from typing import Any, NamedTuple

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    image_request,
    read_balance,
    read_job,
    submit_job,
)
from functions.stored_documents import read_documents, store_documents
from simulation.world import World
from taskreel.app.jobs import dependencies, job_ended
from taskreel.app.jobs.crashes import MOST_CRASHES
from taskreel.app.jobs.job_run import JobRun
from taskreel.app.pipelines.pipeline_run import PipelineRun
from taskreel.app.worker import processor, sweep
from taskreel.domain.errors import (
    StoreAbsentError,
    StoreConflictError,
    StoreContendedError,
    StoreError,
    StoreRefusedError,
)

PIPELINE = "/api/jobs/pipeline"
FILM = {"steps": {"one": {"type": "image-generation", "payload": NOOP}}}


class Crash:
    """A function that raises an error that no code expects, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception = ZeroDivisionError("nobody expected this")

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.calls += 1
        raise self.error


class Always(NamedTuple):
    """The function that always crashes, and a job that calls it."""

    owner: Any
    name: str
    path: str
    body: dict[str, Any]


@pytest.fixture
def crash() -> Crash:
    return Crash()


async def expect_failure(
    world: World, ada: httpx.AsyncClient, job: dict[str, Any], code: str = "internal_error"
) -> None:
    """The job has failed, its hold is released, and nothing more happens to it."""
    for _ in range(12):
        await world.advance(60)
        await world.sweep()
    found = await read_job(ada, job)
    assert (found["status"], found["error"]["code"]) == ("FAILED", code)
    assert found["error"]["category"] == "permanent"
    assert (await read_balance(ada))["held"] == 0
    stored = await world.job(job["jobId"])
    assert stored.wake_at is None


@pytest.mark.parametrize("answer", [StoreAbsentError, StoreConflictError, StoreRefusedError])
@pytest.mark.parametrize(
    "always",
    [
        Always(processor, "decide_claim", IMAGE, NOOP),
        Always(JobRun, "_store_outcome", IMAGE, NOOP),
        Always(PipelineRun, "_write", PIPELINE, FILM),
    ],
)
async def test_an_answer_of_the_store_is_a_failure_of_the_job_and_no_outage(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    crash: Crash,
    always: Always,
    answer: type[StoreError],
) -> None:
    crash.error = answer("accounts/ada does not exist")
    monkeypatch.setattr(always.owner, always.name, crash)
    job = await submit_job(ada, always.body, always.path)
    await expect_failure(world, ada, job)
    assert crash.calls <= MOST_CRASHES
    assert "accounts/ada" not in str(await read_job(ada, job))


@pytest.mark.parametrize("outage", [StoreError, StoreContendedError])
async def test_an_outage_or_contention_of_the_store_is_no_failure_of_the_job(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    crash: Crash,
    outage: type[StoreError],
) -> None:
    crash.error = outage("later")
    with monkeypatch.context() as during:
        during.setattr(processor, "decide_claim", crash)
        job = await submit_job(ada, NOOP)
        for _ in range(5):
            await world.advance(60)
            await world.sweep()
    assert crash.calls > MOST_CRASHES
    await world.advance(600)
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    assert (await world.job(job["jobId"])).crashes == 0


@pytest.mark.parametrize(
    "always",
    [
        Always(processor, "decide_claim", IMAGE, NOOP),
        Always(processor, "claim_job", IMAGE, NOOP),
        Always(JobRun, "__init__", IMAGE, NOOP),
        Always(JobRun, "_store_outcome", IMAGE, NOOP),
        Always(PipelineRun, "__init__", PIPELINE, FILM),
        Always(PipelineRun, "_advance_step", PIPELINE, FILM),
        Always(PipelineRun, "_write", PIPELINE, FILM),
    ],
)
async def test_a_job_that_always_crashes_fails_and_its_hold_is_released(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    crash: Crash,
    always: Always,
) -> None:
    monkeypatch.setattr(always.owner, always.name, crash)
    job = await submit_job(ada, always.body, always.path)
    await expect_failure(world, ada, job)
    assert crash.calls == MOST_CRASHES
    assert {status for _, status in world.delivered} == {200}


async def test_a_crash_of_a_job_that_was_cancelled_meanwhile_changes_nothing(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit_job(ada)

    async def cancel_and_crash(_run: JobRun) -> None:
        assert (await ada.delete(job["urls"]["cancel"])).status_code == 200
        raise ZeroDivisionError

    monkeypatch.setattr(JobRun, "_store_outcome", cancel_and_crash)
    await world.advance(10)
    stored = await world.job(job["jobId"])
    assert (str(stored.status), stored.crashes) == ("CANCELLED", 0)
    assert (await read_balance(ada))["held"] == 0


async def test_a_pipeline_whose_end_always_crashes_is_settled_with_what_its_steps_had_done(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, crash: Crash
) -> None:
    slow = {"type": "image-generation", "payload": image_request("slow", seconds=3000)}
    steps = {**FILM["steps"], "two": {**slow, "after": ["one"]}}
    job = await submit_job(ada, {"steps": steps}, PIPELINE)
    await world.advance(20)
    monkeypatch.setattr(job_ended, "find_all_child_jobs", crash)
    assert (await ada.delete(job["urls"]["cancel"])).status_code == 500
    for _ in range(12):
        await world.advance(60)
        await world.sweep()
    found = await read_job(ada, job)
    assert (found["status"], found["credits"]["captured"]) == ("CANCELLED", 1)
    assert (await read_balance(ada))["held"] == 0


async def test_a_crash_that_passes_costs_the_user_no_attempt(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, crash: Crash
) -> None:
    monkeypatch.setattr(JobRun, "_store_outcome", crash)
    job = await submit_job(ada, {**NOOP, "retry": {"maxAttempts": 1}})
    await world.advance(10)
    assert (await read_job(ada, job))["status"] == "RETRYING"
    monkeypatch.undo()
    await world.advance(60)
    found = await read_job(ada, job)
    assert (found["status"], found["attempt"]) == ("COMPLETED", 1)


async def test_a_blocked_job_whose_unblocking_crashes_is_answered_and_fails(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, crash: Crash
) -> None:
    """The submit answered 500, and the job stayed BLOCKED with its hold for ever."""
    first = await submit_job(ada)
    await world.advance(10)
    monkeypatch.setattr(dependencies, "_prepare_job", crash)
    body = {**NOOP, "dependsOn": [{"jobId": first["jobId"]}]}
    answer = await ada.post(IMAGE, json=body, headers={"Idempotency-Key": "once"})
    assert answer.status_code == 202
    await expect_failure(world, ada, answer.json())


async def test_a_blocked_job_has_a_deadline(world: World, ada: httpx.AsyncClient) -> None:
    slow = await submit_job(ada, {**image_request("slow", seconds=100), "deadlineSeconds": 3600})
    waiting = await submit_job(ada, {**NOOP, "dependsOn": [{"jobId": slow["jobId"]}]})
    first, second = await world.job(slow["jobId"]), await world.job(waiting["jobId"])
    assert first.finish_by is not None
    assert second.finish_by is not None
    assert second.finish_by > first.finish_by
    await world.advance(200)
    assert (await read_job(ada, waiting))["status"] == "COMPLETED"


async def test_one_crashing_job_does_not_stop_the_sweep_of_others(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """210 jobs of one user once stopped all rescues: they stayed on the first page."""
    monkeypatch.setattr(sweep, "_PAGE", 3)
    world.cut_off = True
    bad = [await submit_job(ada) for _ in range(4)]
    good = await submit_job(world.as_user("grace"))
    await world.advance(1)
    ids = {job["jobId"] for job in bad}
    wake = sweep._wake_job

    async def wake_job(services: Any, queues: Any, found: Any, now: Any) -> Any:
        if found.job_id in ids:
            raise ZeroDivisionError
        return await wake(services, queues, found, now)

    monkeypatch.setattr(sweep, "_wake_job", wake_job)
    await world.advance(200)
    swept = await world.sweep()
    assert swept == {"crashed": 4, "rescued": 1}
    world.cut_off = False
    await world.advance(30)
    assert (await read_job(world.as_user("grace"), good))["status"] == "COMPLETED"


async def damage_document(world: World, job_id: str) -> None:
    documents = await read_documents(world)
    documents["jobs"][job_id]["units"] = "three"
    await store_documents(world, documents)


async def test_a_document_that_cannot_be_read_is_put_aside_by_the_sweep(
    world: World, ada: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    world.cut_off = True
    job = await submit_job(ada)
    await damage_document(world, job["jobId"])
    await world.advance(200)
    assert await world.sweep() == {"crashed": 1}
    assert await world.sweep() == {}
    found = [row for row in caplog.records if getattr(row, "action", "") == "job_unreadable"]
    assert [(row.levelname, vars(row)["job_id"]) for row in found] == [("CRITICAL", job["jobId"])]


async def test_a_document_that_cannot_be_read_is_reported_every_hour_until_it_is_repaired(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada)
    whole = await read_documents(world)
    await damage_document(world, job["jobId"])
    await world.advance(200)
    for _ in range(3):
        assert await world.sweep() == {"crashed": 1}
        await world.advance(3700)
    assert (await read_balance(ada))["held"] == 1
    await store_documents(world, whole)
    world.cut_off = False
    await world.sweep()
    await world.advance(10)
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    assert (await read_balance(ada))["held"] == 0


async def test_a_document_that_cannot_be_read_is_answered_with_a_problem(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    await damage_document(world, job["jobId"])
    own = f"{IMAGE}/{job['jobId']}"
    for path in (f"/api/jobs/{job['jobId']}", own, f"{own}/progress"):
        problem = expect_problem(await ada.get(path), 409, "job_unreadable")
        assert job["jobId"] in problem["detail"]
    expect_problem(await ada.delete(own), 409, "job_unreadable")


# ── A job type that is gone ──────────────────────────────────────────────────────────────────────


async def store_of_removed_type(world: World, job_id: str) -> None:
    documents = await read_documents(world)
    documents["jobs"][job_id]["jobType"] = "sticker"
    await store_documents(world, documents)


async def test_a_job_of_a_removed_type_is_listed_read_and_cancelled(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada)
    await store_of_removed_type(world, job["jobId"])
    listed = (await ada.get("/api/jobs")).json()["jobs"]
    assert [row["jobType"] for row in listed] == ["sticker"]
    own = f"/api/jobs/sticker/{job['jobId']}"
    for path in (f"/api/jobs/{job['jobId']}", own, f"{own}/progress"):
        assert (await ada.get(path)).status_code == 200
    assert (await ada.delete(own)).json()["status"] == "CANCELLED"
    assert (await read_balance(ada))["held"] == 0
    expect_problem(await ada.post(f"{own}/replay"), 409, "job_type_unknown")


async def test_a_job_of_a_removed_type_fails_and_says_why(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    await store_of_removed_type(world, job["jobId"])
    await expect_failure(world, ada, job, "job_type_unknown")
    own = f"/api/jobs/sticker/{job['jobId']}"
    expect_problem(await ada.post(f"{own}/retry"), 409, "job_type_unknown")


# ── A value that this revision does not know ─────────────────────────────────────────────────────


async def store_request_of_newer_revision(world: World, job_id: str, **fields: Any) -> None:
    documents = await read_documents(world)
    documents["jobs"][job_id]["payload"].update(fields)
    await store_documents(world, documents)


async def test_a_stored_request_with_an_unknown_value_fails_and_names_it(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {"operation": "video-stitch", "inputFiles": ["https://x.test/a.mp4"] * 2}
    job = await submit_job(ada, body, "/api/jobs/media-processing")
    await store_request_of_newer_revision(world, job["jobId"], operation="image-dream")
    await expect_failure(world, ada, job, "request_unknown")
    message = (await read_job(ada, job))["error"]["message"]
    assert "operation" in message
    assert "Replay" in message
    expect_problem(await ada.post(job["urls"]["retry"]), 409, "request_unknown")


async def test_a_stored_priority_of_a_newer_revision_does_not_stop_its_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada)
    documents = await read_documents(world)
    stored = documents["jobs"][job["jobId"]]
    stored["priority"] = stored["payload"]["priority"] = "urgent"
    await store_documents(world, documents)
    world.cut_off = False
    await world.advance(300)
    await world.sweep()
    await world.advance(5)
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    assert (await world.job(job["jobId"])).payload["priority"] == "urgent"


# ── Fields of a wrong kind ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("quality", [{}, [], ["high"], {"a": 1}, 3])
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("video-composition", {"scenes": [{"imageUrl": "https://x.test/a.png"}]}, "options"),
        ("video-assembly", {"clips": ["https://x.test/a.mp4"]}, "options"),
        ("movie-creation", {"prompt": "a fox"}, "options"),
        (
            "media-processing",
            {"operation": "video-stitch", "inputFiles": ["https://x.test/a.mp4"] * 2},
            "parameters",
        ),
    ],
)
async def test_a_quality_of_a_wrong_kind_is_refused(
    ada: httpx.AsyncClient, path: str, body: dict[str, Any], field: str, quality: Any
) -> None:
    answer = await ada.post(f"/api/jobs/{path}", json={**body, field: {"quality": quality}})
    assert answer.status_code == 422, answer.text


async def test_a_quality_of_a_wrong_kind_from_a_template_ends_the_pipeline(
    world: World, ada: httpx.AsyncClient
) -> None:
    stitch = {
        "operation": "video-stitch",
        "inputFiles": ["https://x.test/a.mp4"] * 2,
        "parameters": {"quality": "{{steps.one.artifacts}}"},
    }
    steps = {
        "one": {"type": "image-generation", "payload": NOOP},
        "two": {"type": "media-processing", "payload": stitch},
    }
    job = await submit_job(ada, {"steps": steps}, PIPELINE)
    await world.advance(60)
    found = await read_job(ada, job)
    assert (found["status"], found["error"]["code"]) == ("FAILED", "bad_payload")
    assert (await read_balance(ada))["held"] == 0
