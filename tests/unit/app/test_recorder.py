"""Statistics of a process while the store is away: none is lost, and none is counted twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from simulation.chaos import InstanceStore
from simulation.system_faults import Outage
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.indexes import INDEXES
from taskreel.app.records.recorder import Recorder
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Query
from taskreel.store_collections import DEAD_LETTERS, METRICS
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from unit.domain import samples
from virtual_time import VirtualTime


class Recording:
    """A recorder, its clock, and its store, which a test sends away."""

    def __init__(self) -> None:
        self.engine_clock = VirtualClock()
        self.clock = VirtualTime(self.engine_clock)
        self.store = InstanceStore(SqliteStore(":memory:", INDEXES))
        self.store.awake.set()
        self.recorder = Recorder(self.store, self.clock, shard=0)

    def fail(self, job_id: str, fingerprint: str = "kind") -> None:
        """Note that a job of that kind of failure has failed."""
        self.recorder.note_change(None, failed_job(job_id, fingerprint))

    async def pass_time(self, seconds: float) -> None:
        until = self.engine_clock.now() + round(seconds * SECOND)
        while self.engine_clock.run_next(until):
            pass
        await self.rest()

    async def rest(self) -> None:
        """Let the tasks go on that are ready."""
        loop: Any = asyncio.get_running_loop()
        for _ in range(100):
            await asyncio.sleep(0)
            if not loop._ready:
                await asyncio.sleep(0.001)  # the store commits in a thread of its own

    async def count_failed(self) -> int:
        counts: Counter[str] = Counter()
        for row in await self.store.store.query(Query(collection=METRICS)):
            counts.update(row.value.counts)
        return counts[str(Status.FAILED)]

    async def read_groups(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        rows = await self.store.store.query(Query(collection=DEAD_LETTERS))
        return {row.id: (row.value.seen, row.value.job_ids) for row in rows}


def failed_job(job_id: str, fingerprint: str) -> Job:
    return samples.job(
        Status.FAILED,
        job_id=job_id,
        fingerprint=fingerprint,
        error=samples.error(),
        expire_at=samples.NOW + timedelta(days=30),
    )


@pytest.fixture
async def recording() -> AsyncIterator[Recording]:
    made = Recording()
    yield made
    await made.store.store.close()


async def test_what_a_store_that_is_away_does_not_take_is_stored_with_the_next(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    recording.fail("job_1")
    recording.store.outages.append(Outage(recording.clock, 0, 1e6, carried_out=False))
    await recording.recorder.flush()
    assert [vars(row).get("action") for row in caplog.records] == ["statistics_unstored"]
    recording.store.outages.clear()
    assert await recording.count_failed() == 0
    recording.fail("job_2")
    await recording.recorder.flush()
    assert await recording.count_failed() == 2
    assert await recording.read_groups() == {"kind": (2, ("job_1", "job_2"))}


async def test_what_is_counted_while_a_write_fails_is_added_to_what_it_could_not_store(
    recording: Recording,
) -> None:
    recording.fail("job_1")
    recording.store.awake.clear()
    flushing = asyncio.create_task(recording.recorder.flush())
    await recording.rest()
    recording.fail("job_2")
    recording.fail("job_3", "another kind")
    recording.store.outages.append(Outage(recording.clock, 0, 1e6, carried_out=False))
    recording.store.awake.set()
    await flushing
    recording.store.outages.clear()
    await recording.recorder.flush()
    assert await recording.count_failed() == 3
    assert await recording.read_groups() == {
        "kind": (2, ("job_1", "job_2")),
        "another kind": (1, ("job_3",)),
    }


async def test_numbers_that_were_stored_before_the_store_went_away_are_not_counted_again(
    recording: Recording,
) -> None:
    recording.fail("job_1")
    recording.store.outages.append(Outage(recording.clock, 1, 1e6, carried_out=False))
    await recording.recorder.flush()  # the metrics are stored, the groups are not
    recording.store.outages.clear()
    assert (await recording.count_failed(), await recording.read_groups()) == (1, {})
    await recording.recorder.flush()
    assert await recording.count_failed() == 1
    assert await recording.read_groups() == {"kind": (1, ("job_1",))}


async def test_a_failed_write_is_repeated_after_half_a_minute_by_itself(
    recording: Recording,
) -> None:
    recording.fail("job_1")
    recording.store.outages.append(Outage(recording.clock, 0, 1e6, carried_out=False))
    await recording.recorder.flush()
    recording.store.outages.clear()
    await recording.pass_time(29)
    assert await recording.count_failed() == 0
    await recording.pass_time(2)
    assert await recording.count_failed() == 1


async def test_a_flood_of_kinds_of_failures_is_counted_and_its_first_kinds_are_described(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.app.records.recorder._MOST_GROUPS", 2)
    for number in range(4):
        recording.fail(f"job_{number}", f"kind {number}")
    recording.fail("job_4", "kind 0")
    recording.recorder.note_change(
        None, failed_job("job_5", "kind 0").with_changes(samples.NOW, fingerprint=None)
    )
    await recording.recorder.flush()
    assert await recording.count_failed() == 6
    assert await recording.read_groups() == {
        "kind 0": (2, ("job_0", "job_4")),
        "kind 1": (1, ("job_1",)),
    }


async def test_a_reader_whose_time_is_up_loses_no_numbers_and_doubles_none(
    recording: Recording,
) -> None:
    recording.fail("job_1")
    recording.store.awake.clear()
    reading = asyncio.create_task(recording.recorder.flush())
    await recording.rest()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    recording.store.awake.set()
    await recording.rest()
    await recording.recorder.flush()
    assert await recording.count_failed() == 1
    assert await recording.read_groups() == {"kind": (1, ("job_1",))}
