"""The store goes away while jobs are swept, unblocked and ended: the next sweep makes up for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, NOOP, read_balance, read_job, submit_job
from simulation.chaos import InstanceStore
from simulation.system_faults import Outage
from simulation.world import KEY, LIMITS, World, running
from taskreel.app.jobs import dependencies
from taskreel.domain.errors import PermanentError
from taskreel.domain.job import Job
from taskreel.ports import Store
from taskreel.store_collections import ACCOUNTS

DEPENDENT = "dependsOn"


class Outages:
    """A world whose store a test sends away."""

    def __init__(self, world: World, store: InstanceStore) -> None:
        self.world = world
        self.store = store

    def begin(self, *, after_calls: int, carried_out: bool = False) -> None:
        """Let the store go away at a later call, until `end`."""
        clock = self.world.services.clock
        self.store.outages.append(Outage(clock, after_calls, 1e6, carried_out))

    def end(self) -> None:
        self.store.outages.clear()

    async def sweep(self) -> httpx.Response:
        return await self.world.maintenance.post(
            "/tasks/sweep", headers={"X-Internal-Api-Key": KEY}
        )


@asynccontextmanager
async def _with_outages(
    folder: Path, patch: pytest.MonkeyPatch, limits: str | None = None
) -> AsyncIterator[Outages]:
    stores: list[InstanceStore] = []

    def wrap(store: Store) -> Store:
        stores.append(InstanceStore(store))
        stores[0].awake.set()
        return stores[0]

    async with running(folder, patch, wrap=wrap, limits=limits) as world:
        yield Outages(world, stores[0])
        await stores[0].store.close()


@pytest.fixture
async def outages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outages]:
    async with _with_outages(tmp_path, monkeypatch) as made:
        yield made


async def expect_failed_sweep(outages: Outages) -> None:
    """A 500 and not a 503, by which Cloud Tasks would slow the whole queue."""
    answer = await outages.sweep()
    assert answer.status_code == 500
    assert answer.json()["code"] == "store_unavailable"


async def test_a_sweep_that_can_write_nothing_fails_and_the_next_one_rescues(
    outages: Outages,
) -> None:
    world, ada = outages.world, outages.world.as_user("ada")
    world.cut_off = True
    job = await submit_job(ada)
    await world.advance(200)
    outages.begin(after_calls=1)  # it finds the job, and cannot write it
    await expect_failed_sweep(outages)
    outages.end()
    world.cut_off = False
    assert (await world.sweep())["rescued"] == 1
    await world.advance(10)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_a_rescue_whose_answer_was_lost_is_made_good_by_a_later_sweep(
    outages: Outages,
) -> None:
    world, ada = outages.world, outages.world.as_user("ada")
    world.cut_off = True
    job = await submit_job(ada)
    await world.advance(200)
    outages.begin(after_calls=1, carried_out=True)
    await expect_failed_sweep(outages)
    outages.end()
    world.cut_off = False
    assert await world.sweep() == {}, "its next wake time is stored"
    await world.advance(300)
    await world.sweep()
    await world.advance(10)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_a_job_whose_crash_cannot_be_counted_is_logged_and_the_others_are_swept(
    outages: Outages, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world, ada = outages.world, outages.world.as_user("ada")
    world.cut_off = True
    bad, good = await submit_job(ada), await submit_job(ada)
    await world.advance(200)

    async def crash(*_: Any) -> None:
        raise ZeroDivisionError

    def find_job_type(name: str) -> Any:
        raise ZeroDivisionError(name)

    with monkeypatch.context() as patch:
        patch.setattr("taskreel.app.jobs.job_ended.record_crash", crash)
        patch.setattr("taskreel.app.worker.sweep.find_job_type", find_job_type)
        assert await world.sweep() == {"crashed": 2}
    rows = [vars(row) for row in caplog.records if getattr(row, "action", "") == "crash_unrecorded"]
    assert {row["job_id"] for row in rows} == {bad["jobId"], good["jobId"]}
    world.cut_off = False
    assert await world.sweep() == {"rescued": 2}


@pytest.mark.parametrize("carried_out", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("calls", range(8))
async def test_an_outage_while_a_job_is_unblocked_leaves_it_to_the_sweep(
    outages: Outages,
    calls: int,
    carried_out: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    world, ada = outages.world, outages.world.as_user("ada")
    world.cut_off = True
    first = await submit_job(ada)
    second = await submit_job(ada, {**NOOP, DEPENDENT: [{"jobId": first["jobId"]}]})
    outages.begin(after_calls=calls, carried_out=carried_out)
    delivery = asyncio.create_task(world.process(first["jobId"]))
    await world.advance(5)
    outages.end()
    await world.advance(30)
    assert delivery.done()
    world.cut_off = False
    for _ in range(6):
        await world.advance(200)
        await world.sweep()
    for job in (first, second):
        found = await read_job(ada, job)
        assert (found["status"], found["attempt"]) == ("COMPLETED", 1)
    assert (await read_balance(ada))["held"] == 0


@pytest.mark.parametrize("error", [None, PermanentError("no", code="dependency_failed")])
async def test_a_blocked_job_that_is_cancelled_while_it_is_unblocked_stays_cancelled(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    error: PermanentError | None,
) -> None:
    world.cut_off = True
    first = await submit_job(ada)
    second = await submit_job(ada, {**NOOP, DEPENDENT: [{"jobId": first["jobId"]}]})
    prepare = dependencies._prepare_job

    async def cancel_meanwhile(services: Any, job: Job, others: Any) -> Job:
        answer = await ada.delete(f"{IMAGE}/{job.job_id}")
        assert answer.json()["status"] == "CANCELLED"
        if error is not None:
            raise error
        return await prepare(services, job, others)

    monkeypatch.setattr(dependencies, "_prepare_job", cancel_meanwhile)
    assert (await world.process(first["jobId"])).status_code == 200
    found = await read_job(ada, second)
    assert (found["status"], found["credits"]["released"]) == ("CANCELLED", 1)
    assert (await read_balance(ada))["held"] == 0


async def test_a_limit_that_was_stored_is_no_failure_although_its_jobs_could_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _with_outages(tmp_path, monkeypatch, limits=LIMITS) as outages:
        world = outages.world
        root = world.as_user("root", role="admin")
        outcomes = set()
        for calls in range(8):
            user = f"user-{calls}"
            jobs = [await submit_job(world.as_user(user)) for _ in range(2)]
            outages.begin(after_calls=calls)
            answer = await root.put(f"/api/limits/{user}", json={"activeJobs": 2})
            outages.end()
            account = await world.services.store.get(ACCOUNTS, user)
            assert account is not None
            assert (answer.status_code, account.max_active) in {(200, 2), (503, None)}, calls
            outcomes.add((answer.status_code, account.active))
            await world.advance(60)
            for job in jobs:
                assert (await read_job(world.as_user(user), job))["status"] == "COMPLETED"
        # Refused; stored alone; and stored with its jobs started.
        assert outcomes == {(503, 1), (200, 1), (200, 2)}
