"""Writes asked for at the same time."""

from __future__ import annotations

import asyncio

import pytest

from taskreel.app.jobs.job_store import CoalescedWriter


async def test_those_who_ask_while_one_is_under_way_share_the_next() -> None:
    writes: list[int] = []
    state = 0

    async def write() -> None:
        seen = state
        await asyncio.sleep(0)
        writes.append(seen)

    save = CoalescedWriter(write)
    first = asyncio.create_task(save())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    state = 1
    await asyncio.gather(first, *(save() for _ in range(10)))
    assert writes == [0, 1]


async def test_all_callers_get_a_failure_and_the_next_may_succeed() -> None:
    broken = True

    async def write() -> None:
        if broken:
            raise RuntimeError("lost")

    save = CoalescedWriter(write)
    answers = await asyncio.gather(save(), save(), return_exceptions=True)
    assert [type(answer) for answer in answers] == [RuntimeError, RuntimeError]
    broken = False
    await save()


async def test_one_who_no_longer_waits_does_not_stop_the_write() -> None:
    written = asyncio.Event()

    async def write() -> None:
        await asyncio.sleep(0)
        written.set()

    waiting = asyncio.create_task(CoalescedWriter(write)())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(written.wait(), 1)
