"""A run's writes while the store is away: an answer that was paid for is stored once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from simulation.chaos import InstanceStore
from simulation.system_faults import Outage
from simulation.world import settings as world_settings
from taskreel import wiring
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.indexes import INDEXES
from taskreel.app.jobs.job_store import (
    MAX_DOCUMENT_BYTES,
    is_larger,
    load_job,
    require_lease,
    store_job,
    write_for_run,
)
from taskreel.app.services import Services
from taskreel.domain.errors import DocumentTooLargeError, LeaseLostError, StoreError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.ports import Transaction
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from unit.domain import samples
from virtual_time import VirtualTime


@dataclass
class Run:
    """A run with its job in a store that a test sends away."""

    services: Services
    store: InstanceStore
    engine_clock: VirtualClock
    claimed: Job

    async def end(self, *, patience: float = 60) -> Job:
        """Write the end of the run, which moves the fence, while virtual time passes."""

        async def write(tx: Transaction) -> Job:
            job = await require_lease(tx, self.claimed)
            now = self.services.clock.now()
            ended = job.with_changes(now, fence=job.fence + 1, attempt=job.attempt + 1)
            store_job(tx, ended)
            return ended

        give_up_at = self.services.clock.now() + timedelta(seconds=patience)
        writing = asyncio.create_task(write_for_run(self.services, write, give_up_at))
        while not writing.done():
            await asyncio.sleep(0)
            self.engine_clock.run_next(self.engine_clock.now() + SECOND // 10)
        return await writing

    def send_away(self, seconds: float, *, carried_out: bool) -> None:
        self.store.outages.append(Outage(self.services.clock, 0, seconds, carried_out))

    async def stored(self) -> Job | None:
        return await load_job(self.store.store, self.claimed.job_id)


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    engine_clock = VirtualClock()
    built = wiring.build(world_settings(tmp_path), VirtualTime(engine_clock))
    store = InstanceStore(SqliteStore(":memory:", INDEXES))
    store.awake.set()
    made = Run(replace(built, store=store), store, engine_clock, samples.job(fence=3, attempt=0))
    await store_new(made, made.claimed)
    yield made
    await store.store.close()
    await built.store.close()


async def store_new(run: Run, job: Job) -> None:
    async def write(tx: Transaction) -> None:
        store_job(tx, job)

    await run.store.store.transaction(write)


async def test_a_write_is_repeated_while_the_store_is_away(run: Run) -> None:
    run.send_away(5, carried_out=False)
    ended = await run.end()
    assert (ended.fence, ended.attempt) == (4, 1)
    assert await run.stored() == ended


async def test_a_write_whose_answer_was_lost_is_found_and_not_made_again(run: Run) -> None:
    run.send_away(0.05, carried_out=True)
    ended = await run.end()
    stored = await run.stored()
    assert stored is not None
    assert (stored.fence, stored.attempt, stored.updated_at) == (4, 1, ended.updated_at)


async def test_a_run_that_lost_its_lease_while_the_store_was_away_stores_nothing(
    run: Run,
) -> None:
    taken = run.claimed.with_changes(run.claimed.updated_at, fence=9)
    await store_new(run, taken)
    with pytest.raises(LeaseLostError):
        await run.end()
    assert await run.stored() == taken


async def test_a_write_is_given_up_when_the_patience_of_the_run_ends(run: Run) -> None:
    run.send_away(1e6, carried_out=False)
    with pytest.raises(StoreError):
        await run.end(patience=20)
    assert await run.stored() == run.claimed


async def test_a_failed_job_too_large_to_store_loses_its_payload_and_then_its_data(
    run: Run,
) -> None:
    half = {"text": "x" * (MAX_DOCUMENT_BYTES * 6 // 10)}
    whole = {"text": "x" * (MAX_DOCUMENT_BYTES + 1)}
    done = samples.unit(UnitState.DONE, data=half)
    await store_new(run, samples.job(Status.FAILED, payload=half, units=(done,)))
    stored = await run.stored()
    assert stored is not None
    assert (stored.payload, stored.units[0].data) == ({}, half)

    done = samples.unit(UnitState.DONE, data=whole)
    await store_new(run, samples.job(Status.FAILED, payload=half, units=(done,), result=whole))
    stored = await run.stored()
    assert stored is not None
    assert (stored.payload, stored.units[0].data, stored.result) == ({}, None, None)
    assert not is_larger(stored.document(), MAX_DOCUMENT_BYTES)

    with pytest.raises(DocumentTooLargeError):
        await store_new(run, samples.job(Status.COMPLETED, payload=half, units=(done,)))
