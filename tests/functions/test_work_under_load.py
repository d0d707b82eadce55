"""The work of the embedded default under load, in counts: they do not depend on the machine."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from functions.call_counts import count_calls, count_instructions
from functions.job_requests import read_job, submit_job
from simulation.world import World, running
from taskreel.adapters.local import sqlite

#: As many as a queue delivers at once: its bucket of tokens.
JOBS = 10
#: Calls of a plain job that the product's code makes or receives. It decides on the time that a job
#: takes: whoever makes it larger should know why, and whoever makes it smaller states it here.
CALLS_A_JOB = 900
#: Bytecode instructions of the product's functions for such a job, by the version of Python: they
#: also count a loop that calls nothing. The same rule; a new version begins with its first count.
INSTRUCTIONS_A_JOB = {(3, 11): 15_100, (3, 12): 14_200}


@pytest.fixture
async def world_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    # A busy machine is not a busy event loop: a turn that takes long by its neighbours would have
    # the store commit earlier, and more often.
    monkeypatch.setattr(sqlite, "_LONGEST_DELAY_SECONDS", 3600.0)
    monkeypatch.setattr(sqlite, "_LONGEST_TURN_SECONDS", 3600.0)
    async with running(tmp_path, monkeypatch, store_url=f"sqlite:///{tmp_path}/store.db") as world:
        await submit_job(world.as_user())
        await world.settle()
        yield world


@contextmanager
def count_statements(world: World) -> Iterator[Counter[str]]:
    """Count the statements of the store's connection by their first word."""
    counts: Counter[str] = Counter()
    connection = world.sqlite.file.open()
    connection.set_trace_callback(lambda text: counts.update([text.split(None, 1)[0].upper()]))
    yield counts
    connection.set_trace_callback(None)


async def test_concurrent_jobs_share_commits(world_on_disk: World) -> None:
    world = world_on_disk
    ada = world.as_user()
    with count_statements(world) as counts:
        jobs = await asyncio.gather(*(submit_job(ada) for _ in range(JOBS)))
        await world.settle()
    ended = [await read_job(ada, job) for job in jobs]
    assert {job["status"] for job in ended} == {"COMPLETED"}
    # A submission, a claim and a settlement each: alone they would be three a job.
    assert counts["COMMIT"] / JOBS <= 0.5, counts
    # The ids of the job and of its ledger entry are new, and what was written is in memory.
    assert counts["SELECT"] == 0, counts
    # A document that changed several times is written once: the job, its ledger entry, and the
    # account once for all.
    assert (counts["INSERT"] + counts["UPDATE"]) / JOBS <= 3.5, counts


async def test_a_job_takes_its_number_of_calls(world_on_disk: World) -> None:
    world = world_on_disk
    ada = world.as_user()
    with count_calls() as counts:
        jobs = await asyncio.gather(*(submit_job(ada) for _ in range(JOBS)))
        await world.settle()
    assert (await read_job(ada, jobs[-1]))["status"] == "COMPLETED"
    calls = (counts["call"] + counts["c_call"]) / JOBS
    assert 0.95 <= calls / CALLS_A_JOB <= 1.05, (calls, counts)


async def test_a_job_takes_its_number_of_instructions(world_on_disk: World) -> None:
    world = world_on_disk
    ada = world.as_user()
    with count_instructions() as counts:
        jobs = await asyncio.gather(*(submit_job(ada) for _ in range(JOBS)))
        await world.settle()
    assert (await read_job(ada, jobs[-1]))["status"] == "COMPLETED"
    instructions = counts.total() / JOBS
    stated = INSTRUCTIONS_A_JOB.get(sys.version_info[:2], instructions)
    assert 0.95 <= instructions / stated <= 1.05, (instructions, counts.most_common(20))


async def test_a_job_leaves_nothing_to_the_garbage_collector(world_on_disk: World) -> None:
    world = world_on_disk
    ada = world.as_user()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await asyncio.gather(*(submit_job(ada) for _ in range(JOBS)))
        await world.settle()
        gc.collect()
        unreachable = Counter(type(one).__module__ for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    # Cycles of the product: those of the test's own client are not counted.
    assert not {name for name in unreachable if name.startswith("taskreel.")}, unreachable
