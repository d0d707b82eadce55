"""One run of a job: its deadline, its heartbeat, purchases under way, and crashes inside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.fake_providers import KITE, ProviderSetup, StartProviders
from functions.job_requests import (
    BATCH,
    NOOP,
    batch_request,
    image_request,
    read_balance,
    read_job,
    submit_job,
)
from simulation.world import World
from taskreel.app.jobs.enqueue import LONGEST_DELIVERY
from taskreel.app.jobs.job_run import JobRun
from taskreel.app.jobs.job_store import CoalescedWriter
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.processor import Processor
from taskreel.domain.errors import LeaseLostError, ProviderDownError, StoreError
from taskreel.domain.job_status import Status

#: Of a type with half an hour: one delivery.
TIMEOUT = LONGEST_DELIVERY.total_seconds()
HOUR = 3600.0


def _log_actions(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {str(getattr(record, "action", "")) for record in caplog.records}


def _delay_start(setup: ProviderSetup, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make the provider's `start` answer only after that many seconds of virtual time."""
    provider = setup.world.services.providers.get("bfl")
    start = provider.start

    async def slow(request: Any, **more: Any) -> Any:
        await setup.world.services.clock.sleep(seconds)
        return await start(request, **more)

    monkeypatch.setattr(provider, "start", slow)


def _fail_writes(
    monkeypatch: pytest.MonkeyPatch, error: Exception, times: int = 1
) -> Callable[[], int]:
    """Make the next saves of a run fail; returns a function that counts those still to fail."""
    write: Callable[[CoalescedWriter], Awaitable[None]] = CoalescedWriter.__call__
    remaining = times

    async def failing(writer: CoalescedWriter) -> None:
        nonlocal remaining
        if remaining:
            remaining -= 1
            raise error
        await write(writer)

    monkeypatch.setattr(CoalescedWriter, "__call__", failing)
    return lambda: remaining


async def _deliver_by_hand(world: World, job: dict[str, Any]) -> asyncio.Task[httpx.Response]:
    """Begin one delivery that no queue gives up."""
    delivery = asyncio.create_task(world.process(job["jobId"]))
    await world.rest()
    return delivery


# ── The deadline of an attempt ───────────────────────────────────────────────────────────────────


async def test_an_attempt_that_takes_too_long_is_tried_again(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {**image_request("slow", seconds=HOUR), "retry": {"maxAttempts": 2}}
    job = await submit_job(ada, body)
    delivery = await _deliver_by_hand(world, job)
    await world.advance(TIMEOUT - 1)
    assert (await read_job(ada, job))["status"] == "PROCESSING"
    await world.advance(1.5)
    assert (await delivery).status_code == 200
    late = await read_job(ada, job)
    assert (late["status"], late["attempt"]) == ("RETRYING", 1)
    assert late["error"]["code"] == "attempt_timeout"
    assert f"{TIMEOUT:.0f} s" in late["error"]["message"]
    assert (await world.job(job["jobId"])).lease_until is None


async def test_the_last_attempt_that_takes_too_long_fails_the_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {**image_request("slow", seconds=HOUR), "retry": {"maxAttempts": 1}}
    job = await submit_job(ada, body)
    delivery = await _deliver_by_hand(world, job)
    await world.advance(TIMEOUT + 1)
    assert (await delivery).status_code == 200
    failed = await read_job(ada, job)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "attempt_timeout")
    assert (await read_balance(ada))["available"] == 100


