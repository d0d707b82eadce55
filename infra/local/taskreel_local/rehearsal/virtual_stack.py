"""Store, queues and processor in one process and in virtual time, without HTTP and workers."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from msgspec.structs import replace

from taskreel import wiring
from taskreel.adapters.local.memory_tasks import MemoryTasks
from taskreel.adapters.local.queues_yaml import load_queue_settings
from taskreel.adapters.local.task_delivery import Delivery
from taskreel.app.caller import Caller
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.app.query_pages import WAKE_SHARDS
from taskreel.app.services import Services
from taskreel.app.worker.processor import Processor
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.config import Settings
from taskreel.domain.job import Job
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Query
from taskreel.store_collections import ACCOUNTS, JOBS
from taskreel.web.tasks import process_delivery
from taskreel_local.rehearsal.store_in_flight import StoreInFlight
from taskreel_local.rehearsal.timed_provider import TimedProvider
from taskreel_local.rehearsal.virtual_time import VirtualTime
from taskreel_local.stack.repository_paths import LIMITS, QUEUES

#: The providers of a rehearsal, by the types that they serve.
PROVIDERS = ("studio", "elevenlabs", "openai")
_SWEEP_SECONDS = 60.0
_PROJECTS = itertools.count(1)


@dataclass
class VirtualStack:
    """A running system. Time passes in `pass_until` alone; the sweep comes once a minute."""

    services: Services
    time: VirtualTime
    in_flight: StoreInFlight
    providers: Mapping[str, TimedProvider]
    #: Deliveries by queue.
    deliveries: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    #: The submissions that were made, by type and body.
    _submissions: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Virtual seconds since the start."""
        return self.time.seconds

    async def submit(self, caller: Caller, job_type: str, body: Mapping[str, Any]) -> Job:
        """Submit a job as the API does once it has read the request."""
        known, key = JOB_TYPES[job_type], (job_type, json.dumps(body))
        submission = self._submissions.get(key)
        if submission is None:
            submission = self._submissions[key] = known.submission.model_validate(body)
        made = await submit_job(
            self.services, caller, JobRequest(job_type=known, submission=submission)
        )
        return made.job

    async def pass_until(self, at: float) -> None:
        """Let time pass, with all that happens in it."""
        await self.rest()
        while self.seconds < at:
            sweep_at = (self.sweeps + 1) * _SWEEP_SECONDS
            until = min(at, sweep_at)
            while self.time.run_next(until):
                await self.rest()
            if self.seconds >= sweep_at:
                self.sweeps += 1
                await sweep_jobs(self.services)
                await self.rest()

    async def rest(self) -> None:
        """Return when nothing is ready to run, so that only time can go on."""
        loop: Any = asyncio.get_running_loop()
        quiet = 0
        while quiet < 2:
            await asyncio.sleep(0)
            if self.in_flight.calls:
                await self.in_flight.wait()
                quiet = 0
            # asyncio has no other way to ask if a task is ready to run.
            quiet = 0 if loop._ready else quiet + 1  # noqa: SLF001

    async def list_jobs(self) -> list[Job]:
        """Every stored job."""
        return [row.value for row in await self.services.store.query(Query(collection=JOBS))]

    async def finish(self, *, within: float) -> None:
        """Go on until every job has ended. Raises TimeoutError if that takes longer."""
        until = self.seconds + within
        while open_ones := await self._list_open_jobs():
            if self.seconds >= until:
                named = ", ".join(f"{job.job_id} {job.status}" for job in open_ones)
                raise TimeoutError(f"jobs have not ended after {within:g} s: {named}")
            await self.pass_until(self.seconds + 30)

    async def _list_open_jobs(self) -> list[Job]:
        """Some jobs with something left to do: they have a time to wake at, and an index."""
        query = Query(
            collection=JOBS,
            where=(
                ("wakeShard", "in", list(range(WAKE_SHARDS))),
                ("wakeAt", ">", datetime.min.replace(tzinfo=UTC)),
            ),
            order=(("wakeAt", "asc"),),
            limit=5,
        )
        return [row.value for row in await self.services.store.query(query)]

    async def list_accounts(self) -> list[Any]:
        """Every account."""
        return [row.value for row in await self.services.store.query(Query(collection=ACCOUNTS))]


@asynccontextmanager
async def running_stack(
    *,
    seed: int = 1,
    seconds: float = 4.0,
    limits: Mapping[str, Any] | None = None,
    store_url: str = "sqlite:///:memory:",
    change: Callable[[Services], Services] = lambda services: services,
) -> AsyncIterator[VirtualStack]:
    """Run a stack during the block. `limits` are changes of infra/limits.yaml."""
    time, draw, others = VirtualTime(), random.Random(seed), asyncio.all_tasks()
    with TemporaryDirectory(prefix="taskreel-rehearsal-") as folder:
        settings = Settings(
            # A project is empty: scenarios of one emulator share nothing.
            store_url=store_url.replace("://rehearsal?", f"://rehearsal-{next(_PROJECTS)}?"),
            tasks_url=f"embedded:///{QUEUES}",
            blobs_url=f"file:///{folder}/files",
            api_base_url="http://api.test",
            processor_url="http://api.test",
            internal_api_key="rehearsal-rehearsal",
            jwt_secret="rehearsal-rehearsal-rehearsal-rehearsal",  # noqa: S106 - signs nothing
            files_secret="rehearsal",  # noqa: S106
            initial_credits=1_000_000,
            provider_keys=dict.fromkeys(PROVIDERS[1:], "rehearsal"),
            extra_providers="taskreel_local.studio:PROVIDERS",
            scratch_dir=Path(folder) / "scratch",
            worker_processes=1,
            limits=_build_limits(limits or {}),
        )
        services = wiring.build(settings, time)
        providers = {name: TimedProvider(name, time, draw, seconds) for name in PROVIDERS}
        for name, provider in providers.items():
            services.providers._built[name] = provider  # noqa: SLF001 - in place of the real one
        in_flight = StoreInFlight(services.store)
        made: list[Processor] = []

        async def deliver(delivery: Delivery) -> int:
            stack.deliveries[delivery.task.queue] += 1
            return await process_delivery(made[0], delivery.task.job_id)

        tasks = MemoryTasks(partial(load_queue_settings, QUEUES), time, deliver)
        services = replace(
            services, store=in_flight, tasks=tasks, alerts=None, random=random.Random(seed)
        )
        services = change(services)
        made.append(Processor(services))
        stack = VirtualStack(services, time, in_flight, providers)
        try:
            yield stack
        finally:
            await tasks.close()
            # Runs under way would wait for a time that never comes.
            left = asyncio.all_tasks() - others
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await services.store.close()
            services.workers.close()


def _build_limits(changes: Mapping[str, Any]) -> str:
    declared = yaml.safe_load(LIMITS.read_text("utf-8"))
    unlimited = {"perMinute": 1_000_000, "burst": 1_000_000}
    return json.dumps({**declared, "writes": unlimited, **changes})
