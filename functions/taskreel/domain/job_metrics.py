"""Daily metrics of a job type: counts, and histograms of times in buckets that grow by a tenth."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Self, TypeVar

import msgspec
from pydantic import Field

from taskreel.domain.errors import AMBIGUOUS
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.domain.value import StoredValue

#: A bucket is so much wider than the one before: a quantile is within 5 % of the true value.
_GROWTH = 1.1
_MILLISECOND = timedelta(milliseconds=1)
#: The parts of a day for which recent numbers are counted.
SLOT = timedelta(minutes=10)
#: The names under which jobs are counted.
SUBMITTED, RETRIED = "submitted", "retried"
STARTED, ATTEMPTS = "started", "attempts"
#: `sweep.ACTION.STATUS`: acts of the sweep on jobs that had the status.
SWEPT = "sweep"
#: Of the failed jobs, those whose request explains it.
REFUSED = "refused"
#: Calls of providers that may have bought something, without an answer that tells.
AMBIGUOUS_PURCHASES = "ambiguousPurchases"
#: Caps of which most is spent: of users, and of projects.
SPEND_CAPS, PROJECT_SPEND_CAPS = "spendCaps", "projectSpendCaps"
#: Estimated starts that were checked, those that were not late, and the sum of the scale's steps.
ETA_CHECKED, ETA_WITHIN_P50, ETA_WITHIN_P90 = "etaChecked", "etaWithinP50", "etaWithinP90"
ETA_SCALE = "etaScale"


class MetricsTally(msgspec.Struct):
    """Numbers that are not stored yet, of one type and day."""

    counts: Counter[str] = msgspec.field(default_factory=Counter)
    wait_ms: Counter[str] = msgspec.field(default_factory=Counter)
    run_ms: Counter[str] = msgspec.field(default_factory=Counter)
    sums: dict[str, float] = msgspec.field(default_factory=dict)
    slots: defaultdict[str, Counter[str]] = msgspec.field(
        default_factory=lambda: defaultdict(Counter)
    )
    models: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)

    def count(self, name: str, at: datetime, by: int = 1) -> None:
        """Count in the day and in its slot."""
        self.counts[name] += by
        self.slots[name_slot(at)][name] += by

    def add_time(self, name: str, buckets: Counter[str], milliseconds: int, at: datetime) -> None:
        """Add a time to its buckets, and to the sums of the day and of its slot."""
        buckets[name_bucket(milliseconds)] += 1
        self.sums[name] = self.sums.get(name, 0.0) + milliseconds
        self.slots[name_slot(at)][name] += milliseconds

    def merge(self, later: MetricsTally) -> None:
        """Add the numbers of another tally."""
        self.counts.update(later.counts)
        self.wait_ms.update(later.wait_ms)
        self.run_ms.update(later.run_ms)
        for name, amount in later.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + amount
        for slot, counts in later.slots.items():
            self.slots[slot].update(counts)
        for model, numbers in later.models.items():
            self.models[model] = _add(self.models.get(model, {}), numbers)

    def add_to_model(self, provider: str, model: str | None, numbers: Mapping[str, float]) -> None:
        """Add to the numbers of a provider's model."""
        total = self.models.setdefault(f"{provider}/{model or ''}", {})
        for name, amount in numbers.items():
            total[name] = total.get(name, 0.0) + amount

    def add(self, name: str, amount: float) -> None:
        """Add to a sum."""
        self.sums[name] = self.sums.get(name, 0.0) + amount


class EtaOutcome(Record, kw_only=True):
    """A start beside its estimate, and the step of the band's scale (a logarithm) for it."""

    within_p50: bool
    within_p90: bool
    step: float


