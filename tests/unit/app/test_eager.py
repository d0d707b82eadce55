"""Work that is run to its first wait in the task that then awaits it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from taskreel.app.eager import EagerWork


async def test_work_that_never_waits_is_done_when_it_is_built() -> None:
    async def add() -> int:
        return 1 + 1

    work = EagerWork(add())
    assert work.done
    assert await work == 2


async def test_work_that_waits_goes_on_from_there() -> None:
    opened = asyncio.Event()

    async def wait() -> str:
        await opened.wait()
        await asyncio.sleep(0)
        return "opened"

    work = EagerWork(wait())
    assert not work.done
    asyncio.get_running_loop().call_soon(opened.set)
    assert await work == "opened"


async def test_an_error_before_and_after_the_first_wait_is_raised() -> None:
    async def fail(waits: int) -> None:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise LookupError(waits)

    with pytest.raises(LookupError, match="0"):
        EagerWork(fail(0))
    for waits in (1, 2):
        with pytest.raises(LookupError, match=str(waits)):
            await EagerWork(fail(waits))


async def test_a_cancellation_reaches_the_work_at_its_first_wait() -> None:
    cleaned = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await EagerWork(wait())
    assert cleaned == [True]


async def test_work_may_survive_a_cancellation() -> None:
    async def wait() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "survived"
        return "never"

    async def run() -> str:
        return await EagerWork(wait())

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "survived"


async def test_work_sees_the_context_of_its_task() -> None:
    name: ContextVar[str] = ContextVar("name")
    name.set("outer")

    async def change() -> str:
        before = name.get()
        await asyncio.sleep(0)
        name.set("inner")
        return before

    assert await EagerWork(change()) == "outer"
    assert name.get() == "inner"
