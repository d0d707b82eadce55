"""A pipeline of thousands of jobs: its run gives other tasks their turns, and writes seldom."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import pytest

from functions.job_requests import NOOP, submit_job
from functions.pipeline_requests import PIPELINE, ended, fan, start
from simulation.world import World, running
from taskreel.app.pipelines.child_jobs import read_step_payload
from taskreel.domain.job_status import Status
from taskreel.ports import Store, Transaction

T = TypeVar("T")


async def test_a_wide_step_is_started_in_turns_with_other_work(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 50 times 1,000 jobs once let `/health` wait for 25 seconds."""
    grant = await admin.post("/api/credits/ada/grants", json={"amount": 900, "reason": "a test"})
    assert grant.status_code == 201, grant.text
    loop = asyncio.get_running_loop()
    in_turn = Counter[int]()
    turns: list[asyncio.Handle] = []

    def count(*given: Any) -> Any:
        """Read a child job's request, in the present turn of the event loop."""
        in_turn[len(turns)] += 1
        if not turns or turns[-1].cancelled():
            turns.append(loop.call_soon(end_turn))
        return read_step_payload(*given)

    def end_turn() -> None:
        turns[-1].cancel()

    wide = {"type": "image-generation", "forEach": [str(n) for n in range(300)], "payload": NOOP}
    await submit_job(ada, {"steps": {"one": wide, "two": wide}}, PIPELINE)
    monkeypatch.setattr("taskreel.app.pipelines.pipeline_run.read_step_payload", count)
    await world.advance(1)
    assert in_turn.total() == 600
    assert max(in_turn.values()) <= 21


@dataclass
class Writes:
    """A store that counts the writes of each document."""

    store: Store
    counts: Counter[str] = field(default_factory=Counter)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        return await self.store.transaction(
            lambda tx: fn(cast(Transaction, _Counted(tx, self.counts)))
        )


@dataclass
class _Counted:
    tx: Transaction
    counts: Counter[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tx, name)

    def set(self, collection: Any, id_: str, data: Any, /, **how: Any) -> None:
        self.counts[id_] += 1
        self.tx.set(collection, id_, data, **how)

    def update(self, collection: Any, id_: str, data: Any, /, **how: Any) -> None:
        self.counts[id_] += 1
        self.tx.update(collection, id_, data, **how)


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
async def test_a_pipeline_is_written_at_most_once_a_second_however_many_jobs_it_has(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Writes] = []

    def wrap(store: Store) -> Store:
        made.append(Writes(store))
        return cast(Store, made[0])

    async with running(tmp_path, monkeypatch, wrap=wrap, initial_credits=2000) as world:
        ada = world.as_user("ada")
        job = await start(ada, many=fan(*["noop"] * count))
        began = world.now()
        job = await ended(world, ada, job, "COMPLETED", 600)
        seconds = (world.now() - began).total_seconds()
        assert job["credits"]["captured"] == count
        # A check is two writes: the lease, and what it saw. A hundred new jobs are one more: their
        # pipeline is written with them, so that none is added to one that ends meanwhile.
        assert made[0].counts[job["jobId"]] <= seconds + 5 + count / 100
        assert (await world.job(job["jobId"])).status is Status.COMPLETED