@pytest.mark.parametrize("by_queue", [True, False])
async def test_a_purchase_under_way_at_the_deadline_is_stored_and_not_bought_twice(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch, *, by_queue: bool
) -> None:
    """Of a delivery by a queue, the end comes twice: the queue's deadline, then the attempt's."""
    setup = await start_providers("bfl")
    _delay_start(setup, monkeypatch, TIMEOUT + 100)
    job = await submit_job(setup.user(), KITE)
    if by_queue:
        await setup.world.advance(TIMEOUT + 50)
    else:
        await _deliver_by_hand(setup.world, job)
        await setup.world.advance(TIMEOUT + 50)

    # The attempt is over, but the run holds its lease until the provider has answered.
    waiting = await setup.world.job(job["jobId"])
    assert waiting.status is Status.PROCESSING
    assert waiting.maybe_bought
    assert waiting.lease_until is not None
    assert waiting.lease_until > setup.world.now()

    await setup.world.advance(120)
    done = await read_job(setup.user(), job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
    assert setup.fakes["bfl"].creates == 1


async def test_a_purchase_under_way_when_the_processor_stops_is_stored(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    world = setup.world
    _delay_start(setup, monkeypatch, 5)
    world.cut_off = True
    job = await submit_job(setup.user(), KITE)
    processor = Processor(world.services)
    run = asyncio.create_task(processor.process_task(job["jobId"]))
    await world.advance(1)
    assert (await world.job(job["jobId"])).maybe_bought

    stop = asyncio.create_task(processor.stop())
    await world.advance(5)
    await stop
    assert await run is Answer.BUSY
    assert await processor.process_task(job["jobId"]) is Answer.BUSY
    stored = await world.job(job["jobId"])
    assert (stored.status, stored.lease_until) == (Status.QUEUED, None)
    assert stored.operations

    world.cut_off = False
    await world.advance(300)
    done = await read_job(setup.user(), job)
    assert (done["status"], setup.fakes["bfl"].creates) == ("COMPLETED", 1)


async def test_a_run_cut_off_by_the_platform_is_resumed_and_not_repeated(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cloud Run cuts a run off while it polls: nothing more of it is stored."""
    setup = await start_providers("bfl")
    world = setup.world
    provider = world.services.providers.get("bfl")
    poll, cut_off = provider.poll, asyncio.Event()

    async def hang_once(operation: Any, request: Any) -> Any:
        if not cut_off.is_set():
            cut_off.set()
            await asyncio.Event().wait()
        return await poll(operation, request)

    monkeypatch.setattr(provider, "poll", hang_once)
    job = await submit_job(setup.user(), KITE)
    await world.advance(20)
    assert cut_off.is_set()
    cut = await world.job(job["jobId"])
    assert (cut.status, len(cut.operations)) == (Status.PROCESSING, 1)

    # No run renews its lease: it has passed, and the sweep finds the job.
    await world.put(cut.with_changes(world.now(), lease_until=world.now(), wake_at=world.now()))
    assert await world.sweep() == {"rescued": 1}
    await world.advance(300)
    done = await read_job(setup.user(), job)
    assert (done["status"], setup.fakes["bfl"].creates) == ("COMPLETED", 1)
    assert (await read_balance(setup.user()))["captured"] == 1


# ── Saves that fail ──────────────────────────────────────────────────────────────────────────────


async def test_a_save_that_fails_before_a_purchase_leaves_nothing_ambiguous(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    remaining = _fail_writes(monkeypatch, StoreError("the store is away"))
    job = await submit_job(setup.user(), KITE)
    await setup.world.advance(60)
    done = await read_job(setup.user(), job)
    assert remaining() == 0
    assert (done["status"], setup.fakes["bfl"].creates) == ("COMPLETED", 1)


async def test_a_heartbeat_that_cannot_renew_the_lease_ends_the_run(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    remaining = _fail_writes(monkeypatch, StoreError("the store is away"))
    job = await submit_job(ada, image_request("slow", seconds=20, times=5))
    await world.advance(15)
    assert remaining() == 0
    # The queue delivers again: the run has given its job back.
    assert 409 in {status for job_id, status in world.delivered if job_id == job["jobId"]}
    await world.advance(300)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_concurrent_units_all_end_when_the_lease_is_lost(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    remaining = _fail_writes(monkeypatch, LeaseLostError("another run took the job"))
    pending = {"options": {"studio": {"mode": "pending", "seconds": 60}}}
    job = await submit_job(ada, batch_request(3, **pending), BATCH)
    await world.advance(1)
    assert remaining() == 0
    assert all(status < 500 for job_id, status in world.delivered if job_id == job["jobId"])
    assert (await world.job(job["jobId"])).status is Status.PROCESSING


# ── Crashes ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_crash_inside_a_unit_costs_one_attempt(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = world.services.providers.get("studio")
    start = provider.start
    calls = 0

    async def crashing(request: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug")
        return await start(request, **more)

    monkeypatch.setattr(provider, "start", crashing)
    job = await submit_job(ada)
    await world.settle()
    failed = await read_job(ada, job)
    assert (failed["status"], failed["error"]["code"]) == ("RETRYING", "internal_error")
    assert "a bug" not in failed["error"]["message"]
    assert "unit_crashed" in _log_actions(caplog)
    await world.advance(60)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 2)


async def test_a_crash_that_repeats_is_permanent_at_its_second_time(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async def crashing(_request: Any, **_more: Any) -> Any:
        nonlocal calls
        calls += 1
        raise IndexError("a bug that no further attempt can pass")

    monkeypatch.setattr(world.services.providers.get("studio"), "start", crashing)
    job = await submit_job(ada)
    await world.settle()
    await world.advance(600)
    failed = await read_job(ada, job)
    assert (failed["status"], failed["error"]["category"]) == ("FAILED", "permanent")
    assert failed["error"]["code"] == "internal_error"
    assert calls == 2
    assert (await read_balance(ada))["held"] == 0


async def test_a_crash_after_the_last_attempt_failed_gives_no_further_attempt(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, crashes = 0, 0
    store_outcome = JobRun._store_outcome

    async def failing(_request: Any, **_more: Any) -> Any:
        nonlocal calls
        calls += 1
        raise ProviderDownError("not now")

    async def crashing(run: JobRun) -> None:
        nonlocal crashes
        crashes += 1
        if crashes == 1:
            raise ArithmeticError("a bug between the provider's answer and its storing")
        await store_outcome(run)

    monkeypatch.setattr(world.services.providers.get("studio"), "start", failing)
    monkeypatch.setattr(JobRun, "_store_outcome", crashing)
    job = await submit_job(ada, {**NOOP, "retry": {"maxAttempts": 1}})
    await world.settle()
    await world.advance(600)
    failed = await read_job(ada, job)
    assert (failed["status"], failed["attempt"]) == ("FAILED", 1)
    assert failed["error"]["code"] == ProviderDownError("").code
    assert (calls, crashes) == (1, 2)
    assert (await read_balance(ada))["available"] == 100


async def test_a_crash_inside_start_may_have_bought_so_it_is_not_repeated(
    start_providers: StartProviders,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    setup = await start_providers("bfl")
    calls = 0

    async def crashing(_request: Any, **_more: Any) -> Any:
        nonlocal calls
        calls += 1
        raise RuntimeError("a bug")

    monkeypatch.setattr(setup.world.services.providers.get("bfl"), "start", crashing)
    failed = await setup.run_job(KITE, seconds=600)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "ambiguous_create")
    assert calls == 1
    assert "start_crashed" in _log_actions(caplog)
    assert (await read_balance(setup.user()))["available"] == 100


# ── Operations that cannot be cancelled ──────────────────────────────────────────────────────────


async def test_the_sweep_gives_up_an_operation_that_cannot_be_cancelled_for_six_hours(
    start_providers: StartProviders,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    setup = await start_providers("bfl")
    world, ada = setup.world, setup.user()
    tries = 0

    async def refuse(_operation: Any) -> None:
        nonlocal tries
        tries += 1
        raise ProviderDownError("not now")

    monkeypatch.setattr(world.services.providers.get("bfl"), "cancel", refuse)
    job = await submit_job(ada, KITE)
    await world.settle()
    assert (await world.job(job["jobId"])).operations
    answer = await ada.delete(job["urls"]["cancel"])
    assert answer.status_code == 200, answer.text
    ended_at = world.now()

    given_up = 0
    with caplog.at_level(logging.ERROR):
        while world.now() < ended_at + timedelta(hours=8):
            stored = await world.job(job["jobId"])
            if world.now() <= ended_at + timedelta(hours=6):
                assert stored.needs_clean_up
                assert stored.wake_at is not None
            await world.advance(600)
            given_up += (await world.sweep()).get("given_up", 0)

    stored = await world.job(job["jobId"])
    assert (given_up, stored.operations, stored.wake_at) == (1, (), None)
    assert stored.status is Status.CANCELLED
    assert tries > 5
    assert "given_up" in _log_actions(caplog)
