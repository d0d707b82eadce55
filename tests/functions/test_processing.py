"""The task processor: any holder of the key may deliver a job, any number of times, at any time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    expect_problem,
    image_request,
    read_balance,
    read_job,
    submit_job,
)
from simulation.world import KEY, World, running
from taskreel import wiring
from taskreel.adapters.task_target import TaskTarget
from taskreel.app.messages.job_task import build_task
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.task_signature import sign_task
from taskreel.web.tasks import InternalKeys

QUEUE = "image-generation-queue"
SLOW = image_request("slow", seconds=20, times=5)


@pytest.fixture
async def running_job(world: World, ada: httpx.AsyncClient) -> dict[str, Any]:
    """A job that is being worked on, ten seconds before its end."""
    job = await submit_job(ada, SLOW)
    await world.advance(10)
    assert (await read_job(ada, job))["status"] == "PROCESSING"
    return job


@pytest.mark.parametrize("key", [None, "", "wrong", KEY + "x", KEY[:-1]])
async def test_without_the_key_nothing_is_touched(
    world: World, ada: httpx.AsyncClient, key: str | None
) -> None:
    job = await submit_job(ada)
    expect_problem(await world.process(job["jobId"], key), 401, "unauthenticated")
    headers = {} if key is None else {"X-Internal-Api-Key": key}
    expect_problem(
        await world.maintenance.post("/tasks/sweep", headers=headers), 401, "unauthenticated"
    )
    assert await read_job(ada, job) == job


async def test_a_users_token_does_not_open_the_processor(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    answer = await world.processor.post(
        "/tasks/process",
        json={"jobId": job["jobId"]},
        headers={"Authorization": ada.headers["authorization"]},
    )
    expect_problem(answer, 401, "unauthenticated")


async def test_while_the_key_is_rotated_both_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = "the-old-key-of-these-tests", "the-new-key-of-these-tests"
    async with running(tmp_path, monkeypatch, internal_api_key=f"{new}, {old}") as world:
        assert [(await world.process("job_1", key)).status_code for key in (old, new, KEY)] == [
            200,
            200,
            401,
        ]


async def test_a_signature_of_the_body_opens_the_processor_in_place_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = "the-old-key-of-these-tests", "the-new-key-of-these-tests"
    async with running(tmp_path, monkeypatch, internal_api_key=f"{new}, {old}") as world:
        job = await submit_job(world.as_user("ada"))
        task = build_task(QUEUE, job["jobId"], 1)
        for key in (new, old):
            headers = TaskTarget("http://x", key, signs=True).build_headers(task)
            assert key not in str(headers)
            answer = await world.processor.post(
                "/tasks/process", content=task.body, headers=headers
            )
            assert (answer.status_code, answer.json()) == (200, {"answer": "finished"})


async def test_a_signature_opens_nothing_but_its_own_task(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    task = build_task(QUEUE, job["jobId"], 1)
    signed = sign_task(KEY, "/tasks/process", task.body)
    foreign = sign_task(f"{KEY}x", "/tasks/process", task.body)
    other = build_task(QUEUE, "job_of_another", 1).body
    for value, body in (
        (signed, other),
        (signed, task.body + b" "),
        (signed[:-1], task.body),
        (foreign, task.body),
        (sign_task(KEY, "/tasks/sweep", task.body), task.body),
        (sign_task("", "/tasks/process", task.body), task.body),
        ("hmac-sha256=", task.body),
    ):
        answer = await world.processor.post(
            "/tasks/process", content=body, headers={"X-Internal-Api-Key": value}
        )
        expect_problem(answer, 401, "unauthenticated")
    sweep = {"X-Internal-Api-Key": sign_task(KEY, "/tasks/sweep", b"")}
    assert (await world.maintenance.post("/tasks/sweep", headers=sweep)).status_code == 200
    wrong = {"X-Internal-Api-Key": sign_task(KEY, "/tasks/sweep", b"{}")}
    expect_problem(
        await world.maintenance.post("/tasks/sweep", headers=wrong), 401, "unauthenticated"
    )
    assert KEY not in signed


async def test_without_any_key_configured_the_processor_stays_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.web.tasks.InternalKeys", lambda _: InternalKeys([""]))
    async with running(tmp_path, monkeypatch) as world:
        for key in (None, ""):
            expect_problem(await world.process("job_1", key), 401, "unauthenticated")


async def test_a_task_of_an_unknown_job_is_done(world: World) -> None:
    answer = await world.process("job_unknown")
    assert (answer.status_code, answer.json()) == (200, {"answer": "finished"})


@pytest.mark.parametrize("body", [b"{}", b"[]", b"nonsense", b'{"jobId": ""}'])
async def test_a_task_that_is_none_of_ours_is_refused(world: World, body: bytes) -> None:
    answer = await world.processor.post(
        "/tasks/process", content=body, headers={"X-Internal-Api-Key": KEY}
    )
    assert answer.status_code in {400, 422}


async def test_a_repeated_delivery_of_a_finished_job_changes_nothing(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    await world.settle()
    done = await world.job(job["jobId"])
    for _ in range(3):
        assert (await world.process(job["jobId"])).status_code == 200
    assert await world.job(job["jobId"]) == done
    assert (await read_balance(ada))["captured"] == 1


async def test_deliveries_at_once_run_the_job_once(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, SLOW)
    asking = [asyncio.create_task(world.process(job["jobId"])) for _ in range(5)]
    await world.advance(30)
    answers = [answer.status_code for answer in await asyncio.gather(*asking)]
    answers += [status for _, status in world.delivered]
    assert set(answers) == {200, 409}
    assert (await read_job(ada, job))["attempt"] == 1
    assert (await read_balance(ada))["captured"] == 1


async def test_while_a_run_holds_the_lease_others_are_asked_to_come_again(
    world: World, running_job: dict[str, Any]
) -> None:
    before = await world.job(running_job["jobId"])
    answer = await world.process(running_job["jobId"])
    assert (answer.status_code, answer.json()) == (409, {"answer": "busy"})
    assert await world.job(running_job["jobId"]) == before


async def test_the_lease_is_held_as_long_as_the_run_lives(
    world: World, ada: httpx.AsyncClient
) -> None:
    """Ninety seconds of work under a lease of thirty."""
    job = await submit_job(ada, image_request("slow", seconds=90))
    for _ in range(8):
        await world.advance(10)
        held = await world.job(job["jobId"])
        assert held.lease_until is not None
        assert 20 < (held.lease_until - world.now()).total_seconds() <= 30
        assert held.wake_at == held.lease_until
    await world.advance(20)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)


async def test_progress_is_written_once_a_second_at_most(
    world: World, running_job: dict[str, Any]
) -> None:
    seen: list[Job] = []
    for _ in range(40):
        await world.advance(0.1)
        job = await world.job(running_job["jobId"])
        if not seen or job != seen[-1]:
            seen.append(job)
    gaps = [
        (later.updated_at - sooner.updated_at).total_seconds() for sooner, later in pairwise(seen)
    ]
    assert gaps
    assert min(gaps) >= 1
    assert [job.progress for job in seen] == sorted({job.progress for job in seen})


async def dead(world: World, job: dict[str, Any]) -> Job:
    """Make the stored job one whose run has died: its lease passes, and is not renewed."""
    stored = (await world.job(job["jobId"])).with_changes(world.now(), lease_until=world.now())
    await world.put(stored)
    return stored


async def test_a_dead_runs_job_is_taken_over_and_the_old_run_writes_nothing_more(
    world: World, ada: httpx.AsyncClient, running_job: dict[str, Any]
) -> None:
    before = await dead(world, running_job)
    taken = asyncio.create_task(world.process(running_job["jobId"]))
    await world.rest()
    assert (await world.job(running_job["jobId"])).fence == before.fence + 1
    await world.advance(60)
    assert (await taken).status_code == 200
    done = await world.job(running_job["jobId"])
    # The run that died was no attempt of the user's.
    assert (done.status, done.attempt, done.lost_runs) == (Status.COMPLETED, 1, 1)
    assert done.fence == before.fence + 2
    assert all(f"/{before.fence + 1}/" in artifact.path for artifact in done.artifacts)
    assert (await read_balance(ada))["captured"] == 1


async def test_a_dead_runs_job_is_rescued_by_the_sweep(
    world: World, running_job: dict[str, Any]
) -> None:
    stored = await dead(world, running_job)
    await world.put(stored.with_changes(world.now(), wake_at=world.now(), fence=stored.fence + 1))
    assert await world.sweep() == {"rescued": 1}
    await world.advance(60)
    assert (await world.job(running_job["jobId"])).status is Status.COMPLETED


async def test_a_run_sees_that_its_job_was_cancelled_and_stops(
    world: World, ada: httpx.AsyncClient, running_job: dict[str, Any]
) -> None:
    assert (await ada.delete(running_job["urls"]["cancel"])).json()["status"] == "CANCELLED"
    cancelled = await world.job(running_job["jobId"])
    await world.advance(6)
    assert world.delivered[-1] == (running_job["jobId"], 200)
    await world.advance(60)
    assert await world.job(running_job["jobId"]) == cancelled
    assert (await read_balance(ada))["available"] == 100


async def test_a_stopping_processor_gives_its_leases_back(
    world: World, running_job: dict[str, Any]
) -> None:
    await wiring.running().stop()
    await world.rest()
    back = await world.job(running_job["jobId"])
    assert (back.status, back.attempt, back.lease_until) == (Status.QUEUED, 0, None)
    assert world.delivered[-1] == (running_job["jobId"], 409)
    assert back.wake_at is not None
    assert (await world.process(running_job["jobId"])).status_code == 409


async def test_a_start_deadline_that_has_passed_expires_the_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, {**image_request("noop"), "startWithinSeconds": 60})
    world.cut_off = True
    await world.advance(61)
    assert await world.sweep() == {"ended": 1}
    expired = await read_job(ada, job)
    assert (expired["status"], expired["error"]["code"]) == ("EXPIRED", "start_deadline_passed")
    assert (await read_balance(ada))["available"] == 100


async def test_a_late_delivery_finds_its_job_expired(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, {**image_request("noop"), "startWithinSeconds": 60})
    stored = await world.job(job["jobId"])
    await world.put(stored.with_changes(world.now(), start_by=world.now()))
    assert (await world.process(job["jobId"])).status_code == 200
    assert (await read_job(ada, job))["status"] == "EXPIRED"


async def test_a_deadline_ends_a_job_between_two_attempts(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(
        ada,
        {
            **image_request("fail-temporary", times=20),
            "deadlineSeconds": 40,
            "retry": {"minBackoffSeconds": 30},
        },
    )
    await world.advance(41)
    await world.sweep()
    failed = await read_job(ada, job)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "deadline_passed")


async def test_a_store_that_is_away_is_answered_500_and_never_503(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 would slow the whole queue."""
    job = await submit_job(ada)
    await world.services.store.close()
    monkeypatch.setattr(world.sqlite.file, "_path", "/dev/null/store.db")
    assert (await world.process(job["jobId"])).status_code == 500


async def test_the_sweep_leaves_alone_what_is_well(world: World, ada: httpx.AsyncClient) -> None:
    await submit_job(ada, SLOW)
    await submit_job(ada, image_request("pending", times=2, seconds=100))
    await submit_job(ada)
    await world.advance(5)
    assert await world.sweep() == {}


async def test_every_task_names_its_job_only(world: World, ada: httpx.AsyncClient) -> None:
    world.cut_off = True
    job = await submit_job(ada, {**image_request("noop"), "prompt": "a secret"})
    (task,) = world.queued_tasks()
    assert job["jobId"].encode() in task.body
    assert b"secret" not in task.body
    assert IMAGE.rpartition("/")[2] in job["jobType"]
