"""The heartbeat of a run: a beat that fails ends the work, and its error comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from taskreel.app.jobs.heartbeat import Heartbeat
from taskreel.domain.errors import LeaseLostError, StoreError
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from virtual_time import VirtualTime

LOST = LeaseLostError("another run took the job")
AWAY = StoreError("the store is away")


class Heart:
    """A heartbeat whose beats fail with an error, once one is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.engine_clock = VirtualClock()
        self.clock = VirtualTime(self.engine_clock)
        self.error = error
        self.beats = 0
        self.limit = 3600.0
        #: The times at which the limit was reached.
        self.ends: list[float] = []
        self._began_at = self.engine_clock.now()

    def _end(self) -> None:
        self.ends.append((self.engine_clock.now() - self._began_at) / SECOND)

    async def guard(self, work: Awaitable[None]) -> None:
        limit = timedelta(seconds=self.limit)
        heartbeat = Heartbeat(self.clock, lambda: True, self._beat, limit=limit, end=self._end)
        await heartbeat.guard(work)

    async def pass_time(self, seconds: float) -> None:
        until = self.engine_clock.now() + round(seconds * SECOND)
        while self.engine_clock.run_next(until):
            for _ in range(5):
                await asyncio.sleep(0)

    async def _beat(self) -> None:
        self.beats += 1
        if self.error is not None:
            raise self.error


async def work_until_cancelled(after: Exception | None = None) -> None:
    """Work for ever; when it is cancelled, fail with another error."""
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        if after is None:
            raise
        raise after from None


async def ignore_cancellation() -> None:
    try:
        await asyncio.get_running_loop().create_future()
    except asyncio.CancelledError:
        return


async def end_after(heart: Heart, work: Callable[[], Awaitable[None]]) -> BaseException | None:
    """The error of a guarded run after three seconds, at the end of which it is not cancelled."""
    left: list[int] = []

    async def run() -> None:
        try:
            await heart.guard(work())
        finally:
            task = asyncio.current_task()
            assert task is not None
            left.append(task.cancelling())

    running = asyncio.create_task(run())
    await asyncio.sleep(0)
    await heart.pass_time(3)
    assert running.done()
    assert left == [0], "the cancellation of the heartbeat itself is taken back"
    return None if running.cancelled() else running.exception()


async def test_the_heart_beats_every_second_until_the_work_ends() -> None:
    heart = Heart()
    assert await end_after(heart, lambda: heart.clock.sleep(2.5)) is None
    assert heart.beats == 2


@pytest.mark.parametrize("error", [LOST, AWAY])
async def test_a_beat_that_fails_cancels_the_work_and_its_error_is_raised(
    error: Exception,
) -> None:
    heart = Heart(error)
    assert await end_after(heart, work_until_cancelled) is error
    assert heart.beats == 1


@pytest.mark.parametrize("error", [LOST, AWAY])
async def test_the_error_of_a_beat_is_raised_although_the_work_ignores_its_cancellation(
    error: Exception,
) -> None:
    assert await end_after(Heart(error), ignore_cancellation) is error


async def test_a_lost_lease_comes_before_an_error_of_the_work() -> None:
    own = ValueError("while cleaning up")
    raised = await end_after(Heart(LOST), lambda: work_until_cancelled(own))
    assert raised is LOST
    assert raised.__cause__ is own


async def test_an_error_of_the_work_comes_before_a_store_that_is_away() -> None:
    own = ValueError("while cleaning up")
    assert await end_after(Heart(AWAY), lambda: work_until_cancelled(own)) is own


async def test_a_cancellation_by_others_cancels_the_run_and_ends_the_beats() -> None:
    heart = Heart()
    running = asyncio.create_task(heart.guard(work_until_cancelled()))
    await asyncio.sleep(0)
    await heart.pass_time(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await heart.pass_time(5)
    assert heart.beats == 1


async def test_a_stop_that_comes_with_a_failed_beat_is_still_a_stop() -> None:
    heart = Heart(LOST)

    async def stop_as_well() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            running.cancel()
            raise

    running = asyncio.create_task(heart.guard(stop_as_well()))
    await asyncio.sleep(0)
    await heart.pass_time(2)
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_work_outside_a_task_is_refused_since_it_could_not_be_cancelled() -> None:
    refused: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    never = asyncio.get_running_loop().create_future()

    def drive() -> None:
        try:
            Heart().guard(never).send(None)
        except RuntimeError as error:
            refused.set_result(error)

    asyncio.get_running_loop().call_soon(drive)
    assert "work of a task" in str(await refused)


async def test_an_error_of_the_work_is_raised_while_the_heart_beats_well() -> None:
    own = ValueError("the work failed")

    async def fail() -> None:
        raise own

    assert await end_after(Heart(), fail) is own


@pytest.mark.parametrize("limit", [1.0, 2.5, 60.0])
async def test_the_limit_is_reached_once_at_its_time(limit: float) -> None:
    heart = Heart()
    heart.limit = limit
    run = asyncio.create_task(heart.guard(work_until_cancelled()))
    await asyncio.sleep(0)
    await heart.pass_time(limit - 0.1)
    assert heart.ends == []
    await heart.pass_time(100)
    assert heart.ends == [limit]
    run.cancel()
    await asyncio.wait([run])


async def test_work_that_has_ended_reaches_no_limit() -> None:
    heart = Heart()
    heart.limit = 5.0
    run = asyncio.create_task(heart.guard(heart.clock.sleep(3)))
    await asyncio.sleep(0)
    await heart.pass_time(10)
    assert run.done()
    assert heart.ends == []
