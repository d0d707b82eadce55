"""Many jobs of many users on the virtual clock, through the product's own use cases and queues."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from simulation.world import World
from taskreel.adapters.local.task_delivery import Delivery
from taskreel.app.caller import Caller
from taskreel.app.flow.slots import active_limit
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.app.worker.processor import Processor
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Query
from taskreel.store_collections import ACCOUNTS, JOBS
from taskreel.web.tasks import process_delivery
from taskreel_cloud_tasks.clock import SECOND

IMAGE = JOB_TYPES["image-generation"]
OPEN = {Status.QUEUED, Status.PROCESSING, Status.RETRYING}


@dataclass(frozen=True)
class Arrival:
    """One submission: its time in seconds from the start, its owner and the time of its run."""

    at: float
    user: str
    tier: str
    seconds: float
    priority: str | None = None


@dataclass
class Rehearsal:
    """Submits at the given times, sweeps each minute, and looks at all jobs now and then."""

    world: World
    #: The most active jobs of each user, and the most open jobs of the type, that were ever seen.
    most_active: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_open: int = 0
    sweeps: int = 0
    ids: dict[str, Arrival] = field(default_factory=dict)

    def __post_init__(self) -> None:
        processor = Processor(self.world.services)

        async def deliver(delivery: Delivery) -> int:
            return await process_delivery(processor, delivery.task.job_id)

        self.world.deliver = deliver  # type: ignore[method-assign]  # no HTTP: many jobs
        self.start = self.world.clock.now()

    @property
    def passed(self) -> float:
        """Virtual seconds since the start."""
        return (self.world.clock.now() - self.start) / SECOND

    async def submit(self, arrival: Arrival) -> None:
        body = {
            "prompt": "a kite",
            "options": {"studio": {"mode": "sleep", "seconds": arrival.seconds}},
        }
        if arrival.priority is not None:
            body["priority"] = arrival.priority
        request = JobRequest(job_type=IMAGE, submission=IMAGE.submission.model_validate(body))
        caller = Caller(user_id=arrival.user, tier=arrival.tier)
        made = await submit_job(self.world.services, caller, request)
        self.ids[made.job.job_id] = arrival

    async def run(self, arrivals: Iterable[Arrival], *, look_every: float = 5.0) -> None:
        """Submit all at their times."""
        next_look = self.passed
        for arrival in sorted(arrivals, key=lambda one: one.at):
            while next_look < arrival.at:
                await self.pass_until(next_look)
                await self.count_unfinished()
                next_look += look_every
            await self.pass_until(arrival.at)
            await self.submit(arrival)

    async def pass_until(self, at: float) -> None:
        while at - self.passed > 1e-6:
            minute = (self.sweeps + 1) * 60.0
            await self.world.advance(min(at, minute) - self.passed)
            if self.passed > minute - 1e-6:
                self.sweeps += 1
                await sweep_jobs(self.world.services)

    async def finish(self, *, within: float) -> None:
        """Go on until no job is open; fails if that takes longer."""
        until = self.passed + within
        while self.passed < until:
            await self.pass_until(self.passed + 10)
            if await self.count_unfinished() == 0:
                return
        unfinished = [job for job in await self.jobs() if not job.status.final]
        raise AssertionError(f"{len(unfinished)} jobs are stuck, such as {unfinished[0]!r}")

    async def count_unfinished(self) -> int:
        """Note how many jobs are active; the number that has not ended."""
        active: defaultdict[str, int] = defaultdict(int)
        found = [*map(str, OPEN), "THROTTLED"]
        query = Query(
            collection=JOBS,
            where=(("jobType", "==", IMAGE.name), ("status", "in", found)),
            order=(("createdAt", "desc"),),
        )
        rows = await self.world.services.store.query(query)
        for row in rows:
            if row.data.get("slotOf") is not None:
                active[row.data["userId"]] += 1
        for user, count in active.items():
            self.most_active[user] = max(self.most_active[user], count)
        opened = sum(row.data["status"] in map(str, OPEN) for row in rows)
        self.most_open = max(self.most_open, opened)
        return len(rows)

    async def jobs(self) -> list[Job]:
        rows = await self.world.services.store.query(Query(collection=JOBS))
        return [row.value for row in rows if row.id in self.ids]

    async def waits(self) -> dict[str, list[float]]:
        """The seconds from submission to start, by user, of the jobs that have started."""
        found: dict[str, list[float]] = defaultdict(list)
        for job in await self.jobs():
            started = job.status_at.get(Status.PROCESSING)
            if started is not None:
                found[job.user_id].append((started - job.created_at).total_seconds())
        return found

    async def check_accounts(self) -> None:
        """No limit was exceeded, no slot has leaked, and no credit is held."""
        limits = self.world.services.rules.limits
        assert limits is not None
        for row in await self.world.services.store.query(Query(collection=ACCOUNTS)):
            account = row.value
            assert (account.active, account.waiting, account.held) == (0, 0, 0), account
            assert self.most_active[account.user_id] <= active_limit(limits, account)


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def draw_seconds(draw: random.Random, mean: float) -> float:
    """The time of one run: log-normal, with a spread of half its mean."""
    return round(min(mean * draw.lognormvariate(-0.11, 0.47), 6 * mean), 3)
