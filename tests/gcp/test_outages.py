"""Firestore is away for a while at any call of a run: what was bought is stored, and bought once.

Time is scaled: a second of the system takes a tenth of a real one, its leases, heartbeats and
outages included. Google's emulator answers in real time, and a call of the adapter has two real
seconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from grpc.aio import UnaryStreamClientInterceptor, UnaryUnaryClientInterceptor
from msgspec.structs import replace

from simulation.chaos import ManualQueue
from simulation.world import settings
from taskreel import wiring
from taskreel.adapters.gcp import google_client
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.app.caller import Caller
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.app.providers.circuit_breakers import CircuitBreakers
from taskreel.app.services import Services
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.processor import Processor
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.domain.errors import StoreError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.registered_options import register_options
from taskreel.ports import Clock, Done, Generation, Pending, Timer

from .calls import rpc_error

pytestmark = pytest.mark.emulator

SCALE = 10
IMAGE = JOB_TYPES["image-generation"]
#: Real time that the adapter gives one call: the emulator is slow at first.
CALL_SECONDS = 2.0
#: More calls of the store than a run of these jobs makes.
CALLS = range(16)
#: A call to the provider takes so long that a heartbeat falls into it.
PURCHASE_SECONDS = 8


class ScaledClock(wiring.SystemClock):
    """The machine's time, running `SCALE` times as fast."""

    def __init__(self) -> None:
        self._began = super().now()

    def now(self) -> datetime:
        return self._began + SCALE * (super().now() - self._began)

    async def sleep(self, seconds: float, /) -> None:
        await super().sleep(seconds / SCALE)

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        return super().call_later(seconds / SCALE, callback)


@dataclass
class Outage:
    """Firestore is away from the store's call number `at` on, for `seconds`."""

    clock: Clock
    at: int
    seconds: float
    calls: int = 0
    armed: bool = False
    until: datetime | None = None

    def check_call(self) -> None:
        """Raise UNAVAILABLE while Firestore is away."""
        if not self.armed:
            return
        if self.calls == self.at and self.until is None:
            self.until = self.clock.now() + timedelta(seconds=self.seconds)
        self.calls += 1
        if self.until is not None and self.clock.now() < self.until:
            raise rpc_error(grpc.StatusCode.UNAVAILABLE, "the outage of this test")

    @property
    def interceptors(self) -> list[Any]:
        return [_AwayForUnary(self), _AwayForStreams(self)]


class _AwayForUnary(UnaryUnaryClientInterceptor):
    def __init__(self, outage: Outage) -> None:
        self._outage = outage

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self._outage.check_call()
        return await continuation(details, request)


class _AwayForStreams(UnaryStreamClientInterceptor):
    def __init__(self, outage: Outage) -> None:
        self._outage = outage

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self._outage.check_call()
        return await continuation(details, request)


@dataclass
class SlowProvider:
    """A provider without idempotency keys; counts what it has sold."""

    name: str
    clock: Clock
    polled: bool
    creates: int = 0
    polls: int = 0

    async def start(self, _request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        assert idempotency_key
        await self.clock.sleep(PURCHASE_SECONDS)
        self.creates += 1
        if not self.polled:
            return Done()
        return Pending(operation={"id": "op-1"}, poll_after=timedelta(seconds=2))

    async def poll(self, operation: Mapping[str, Any], _request: Generation, /) -> Done | Pending:
        assert operation["id"] == "op-1"
        self.polls += 1
        return Done()

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        raise AssertionError(f"{operation} was bought and must not be cancelled")

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Case:
    """One job at one provider, through one outage."""

    services: Services
    outage: Outage
    provider: SlowProvider
    queue: ManualQueue
    processor: Processor = field(init=False)

    def __post_init__(self) -> None:
        self.processor = Processor(self.services)

    async def run_job(self) -> Job:
        """Submit a job, and deliver its tasks and sweep until it has ended."""
        body = {"prompt": "a kite", "provider": self.provider.name}
        request = JobRequest(job_type=IMAGE, submission=IMAGE.submission.model_validate(body))
        job = (await submit_job(self.services, Caller(user_id="ada"), request)).job
        self.outage.armed = True
        sweeps = asyncio.create_task(self._sweep_forever())
        try:
            async with asyncio.timeout(600 / SCALE + 30):
                while not job.status.final:
                    await self._deliver_due()
                    job = await self._read(job)
        finally:
            sweeps.cancel()
        return job

    async def _deliver_due(self) -> None:
        """Deliver what is due; as the queue does, again after a while where that fails."""
        waiting, clock = self.queue.waiting, self.services.clock
        for task in [*waiting]:
            if task.at is not None and task.at > clock.now():
                continue
            waiting.remove(task)
            try:
                again = await self.processor.process_task(task.job_id) is Answer.BUSY
            except StoreError:
                again = True
            if again:
                waiting.append(replace(task, at=clock.now() + timedelta(seconds=4)))
        await clock.sleep(0.5)

    async def _read(self, job: Job) -> Job:
        try:
            return await load_job(self.services.store, job.job_id) or job
        except StoreError:
            return job

    async def _sweep_forever(self) -> None:
        while True:
            await self.services.clock.sleep(60)
            try:
                await sweep_jobs(self.services)
            except StoreError:
                continue


def open_case(base: Services, firestore: str, outage: Outage, *, polled: bool) -> Case:
    store = FirestoreStore(
        f"test-{uuid4().hex}", emulator=firestore, interceptors=outage.interceptors
    )
    queue = ManualQueue()
    provider = SlowProvider("bfl" if polled else "openai", outage.clock, polled)
    registry = copy(base.providers)
    registry.breakers = CircuitBreakers(store)
    registry._built = {provider.name: provider}
    services = replace(base, store=store, tasks=queue, providers=registry)
    return Case(services, outage, provider, queue)


@pytest.mark.parametrize("polled", [True, False], ids=["polled", "at-once"])
@pytest.mark.parametrize("seconds", [1, 4, 20, 60])
async def test_an_outage_of_the_store_at_any_call_loses_nothing_that_was_bought(
    seconds: float,
    polled: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    firestore_address: str,
) -> None:
    caplog.set_level(logging.ERROR, "taskreel")
    monkeypatch.setattr(google_client, "CALL_SECONDS", CALL_SECONDS)
    clock = ScaledClock()
    keys = {"bfl": "a-key", "openai": "a-key"}
    base = wiring.build(settings(tmp_path, provider_keys=keys), clock)
    try:
        cases = [
            open_case(base, firestore_address, Outage(clock, at, seconds), polled=polled)
            for at in CALLS
        ]
        jobs = await asyncio.gather(*(case.run_job() for case in cases))
        found = {
            case.outage.at: (job.status, job.error and job.error.code, case.provider.creates)
            for case, job in zip(cases, jobs, strict=True)
        }
        assert found == dict.fromkeys(CALLS, (Status.COMPLETED, None, 1))
        assert [job.credits.captured for job in jobs] == [1] * len(jobs)
        assert {job.attempt for job in jobs} == {1}
    finally:
        register_options({})
        base.workers.close()
        for case in cases:
            await case.services.store.close()
