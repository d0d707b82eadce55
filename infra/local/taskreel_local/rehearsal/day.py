"""One day of a deployment: 500 users of all tiers, recurring jobs, and what goes wrong on a day.

The load follows the hours. One provider is down for an hour at noon, the queue of speech is paused
for half an hour, and no job of one type can ever succeed. Some users read the estimated start of
their waiting jobs, and those are checked when the jobs start.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskreel.app.caller import Caller
from taskreel.app.flow.queue_position import find_position
from taskreel.app.queues.pause_queue import set_pause
from taskreel.app.records.statistics import load_metrics
from taskreel.app.schedules.recurring_jobs import Recurrence, create_recurring_job
from taskreel.domain.job import Job
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_metrics import ETA_CHECKED, ETA_WITHIN_P50, ETA_WITHIN_P90
from taskreel.domain.job_status import Status
from taskreel.domain.recurring_job import Overlap
from taskreel.jobtypes import JOB_TYPES
from taskreel_local.rehearsal.measures import compute_jain_index, percentile
from taskreel_local.rehearsal.timed_provider import POISON
from taskreel_local.rehearsal.virtual_stack import VirtualStack, running_stack
from taskreel_local.rehearsal.virtual_time import START

HOUR = 3600.0
DAY = 24 * HOUR
#: The tiers, and the share of the users in each.
TIERS: Mapping[str, float] = {"free": 0.6, "basic": 0.2, "pro": 0.15, "enterprise": 0.05}
IMAGE, SPEECH, SCRIPT, MUSIC = (
    "image-generation",
    "audio-synthesis",
    "script-generation",
    "ai-processing",
)
#: The share of each type. MUSIC is the type of which every job fails.
TYPES: Mapping[str, float] = {IMAGE: 0.74, SPEECH: 0.16, SCRIPT: 0.08, MUSIC: 0.02}
BODIES: Mapping[str, Mapping[str, Any]] = {
    IMAGE: {"prompt": "a kite", "provider": "studio"},
    SPEECH: {"text": "The lamp was lit.", "voice": "narrator", "provider": "elevenlabs"},
    SCRIPT: {"prompt": "Two bakers share one oven", "length": "short", "provider": "openai"},
    MUSIC: {"task": "text-to-music", "input": POISON, "provider": "elevenlabs"},
}
#: Places at a time, so few that the day's load matters: 85 % of them are busy on average.
WINDOWS: Mapping[str, int] = {IMAGE: 2, SPEECH: 1, SCRIPT: 1, MUSIC: 1}
#: The hours in which the provider of speech is down, and in which the queue of speech is paused.
OUTAGE = (12.0, 13.0)
PAUSE = (15.0, 15.5)
#: The jobs of a whole day. With fewer the day is shorter, and everything in it: the load is equal.
JOBS_OF_A_DAY = 50_000
RECURRING_JOBS = 20
#: One in so many waiting jobs has its position read.
READ_POSITIONS = 4


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission of the day."""

    at: float
    user: str
    tier: str
    job_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """The outcome of a day."""

    jobs: int
    statuses: Mapping[str, int]
    #: Seconds from submission to start, of the jobs of tiers and types.
    waits: Mapping[tuple[str, str], Sequence[float]]
    #: The mean slowdown, (wait + run) / run, of each user with ten image jobs or more, by tier.
    slowdowns: Mapping[str, Sequence[float]]
    recurring_runs: Mapping[str, int]
    deliveries: int
    estimates_checked: int
    estimates_within_p50: float
    estimates_within_p90: float
    most_active: Mapping[str, int]
    accounts: Sequence[Any]
    stored: Sequence[Job] = field(repr=False)
    sold: Mapping[str, int] = field(repr=False)

    def list_waits(self, tier: str, job_type: str = IMAGE) -> Sequence[float]:
        """The waits of a tier's jobs of a type."""
        return self.waits.get((tier, job_type), ())

    def compute_fairness(self) -> float:
        """Jain's index of the users' slowdowns, the lowest of all tiers."""
        return min(compute_jain_index(list(found)) for found in self.slowdowns.values() if found)


