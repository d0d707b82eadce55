"""A job that ends while it is being bought: the purchase is cancelled, recorded or reported."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from functions.fake_providers import KITE, ProviderSetup, StartProviders
from functions.job_requests import read_balance, submit_job
from taskreel.app.jobs.finish_job import REPORT_PURCHASE_AFTER
from taskreel.app.jobs.job_run import JobRun
from taskreel.app.jobs.retry import is_ambiguous
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.processor import Processor
from taskreel.domain.errors import AMBIGUOUS, ProviderDownError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.ports import Done, Output, Pending

#: The time that the provider takes to answer.
ANSWER_SECONDS = 30


class SlowService:
    """`start` and `cancel` of a provider that answers half a minute later."""

    def __init__(self, setup: ProviderSetup, patch: pytest.MonkeyPatch) -> None:
        self._setup = setup
        self.answer: Callable[[Any], Pending | Done] = lambda _: Pending(
            operation={"id": "op-1"}, poll_after=timedelta(seconds=5)
        )
        self.seconds: float = ANSWER_SECONDS
        self.failing_cancels = 0
        self.starts = 0
        self.cancelled: list[Any] = []
        provider = setup.world.services.providers.get("bfl")
        patch.setattr(provider, "start", self.start)
        patch.setattr(provider, "cancel", self.cancel)

    async def start(self, request: Any, **_more: Any) -> Pending | Done:
        self.starts += 1
        await self._setup.world.services.clock.sleep(self.seconds)
        return self.answer(request)

    async def cancel(self, operation: Any) -> None:
        if self.failing_cancels:
            self.failing_cancels -= 1
            raise ProviderDownError("not now")
        self.cancelled.append(operation)


async def _cancel_during_purchase(setup: ProviderSetup) -> str:
    """Submit a job and cancel it while its provider is asked; the job's id."""
    ada, world = setup.user(), setup.world
    job = await submit_job(ada, KITE)
    await world.advance(1)
    assert (await world.job(job["jobId"])).maybe_bought
    answer = await ada.delete(job["urls"]["cancel"])
    assert answer.status_code == 200, answer.text
    return str(job["jobId"])


async def _let_sweep(setup: ProviderSetup, minutes: int) -> None:
    for _ in range(minutes):
        await setup.world.advance(60)
        await setup.world.sweep()


async def _read_ended(setup: ProviderSetup, job_id: str) -> Job:
    """The job, which was cancelled and costs its user nothing."""
    job = await setup.world.job(job_id)
    assert (job.status, job.wake_at) == (Status.CANCELLED, None)
    assert (await read_balance(setup.user()))["available"] == 100
    return job


async def test_an_operation_whose_first_cancelling_fails_is_cancelled_by_the_sweep(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    service = SlowService(setup, monkeypatch)
    service.failing_cancels = 1
    job_id = await _cancel_during_purchase(setup)
    await setup.world.advance(ANSWER_SECONDS)
    assert service.cancelled == []
    assert (await setup.world.job(job_id)).operations == ({"id": "op-1"},)
    await _let_sweep(setup, 5)
    assert service.cancelled == [{"id": "op-1"}]
    job = await _read_ended(setup, job_id)
    assert (job.operations, job.error, service.starts) == ((), None, 1)


async def test_a_run_that_crashes_with_the_answer_of_a_cancelled_job_has_it_cancelled(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    service = SlowService(setup, monkeypatch)

    async def crash(_run: JobRun) -> None:
        raise ArithmeticError("a bug between the provider's answer and its storing")

    monkeypatch.setattr(JobRun, "_store_outcome", crash)
    job_id = await _cancel_during_purchase(setup)
    await _let_sweep(setup, 5)
    assert service.cancelled == [{"id": "op-1"}]
    await _read_ended(setup, job_id)


async def test_a_stopped_run_has_the_operation_of_a_cancelled_job_cancelled(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    world, service = setup.world, SlowService(setup, monkeypatch)
    world.cut_off = True
    job = await submit_job(setup.user(), KITE)
    processor = Processor(world.services)
    run = asyncio.create_task(processor.process_task(job["jobId"]))
    await world.advance(1)
    await setup.user().delete(job["urls"]["cancel"])
    stopping = asyncio.create_task(processor.stop())
    await world.advance(ANSWER_SECONDS)
    await stopping
    assert await run is Answer.BUSY
    assert service.cancelled == [{"id": "op-1"}]
    await _read_ended(setup, job["jobId"])


async def test_the_cost_of_a_result_that_came_after_the_end_is_recorded(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    service = SlowService(setup, monkeypatch)

    def finish(request: Any) -> Done:
        file = request.folder / "kite.png"
        file.write_bytes(b"a picture")
        return Done(outputs=(Output(path=file),), cost_usd=0.04)

    service.answer = finish
    job_id = await _cancel_during_purchase(setup)
    await _let_sweep(setup, 15)
    job = await _read_ended(setup, job_id)
    assert (job.cost_usd, job.credits.captured, job.error) == (0.04, 0, None)
    assert job.units[0].state is UnitState.FAILED
    # Nobody but an operator buys it again.
    assert is_ambiguous(job)


async def test_a_purchase_that_was_refused_after_the_end_is_not_reported(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    service = SlowService(setup, monkeypatch)

    def refuse(_request: Any) -> Done:
        raise ProviderDownError("503")

    service.answer = refuse
    job_id = await _cancel_during_purchase(setup)
    await _let_sweep(setup, 15)
    job = await _read_ended(setup, job_id)
    assert not job.maybe_bought
    assert job.error is None


async def test_a_purchase_without_an_answer_is_reported_once_and_a_late_answer_is_cancelled(
    start_providers: StartProviders,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    setup = await start_providers("bfl")
    service = SlowService(setup, monkeypatch)
    minutes = int(REPORT_PURCHASE_AFTER.total_seconds() // 60)
    service.seconds = (minutes + 10) * 60
    job_id = await _cancel_during_purchase(setup)
    with caplog.at_level(logging.CRITICAL):
        await _let_sweep(setup, minutes - 1)
        assert (await setup.world.job(job_id)).error is None
        await _let_sweep(setup, 5)
    job = await _read_ended(setup, job_id)
    assert job.error is not None
    assert (job.error.code, job.units[0].state) == (AMBIGUOUS, UnitState.FAILED)
    reports = [one for one in caplog.records if getattr(one, "action", "") == "bought_unstored"]
    assert [one.levelno for one in reports] == [logging.CRITICAL]
    assert service.cancelled == []

    await _let_sweep(setup, 10)
    assert service.cancelled == [{"id": "op-1"}]
    assert (await _read_ended(setup, job_id)).operations == ()
