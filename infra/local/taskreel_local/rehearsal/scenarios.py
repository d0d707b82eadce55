"""Scenarios of flow control: an overload, a backlog of pictures, and a flood by one user."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskreel.app.caller import Caller
from taskreel.app.messages.job_task import queue_of_type
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel_local.rehearsal.measures import compute_jain_index
from taskreel_local.rehearsal.timed_provider import draw_seconds
from taskreel_local.rehearsal.virtual_stack import VirtualStack, running_stack

IMAGE = "image-generation"
SQLITE = "sqlite:///:memory:"
_BODY = {"prompt": "a kite", "provider": "studio"}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One submission: its time in seconds from the start, its owner and its priority."""

    at: float
    user: str
    priority: str = "normal"
    #: The seconds that its run takes; without them the provider draws a time.
    takes: float | None = None


async def run_arrivals(stack: VirtualStack, arrivals: Iterable[Arrival]) -> dict[str, Arrival]:
    """Submit all at their times; returns them by the ids of their jobs."""
    found = {}
    for arrival in sorted(arrivals, key=lambda one: one.at):
        await stack.pass_until(arrival.at)
        caller = Caller(user_id=arrival.user, tier="enterprise")
        body = {**_BODY, "priority": arrival.priority}
        if arrival.takes is not None:
            body["prompt"] += f" takes {arrival.takes} s"
        job = await stack.submit(caller, IMAGE, body)
        found[job.job_id] = arrival
    return found


def measure_wait(job: Job) -> float:
    """Seconds from submission to start."""
    return (job.status_at[Status.PROCESSING] - job.created_at).total_seconds()


# ── An overload ──────────────────────────────────────────────────────────────────────────────────

#: Places and the mean time of a run.
_PLACES, _SECONDS = 2, 4.0
HEAD_STARTS: Mapping[str, float] = {"high": 300.0, "normal": 60.0, "low": 0.0}


async def overload(
    *, load: float = 1.15, seconds: float = 3600.0, in_order: bool = False, store_url: str = SQLITE
) -> dict[str, list[float]]:
    """Waits by priority while more comes than can be done; `in_order`: first come, first served."""
    draw = random.Random(3)
    arrivals, at = [], 0.0
    while at < seconds:
        (priority,) = draw.choices(list(HEAD_STARTS), [1, 2, 2])
        arrivals.append(Arrival(at, f"user-{draw.randrange(400)}", priority))
        at += draw.expovariate(load * _PLACES / _SECONDS)
    limits: dict[str, Any] = {"windows": {IMAGE: _PLACES}, "fairShareSeconds": 0.001}
    if in_order:
        limits["prioritySeconds"] = dict.fromkeys(HEAD_STARTS, 0)
    async with running_stack(seconds=_SECONDS, limits=limits, store_url=store_url) as stack:
        made = await run_arrivals(stack, arrivals)
        await stack.finish(within=2 * seconds)
        waits: dict[str, list[float]] = {priority: [] for priority in HEAD_STARTS}
        for job in await stack.list_jobs():
            waits[made[job.job_id].priority].append(measure_wait(job))
    return waits


# ── Pictures at a provider that takes four seconds ───────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The outcome of many pictures at once; times in seconds."""

    purchase_to_result: Sequence[float]
    #: Deliveries of a job's queue a job, polls not counted: above 1 is work for nothing.
    deliveries_a_job: float
    polls_a_job: float
    #: From the first submission to the last result.
    lasted: float


async def pictures(*, jobs: int = 1500, window: int = 10, store_url: str = SQLITE) -> Pictures:
    """Submit all pictures at once; the provider is polled, as those of a deployment are."""
    limits = {"windows": {IMAGE: window}}
    async with running_stack(seconds=4.0, limits=limits, store_url=store_url) as stack:
        stack.providers["studio"].poll_seconds = 2.0
        users = jobs / 10
        await run_arrivals(stack, [Arrival(0.0, f"user-{n % users:.0f}") for n in range(jobs)])
        await stack.finish(within=24 * 3600)
        stored = await stack.list_jobs()
        own = stack.deliveries[queue_of_type(IMAGE)]
        return Pictures(
            purchase_to_result=[
                (job.status_at[Status.COMPLETED] - job.status_at[Status.PROCESSING]).total_seconds()
                for job in stored
            ],
            deliveries_a_job=own / jobs,
            polls_a_job=(stack.deliveries.total() - own) / jobs,
            lasted=max(
                (job.status_at[Status.COMPLETED] - job.created_at).total_seconds() for job in stored
            ),
        )


# ── One user with very many jobs beside a hundred with one each ──────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """The waits and slowdowns of the users with one job each, alone and beside the flood."""

    alone: Sequence[float]
    beside: Sequence[float]
    slowdowns: Sequence[float]

    @property
    def jain_index(self) -> float:
        """Jain's index of the service that each received for its wait and run."""
        return compute_jain_index([1 / slowdown for slowdown in self.slowdowns])


async def flood(*, jobs: int = 10_000, window: int = 10, store_url: str = SQLITE) -> Flood:
    """The waits of a hundred users with one job each, without and with the one of many jobs."""
    alone, _ = await _wait_beside(0, window, store_url)
    beside, slowdowns = await _wait_beside(jobs, window, store_url)
    return Flood(alone=alone, beside=beside, slowdowns=slowdowns)


async def _wait_beside(jobs: int, window: int, store_url: str) -> tuple[list[float], list[float]]:
    # The jobs are the same in both runs.
    draw, draw_flood = random.Random(7), random.Random(11)
    singles = [
        Arrival(0.5 * number, f"single-{number}", takes=draw_seconds(draw, 4.5))
        for number in range(100)
    ]
    flooding = [Arrival(0.0, "whale", takes=draw_seconds(draw_flood, 4.5)) for _ in range(jobs)]
    limits = {"windows": {IMAGE: window}}
    async with running_stack(seconds=4.5, limits=limits, store_url=store_url) as stack:
        made = await run_arrivals(stack, [*flooding, *singles])
        await stack.pass_until(180)
        waits, slowdowns = [], []
        for job in await stack.list_jobs():
            if made[job.job_id].user == "whale":
                continue
            started, ended = job.status_at[Status.PROCESSING], job.status_at[Status.COMPLETED]
            waits.append(measure_wait(job))
            ran = (ended - started).total_seconds()
            slowdowns.append((ended - job.created_at).total_seconds() / max(ran, 0.1))
    return waits, slowdowns