def draw_submissions(jobs: int, users: int, seed: int) -> list[Submission]:
    """The day's submissions: in sessions of one to many jobs, more by day than by night."""
    draw = random.Random(seed)
    names = [f"{tier}-{number:03d}" for tier, number in _share_out(users)]
    found: list[Submission] = []
    length = DAY * jobs / JOBS_OF_A_DAY
    while len(found) < jobs:
        at = draw.uniform(0, length)
        if draw.random() > 0.55 + 0.45 * math.sin((at / length - 9 / 24) * 2 * math.pi):
            continue
        user = names[int(len(names) * draw.random() ** 1.3)]
        for _ in range(min(1 + int(draw.expovariate(0.3)), 40)):
            found.append(_draw_submission(draw, min(at, length), user))
            at += draw.expovariate(1 / 8)
    return sorted(found[:jobs], key=lambda one: one.at)


def _draw_submission(draw: random.Random, at: float, user: str) -> Submission:
    (job_type,) = draw.choices(list(TYPES), list(TYPES.values()))
    return Submission(at, user, user.partition("-")[0], job_type)


def _share_out(users: int) -> Iterator[tuple[str, int]]:
    for tier, share in TIERS.items():
        for number in range(round(share * users)):
            yield tier, number


async def rehearse_day(
    *, jobs: int = 50_000, users: int = 500, seed: int = 1, store_url: str = "sqlite:///:memory:"
) -> DayReport:
    """Run the day, and go on until every job has ended."""
    seconds = 0.85 * WINDOWS[IMAGE] * DAY / (TYPES[IMAGE] * JOBS_OF_A_DAY)
    length = DAY * jobs / JOBS_OF_A_DAY
    windows = {"windows": WINDOWS}
    async with running_stack(
        seed=seed, seconds=seconds, limits=windows, store_url=store_url
    ) as stack:
        day = _Day(stack, seed, length / 24)
        await day.create_recurring_jobs()
        for one in draw_submissions(jobs, users, seed):
            await day.go_to(one.at)
            await day.submit(one)
        await day.go_to(length)
        await stack.finish(within=length)
        return await day.report()