class DailyMetrics(StoredValue):
    """The metrics of a job type on a day (UTC), as one of several shards.

    `counts` are by status, and of submissions by priority; `wait_ms` and `run_ms` map a bucket to
    its number of jobs; `slots` have the counts of each ten minutes.
    `models` map a provider's model (`bfl/flux-2-pro`) to its `calls` that were finished, their
    `credits` and `costUsd`, the `released` credits of jobs, and the numbers of `error.CODE` and
    `run.BUCKET`.
    """

    job_type: str
    day: str
    counts: dict[str, int] = Field(default_factory=dict)
    wait_ms: dict[str, int] = Field(default_factory=dict)
    run_ms: dict[str, int] = Field(default_factory=dict)
    sums: dict[str, float] = Field(default_factory=dict)
    slots: dict[str, dict[str, int]] = Field(default_factory=dict)
    models: dict[str, dict[str, float]] = Field(
        default_factory=dict, exclude_if=lambda value: not value
    )
    expire_at: datetime

    def plus(self, tally: MetricsTally | DailyMetrics) -> Self:
        """Copy them with these numbers added."""
        slots = {name: dict(counts) for name, counts in self.slots.items()}
        for name, counts in tally.slots.items():
            slots[name] = _add(slots.get(name, {}), counts)
        models = {name: dict(numbers) for name, numbers in self.models.items()}
        for name, numbers in tally.models.items():
            models[name] = _add(models.get(name, {}), numbers)
        return self.model_copy(
            update={
                "counts": _add(self.counts, tally.counts),
                "wait_ms": _add(self.wait_ms, tally.wait_ms),
                "run_ms": _add(self.run_ms, tally.run_ms),
                "sums": _add(self.sums, tally.sums),
                "slots": slots,
                "models": models,
            }
        )


def count_change(tally: MetricsTally, before: Job | None, job: Job) -> None:
    """Count a committed change of a job's status."""
    at = job.status_at[job.status]
    if before is None:
        tally.count(SUBMITTED, at)
        tally.counts[f"priority.{job.priority}"] += 1
    elif before.status is Status.FAILED and not job.status.final:
        tally.count(RETRIED, at)
    if job.status is Status.PROCESSING and before is not None and not before.is_started:
        waited = _count_milliseconds(_waits_since(before), at)
        tally.add_time("waitMs", tally.wait_ms, waited, at)
        tally.count(STARTED, at)
    if before is not None and job.failed_attempts:
        _count_errors(tally, before, job, at)
    if job.status.final:
        tally.count(str(job.status), at)
        if job.status is Status.FAILED and _is_explained(job):
            tally.count(REFUSED, at)
        _count_end(tally, before, job, at)


def _is_explained(job: Job) -> bool:
    """True for a failed job whose request explains it."""
    from taskreel.domain.health import REQUEST_FAULTS  # of failures alone: cold start

    return job.error is not None and job.error.code in REQUEST_FAULTS


def count_ambiguous(tally: MetricsTally, before: Job | None, job: Job) -> None:
    """Count the purchases whose answer an ended job has lost since the change before."""
    lost = _count_lost_answers(job) - (0 if before is None else _count_lost_answers(before))
    if lost > 0:
        tally.count(AMBIGUOUS_PURCHASES, job.updated_at, lost)


def _count_lost_answers(job: Job) -> int:
    units = sum(one.error is not None and one.error.code == AMBIGUOUS for one in job.units)
    return units or int(job.error is not None and job.error.code == AMBIGUOUS)


def count_eta(tally: MetricsTally, outcome: EtaOutcome) -> None:
    """Count an estimated start that was checked."""
    tally.counts[ETA_CHECKED] += 1
    tally.counts[ETA_WITHIN_P50] += outcome.within_p50
    tally.counts[ETA_WITHIN_P90] += outcome.within_p90
    tally.add(ETA_SCALE, outcome.step)


def _count_errors(tally: MetricsTally, before: Job, job: Job, at: datetime) -> None:
    """Count the failed calls since the job entered its last status, each by its error's code."""
    since = before.status_at[before.status]
    for one in job.failed_attempts:
        # One at that very time was counted with that change if the job had it by then.
        is_new = since < one.at <= at or (since == one.at and one not in before.failed_attempts)
        if one.provider is not None and is_new:
            numbers = {f"error.{one.code}": 1.0}
            if one.cost_usd:
                numbers["costUsd"] = one.cost_usd
            tally.add_to_model(one.provider, one.model, numbers)


