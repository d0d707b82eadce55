"""Admission of waiting jobs when the store fails, documents are damaged or another was first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import submit_job
from functions.stored_documents import store_documents
from simulation.world import LIMITS, World, running
from taskreel.app.flow import admission
from taskreel.app.flow.account_counts import recount_account
from taskreel.app.flow.admission import admit_jobs_of_user, admit_jobs_to_room
from taskreel.app.flow.queue_position import find_position
from taskreel.app.flow.slots import RoomLimit
from taskreel.domain.errors import StoreError
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_status import Status
from taskreel.ports import Query
from taskreel.rules_setting import parse_limits
from taskreel.store_collections import JOBS
from taskreel_cloud_tasks.clock import SECOND

TYPE = "image-generation"


@pytest.fixture
async def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world in which one image is made at a time."""
    limits = parse_limits(LIMITS)
    assert limits is not None
    small = limits.model_copy(update={"windows": {TYPE: 1}})
    setting = small.model_dump_json(by_alias=True)
    async with running(tmp_path, monkeypatch, limits=setting) as made:
        yield made


async def submit(world: World, client: httpx.AsyncClient, number: int) -> list[str]:
    """Submit jobs a millisecond apart, in which no delivery begins."""
    made = []
    for _ in range(number):
        made.append((await submit_job(client))["jobId"])
        world.clock.run_next(world.clock.now() + SECOND // 1000)
    return made


async def damage(world: World, job_id: str) -> None:
    """Make the stored job unreadable, with the fields by which it is found."""
    rows = await world.services.store.query(Query(collection=JOBS))
    data = next(row.data for row in rows if row.id == job_id)
    await store_documents(world, {"jobs": {job_id: {**data, "units": "none"}}})


async def test_an_end_is_stored_when_the_admission_after_it_fails(
    limited: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = await submit(limited, limited.as_user("ada"), 2)

    async def fail(*_: Any) -> Any:
        raise StoreError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(admission, "admit_jobs_of_user", fail)
        answer = await limited.as_user("ada").delete(f"/api/jobs/{TYPE}/{first}")
        assert answer.json()["status"] == "CANCELLED"
    assert "the sweep will admit them" in caplog.text
    assert (await limited.job(second)).status is Status.THROTTLED
    await limited.advance(400)
    await limited.sweep()
    await limited.advance(1)
    assert (await limited.job(second)).status is Status.COMPLETED


@pytest.mark.parametrize("reason", ["user", "type"])
async def test_a_waiting_job_that_cannot_be_read_is_passed_over(narrow: World, reason: str) -> None:
    tier = "free" if reason == "user" else "pro"
    ada = narrow.as_user("ada", tier=tier)
    first, bad, good = await submit(narrow, ada, 3)
    await damage(narrow, bad)
    await ada.delete(f"/api/jobs/{TYPE}/{first}")
    assert (await narrow.job(good)).status is Status.QUEUED


async def test_two_admissions_at_once_give_one_free_slot_to_one_job(limited: World) -> None:
    ada = limited.as_user("ada", tier="basic")
    jobs = await submit(limited, ada, 4)
    ended = (await limited.job(jobs[0])).enter_status(Status.CANCELLED, limited.now())
    await limited.put(ended.model_copy(update={"slot_of": None}))
    await recount_account(limited.services, "ada")
    services = limited.services
    found = await asyncio.gather(*(admit_jobs_of_user(services, "ada") for _ in range(3)))
    assert [job.job_id for admitted in found for job in admitted] == [jobs[2]]
    assert (await limited.job(jobs[3])).status is Status.THROTTLED


async def test_two_admissions_at_once_exceed_no_window(narrow: World) -> None:
    ada = narrow.as_user("ada", tier="pro")
    first, second, third = await submit(narrow, ada, 3)
    ended = (await narrow.job(first)).enter_status(Status.CANCELLED, narrow.now())
    await narrow.put(ended)
    room = RoomLimit(WaitsFor.TYPE, ("jobType", TYPE), 1)
    narrow.services.counts.forget(room.key, "ada")
    await narrow.services.counts.may_wait(narrow.services.store, room.key, 1, narrow.now())
    found = await asyncio.gather(*(admit_jobs_to_room(narrow.services, room) for _ in range(3)))
    assert [job.job_id for admitted in found for job in admitted] == [second]
    assert (await narrow.job(third)).status is Status.THROTTLED


async def test_a_lost_admission_to_a_queue_is_made_up_for_by_the_sweep(narrow: World) -> None:
    ada = narrow.as_user("ada", tier="pro")
    first, second = await submit(narrow, ada, 2)
    narrow.cut_off = True
    # The process dies after the commit of the settlement, before it admits.
    await narrow.put((await narrow.job(first)).enter_status(Status.CANCELLED, narrow.now()))
    await narrow.advance(600)
    await narrow.sweep()
    assert (await narrow.job(second)).status is Status.QUEUED


async def test_right_numbers_of_an_account_are_not_written(limited: World) -> None:
    await submit(limited, limited.as_user("ada"), 2)
    assert not await recount_account(limited.services, "ada")
    assert not await recount_account(limited.services, "stranger")


async def test_a_position_of_a_running_job_or_one_due_later_needs_no_count(
    limited: World,
) -> None:
    (job_id,) = await submit(limited, limited.as_user("ada"), 1)
    now = limited.now()
    started = (await limited.job(job_id)).enter_status(Status.PROCESSING, now)
    found = await find_position(limited.services, started)
    assert found.ahead == 0
    assert found.starts_in is not None
    assert found.starts_in.p90 == 0.0
    later = started.enter_status(Status.RETRYING, now, next_attempt_at=now + timedelta(seconds=30))
    found = await find_position(limited.services, later)
    assert found.ahead == 0
    assert found.starts_in is not None
    assert (found.starts_in.p50, found.starts_in.p90) == (30.0, 30.0)


async def test_jobs_that_were_queued_earlier_are_ahead(narrow: World) -> None:
    (first,) = await submit(narrow, narrow.as_user("ada"), 1)
    job = await narrow.job(first)
    later = job.model_copy(
        update={"job_id": "job_later", "created_at": job.created_at + timedelta(seconds=1)}
    )
    await narrow.put(later)
    found = await find_position(narrow.services, later)
    assert found.ahead == 1
    assert found.starts_in is None, "no job has ended to estimate from"
