"""Limits of a user by tier: more jobs are accepted and wait, and start as slots come free."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from msgspec.structs import force_setattr, replace

from simulation.world import LIMITS, QUEUES, World, running
from taskreel.app.flow.slots import has_window
from taskreel.app.messages.job_task import queue_of_type
from taskreel.app.worker.recovery import recover_jobs
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Query
from taskreel.rules_setting import parse_limits
from taskreel.store_collections import ACCOUNTS, JOBS
from taskreel_cloud_tasks.clock import SECOND

NOOP = {"prompt": "a red kite", "options": {"studio": {"mode": "noop"}}}
IMAGE = "/api/jobs/image-generation"


async def submit(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post(IMAGE, json={**NOOP, **changes})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def pass_time(world: World) -> None:
    """Let a millisecond pass in which no delivery begins."""
    world.clock.run_next(world.clock.now() + SECOND // 1000)


async def numbers(world: World, user: str = "ada") -> tuple[int, int]:
    account = await world.services.store.get(ACCOUNTS, user)
    assert account is not None
    return account.active, account.waiting


@pytest.mark.parametrize(
    ("tier", "limit"), [("free", 1), ("basic", 2), ("pro", 5), ("enterprise", 10), ("gold", 1)]
)
async def test_a_tier_runs_its_number_of_jobs_and_the_next_one_waits(
    limited: World, tier: str, limit: int
) -> None:
    ada = limited.as_user("ada", tier=tier)
    statuses = [(await submit(ada))["status"] for _ in range(limit + 2)]
    assert statuses == ["QUEUED"] * limit + ["THROTTLED"] * 2
    assert await numbers(limited) == (limit, 2)


async def test_a_waiting_job_says_why_in_one_sentence(limited: World) -> None:
    ada = limited.as_user("ada")
    await submit(ada)
    waiting = await submit(ada)
    assert waiting["status"] == "THROTTLED"
    assert waiting["error"]["code"] == "user_limit"
    assert "1 job under way" in waiting["error"]["message"]
    assert (await limited.job(waiting["jobId"])).wake_at is not None


async def test_every_job_runs_one_after_another_and_no_slot_leaks(limited: World) -> None:
    ada = limited.as_user("ada")
    ids = []
    for _ in range(12):
        ids.append((await submit(ada))["jobId"])
        pass_time(limited)
    for _ in range(40):
        await limited.settle()
    jobs = [await limited.job(job_id) for job_id in ids]
    assert {job.status for job in jobs} == {Status.COMPLETED}
    assert {(job.error, job.slot_of, job.waits_for) for job in jobs} == {(None, None, None)}
    assert await numbers(limited) == (0, 0)
    starts = [job.status_at[Status.PROCESSING] for job in jobs]
    assert starts == sorted(starts), "they start in the order in which they came"


async def test_high_priority_goes_before_a_low_job_that_came_earlier(limited: World) -> None:
    ada = limited.as_user("ada")
    await submit(ada)
    low = (await submit(ada))["jobId"]
    high = (await submit(ada, priority="high"))["jobId"]
    for _ in range(10):
        await limited.settle()
    started = [(await limited.job(one)).status_at[Status.PROCESSING] for one in (high, low)]
    assert started == sorted(started)


async def test_the_tier_decides_the_priority_of_a_request_that_names_none(limited: World) -> None:
    assert (await submit(limited.as_user("ada")))["priority"] == "low"
    assert (await submit(limited.as_user("eve", tier="enterprise")))["priority"] == "high"
    assert (await submit(limited.as_user("bob", tier="enterprise"), priority="normal"))[
        "priority"
    ] == "normal"


async def test_cancelling_a_running_job_admits_the_next_and_a_waiting_one_leaves(
    limited: World,
) -> None:
    ada = limited.as_user("ada")
    first, second, third = [(await submit(ada))["jobId"] for _ in range(3)]
    assert (await ada.delete(f"{IMAGE}/{second}")).json()["status"] == "CANCELLED"
    assert await numbers(limited) == (1, 1)
    await ada.delete(f"{IMAGE}/{first}")
    assert (await limited.job(third)).status is Status.QUEUED
    assert await numbers(limited) == (1, 0)
    assert (await ada.get("/api/credits")).json()["held"] == 1


async def test_jobs_submitted_at_once_never_exceed_the_limit(limited: World) -> None:
    ada = limited.as_user("ada", tier="pro")
    jobs = await asyncio.gather(*(submit(ada) for _ in range(20)))
    assert sorted(job["status"] for job in jobs) == ["QUEUED"] * 5 + ["THROTTLED"] * 15
    assert await numbers(limited) == (5, 15)
    most = 0
    for _ in range(40):
        await limited.settle()
        rows = await limited.services.store.query(Query(collection=JOBS))
        most = max(most, sum(row.value.slot_of is not None for row in rows))
    assert most <= 5
    assert await numbers(limited) == (0, 0)


async def test_a_scheduled_job_takes_its_slot_when_its_time_comes(limited: World) -> None:
    ada = limited.as_user("ada")
    at = limited.now() + timedelta(minutes=1)
    later = (await submit(ada, scheduleAt=at.isoformat()))["jobId"]
    assert await numbers(limited) == (0, 0)
    running_job = (await submit(ada, scheduleAt=(at - timedelta(seconds=1)).isoformat()))["jobId"]
    await limited.advance(70)
    for one in (later, running_job):
        assert (await limited.job(one)).status is Status.COMPLETED
    assert await numbers(limited) == (0, 0)


async def test_a_scheduled_job_waits_when_its_time_comes_and_no_slot_is_free(
    limited: World,
) -> None:
    ada = limited.as_user("ada")
    at = limited.now() + timedelta(minutes=1)
    later = (await submit(ada, scheduleAt=at.isoformat()))["jobId"]
    limited.cut_off = True
    first = (await submit(ada))["jobId"]
    await limited.advance(70)
    limited.cut_off = False
    await limited.process(later)
    assert (await limited.job(later)).status is Status.THROTTLED
    await limited.process(first)
    for _ in range(5):
        await limited.settle()
    assert (await limited.job(later)).status is Status.COMPLETED
    assert await numbers(limited) == (0, 0)


async def test_an_unblocked_job_takes_a_slot_or_waits(limited: World) -> None:
    ada = limited.as_user("ada")
    first = (await submit(ada))["jobId"]
    blocked = await submit(ada, dependsOn=[{"jobId": first}])
    assert blocked["status"] == "BLOCKED"
    assert await numbers(limited) == (1, 0)
    for _ in range(6):
        await limited.settle()
    assert (await limited.job(blocked["jobId"])).status is Status.COMPLETED
    assert await numbers(limited) == (0, 0)


async def test_a_lost_admission_is_made_up_for_by_one_sweep(limited: World) -> None:
    ada = limited.as_user("ada")
    first, second = [(await submit(ada))["jobId"] for _ in range(2)]
    # The process dies after the commit of the settlement, before it admits.
    ended = (await limited.job(first)).enter_status(Status.CANCELLED, limited.now())
    await limited.put(ended)
    account = await limited.services.store.get(ACCOUNTS, "ada")
    assert account is not None
    await limited.advance(400)
    await limited.sweep()
    for _ in range(3):
        await limited.settle()
    assert (await limited.job(second)).status is Status.COMPLETED
    assert await numbers(limited) == (0, 0), "the leaked slot was found by counting"


async def test_without_limits_jobs_that_waited_go_on_their_queue(limited: World) -> None:
    ada = limited.as_user("ada")
    _, second = [(await submit(ada))["jobId"] for _ in range(2)]
    rules = limited.services.rules
    force_setattr(limited.services, "rules", replace(rules, limits=None))
    limited.cut_off = True
    await limited.advance(400)
    await limited.sweep()
    assert (await limited.job(second)).status is Status.QUEUED
    assert (await numbers(limited))[1] == 0


async def test_a_start_recovers_no_job_that_waits_for_a_slot(limited: World) -> None:
    ada = limited.as_user("ada")
    _, second = [(await submit(ada))["jobId"] for _ in range(2)]
    await recover_jobs(limited.services, limited.now() + timedelta(seconds=1))
    assert (await limited.job(second)).status is Status.THROTTLED


async def test_a_window_lets_the_lowest_rank_of_a_type_go_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = parse_limits(LIMITS)
    assert limits is not None
    small = limits.model_copy(update={"windows": {"image-generation": 2}})
    async with running(tmp_path, monkeypatch, limits=small.model_dump_json(by_alias=True)) as world:
        eve = world.as_user("eve", tier="enterprise")
        jobs = [await submit(eve, priority="normal") for _ in range(6)]
        assert [job["status"] for job in jobs] == ["QUEUED"] * 2 + ["THROTTLED"] * 4
        assert jobs[2]["error"]["code"] == "type_limit"
        # A user with one job does not wait behind another's five.
        single = (await submit(world.as_user("ada"), priority="normal"))["jobId"]
        ids = [job["jobId"] for job in jobs]
        most = 0
        for _ in range(40):
            await world.settle()
            rows = await world.services.store.query(Query(collection=JOBS))
            most = max(most, sum(row.value.status in OPEN for row in rows))
        started = {one: (await world.job(one)).status_at[Status.PROCESSING] for one in ids}
        alone = (await world.job(single)).status_at[Status.PROCESSING]
        assert most <= 2
        assert alone <= started[ids[3]], "at most one of the other's jobs went before"
        assert {(await world.job(one)).status for one in ids} == {Status.COMPLETED}


OPEN = {Status.QUEUED, Status.PROCESSING, Status.RETRYING}


async def test_a_pipeline_takes_one_slot_and_its_jobs_none(limited: World) -> None:
    ada = limited.as_user("ada")
    body = {
        "steps": {
            name: {"type": "image-generation", "payload": NOOP} for name in ("one", "two", "three")
        }
    }
    answer = await ada.post("/api/jobs/pipeline", json=body)
    assert answer.status_code == 202, answer.text
    assert await numbers(limited) == (1, 0)
    await limited.advance(30)
    assert (await limited.job(answer.json()["jobId"])).status is Status.COMPLETED
    assert await numbers(limited) == (0, 0)


def test_the_declared_windows_are_a_little_larger_than_the_queues_concurrency() -> None:
    limits = parse_limits(LIMITS)
    assert limits is not None
    assert set(limits.windows) <= JOB_TYPES.keys()
    declared = yaml.safe_load(QUEUES.read_text())
    for name in filter(has_window, JOB_TYPES):
        own = (declared["queues"][queue_of_type(name)] or {}).get("rateLimits", {})
        concurrency = {**declared["defaults"]["rateLimits"], **own}["maxConcurrentDispatches"]
        assert concurrency < limits.window(name) <= max(2 * concurrency, concurrency + 1)