def _count_models(tally: MetricsTally, job: Job, ran: int | None) -> None:
    """Count the finished calls of a job that has ended, with what they earned and cost."""
    done = [(at, unit) for at, unit in enumerate(job.units) if unit.state is UnitState.DONE]
    # A pipeline pays for its jobs, whose own settlement is empty: they tell what they have spent.
    captured = job.credits.captured if job.parent_id is None else job.spent
    weight = sum(unit.credits for _, unit in done)
    for index, unit in done:
        # What its failed attempts cost was counted with each of them.
        cost = unit.cost_usd or 0.0
        if job.failed_attempts:
            cost -= sum(one.cost_usd or 0.0 for one in job.failed_attempts if one.unit == index)
        numbers = {"calls": 1.0, "costUsd": max(cost, 0.0)}
        numbers["credits"] = captured * unit.credits / weight if weight else 0.0
        if ran is not None and len(job.units) == 1:
            numbers[f"run.{name_bucket(ran)}"] = 1.0
        tally.add_to_model(unit.provider, _name_model(job, unit), numbers)
    if job.credits.released and job.units:
        first = job.units[0]
        tally.add_to_model(
            first.provider, _name_model(job, first), {"released": float(job.credits.released)}
        )


def _name_model(job: Job, unit: UnitRun) -> str | None:
    model = unit.model or job.payload.get("model")
    return model if isinstance(model, str) else None


def _count_end(tally: MetricsTally, before: Job | None, job: Job, at: datetime) -> None:
    started_at = job.status_at.get(Status.PROCESSING)
    ran: int | None = None
    if before is not None and before.status is Status.PROCESSING and started_at is not None:
        ran = _count_milliseconds(started_at, at)
        tally.add_time("runMs", tally.run_ms, ran, at)
        tally.count("ran", at)
    _count_models(tally, job, ran)
    tally.add("credits", job.credits.captured)
    # A pipeline's cost is that of its jobs, which are counted under their own types.
    if not job.steps and job.cost_usd is not None:
        tally.add("costUsd", job.cost_usd - _find_counted_cost(job))


def _find_counted_cost(job: Job) -> float:
    """The cost with which the job ended its round before this one, and was counted."""
    ends = [change for change in job.history[:-1] if change.status.final]
    return (ends[-1].cost_usd or 0.0) if ends else 0.0


def _waits_since(job: Job) -> datetime:
    """The time from which a job that starts now has waited: since it was due, or was ready."""
    if job.next_attempt_at is not None:
        return job.next_attempt_at
    ready = [
        job.status_at[one] for one in (Status.THROTTLED, Status.QUEUED) if one in job.status_at
    ]
    return min(ready, default=job.created_at)


@lru_cache(maxsize=4096)  # each job has two of them, most of which are short
def name_bucket(milliseconds: int) -> str:
    """The bucket of a time: n, for times over 1.1^(n-1) ms and up to 1.1^n ms."""
    return str(max(0, math.ceil(math.log(max(milliseconds, 1), _GROWTH))))


def find_quantile(buckets: Mapping[str, int], share: float) -> float | None:
    """The time below which that share of the jobs was, in milliseconds; None without any."""
    total = sum(buckets.values())
    seen = 0
    for bucket in sorted(map(int, buckets)):
        seen += buckets[str(bucket)]
        if seen >= share * total:
            middle: float = _GROWTH ** (bucket - 0.5)
            return round(middle, 1)
    return None


def count_up_to(buckets: Mapping[str, int], milliseconds: int) -> int:
    """The jobs in buckets that end by that time; the bucket around it is not counted."""
    # The last of them: `name_bucket` rounds up, and a bound is the end of its bucket or within it.
    last = math.floor(math.log(max(milliseconds, 1), _GROWTH) + 1e-9)
    return sum(count for bucket, count in buckets.items() if int(bucket) <= last)


def name_slot(at: datetime) -> str:
    """The number of the ten minutes of the day."""
    return _SLOTS[at.hour * 6 + at.minute // 10]


_SLOTS = [str(number) for number in range(144)]


N = TypeVar("N", int, float)


def _add(some: Mapping[str, N], more: Mapping[str, N]) -> dict[str, N]:
    total = dict(some)
    for name, number in more.items():
        total[name] = total.get(name, 0) + number
    return total


def _count_milliseconds(start: datetime, end: datetime) -> int:
    return max(0, round((end - start) / _MILLISECOND))