class _Day:
    """A day under way."""

    def __init__(self, stack: VirtualStack, seed: int, hour: float) -> None:
        self.stack = stack
        self._draw = random.Random(seed + 1)
        self._hour = hour
        self._recurring: set[str] = set()
        self._tiers: dict[str, str] = {}
        self._most_active: dict[str, int] = defaultdict(int)
        self._looked_at = 0.0
        speech = stack.providers["elevenlabs"]

        async def go_down() -> None:
            speech.down = True

        async def come_back() -> None:
            speech.down = False

        self._events = [
            (OUTAGE[0] * hour, go_down),
            (OUTAGE[1] * hour, come_back),
            (PAUSE[0] * hour, lambda: self._set_pause(paused=True)),
            (PAUSE[1] * hour, lambda: self._set_pause(paused=False)),
        ]

    async def create_recurring_jobs(self) -> None:
        """Every hour a picture, for some users of the tier pro."""
        for number in range(RECURRING_JOBS):
            made = await create_recurring_job(
                self.stack.services,
                Caller(user_id=f"recurring-{number}", tier="pro"),
                Recurrence(
                    job_type=JOB_TYPES[IMAGE],
                    submission=JOB_TYPES[IMAGE].submission.model_validate(BODIES[IMAGE]),
                    cron_expression=f"{number * 3} * * * *",
                    time_zone="Europe/Warsaw",
                    overlap=Overlap.QUEUE,
                    skip_cache=True,
                    start_at=None,
                    end_at=None,
                ),
            )
            self._recurring.add(made.user_id)

    async def go_to(self, at: float) -> None:
        """Let time pass, with the day's events."""
        while self._events and self._events[0][0] <= at:
            event_at, event = self._events.pop(0)
            await self.stack.pass_until(event_at)
            await event()
        await self.stack.pass_until(at)
        if at - self._looked_at >= self._hour / 4:
            self._looked_at = at
            for account in await self.stack.list_accounts():
                most = max(self._most_active[account.user_id], account.active)
                self._most_active[account.user_id] = most

    async def submit(self, one: Submission) -> None:
        """Submit a job; now and then its owner reads when it will start."""
        self._tiers[one.user] = one.tier
        caller = Caller(user_id=one.user, tier=one.tier)
        job = await self.stack.submit(caller, one.job_type, BODIES[one.job_type])
        waits_by_rank = job.waits_for is WaitsFor.TYPE
        if waits_by_rank and self._draw.randrange(READ_POSITIONS) == 0:
            await find_position(self.stack.services, job)

    async def _set_pause(self, *, paused: bool) -> None:
        admin = Caller(user_id="root", admin=True)
        await set_pause(self.stack.services, admin, SPEECH, paused=paused, reason="rehearsal")

    async def report(self) -> DayReport:
        """The day in numbers."""
        stored = await self.stack.list_jobs()
        waits: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        slowdowns: defaultdict[str, list[float]] = defaultdict(list)
        runs: Counter[str] = Counter()
        for job in stored:
            if job.user_id in self._recurring:
                runs[job.user_id] += 1
                continue
            started = job.status_at.get(Status.PROCESSING)
            if started is None:
                continue
            waited = (started - job.created_at).total_seconds()
            waits[self._tiers[job.user_id], job.job_type].append(waited)
            if job.job_type == IMAGE and job.status is Status.COMPLETED:
                ran = (job.status_at[Status.COMPLETED] - started).total_seconds()
                slowdowns[job.user_id].append((waited + ran) / max(ran, 0.1))
        by_tier: defaultdict[str, list[float]] = defaultdict(list)
        for user, found in slowdowns.items():
            if len(found) >= 10:
                by_tier[self._tiers[user]].append(sum(found) / len(found))
        last = START + (self.stack.time.now() - START)
        eta: Counter[str] = Counter()
        for metrics in await load_metrics(self.stack.services, START, last):
            eta.update({name: metrics.counts.get(name, 0) for name in _ETA_NAMES})
        checked = max(eta[ETA_CHECKED], 1)
        return DayReport(
            jobs=len(stored),
            statuses=Counter(f"{job.job_type} {job.status}" for job in stored),
            waits=waits,
            slowdowns=by_tier,
            recurring_runs=runs,
            deliveries=self.stack.deliveries.total(),
            estimates_checked=eta[ETA_CHECKED],
            estimates_within_p50=eta[ETA_WITHIN_P50] / checked,
            estimates_within_p90=eta[ETA_WITHIN_P90] / checked,
            most_active=self._most_active,
            accounts=await self.stack.list_accounts(),
            stored=stored,
            sold=sum((one.sold for one in self.stack.providers.values()), Counter()),
        )


_ETA_NAMES = (ETA_CHECKED, ETA_WITHIN_P50, ETA_WITHIN_P90)


def describe_day(report: DayReport) -> list[tuple[str, str]]:
    """The report in rows of a table."""
    rows = [
        ("jobs", f"{report.jobs:,}"),
        ("deliveries a job", f"{report.deliveries / report.jobs:.2f}"),
    ]
    for tier in TIERS:
        found = report.list_waits(tier)
        numbers = " / ".join(f"{percentile(found, share):,.0f}" for share in (0.5, 0.9, 0.99))
        rows.append((f"wait for an image, {tier}: p50 / p90 / p99", f"{numbers} s"))
    rows += [
        ("Jain's index of slowdowns, lowest tier", f"{report.compute_fairness():.2f}"),
        (
            f"starts before their p50 / p90, of {report.estimates_checked:,}",
            f"{report.estimates_within_p50:.2f} / {report.estimates_within_p90:.2f}",
        ),
    ]
    return rows
