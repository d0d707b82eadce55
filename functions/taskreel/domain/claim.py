"""May this delivery run the job now? A pure decision on a job and the time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from taskreel.domain.errors import AMBIGUOUS, UNSURE, Category
from taskreel.domain.job import EARLY, Job, JobError, Status, UnitState


class Verdict(Enum):
    """What a delivery should do."""

    RUN = auto()
    #: Another run holds the lease: the queue should ask again later.
    BUSY = auto()
    #: Nothing to do, now or for this delivery.
    IGNORE = auto()
    #: The job has ended while a provider worked on it: tell the provider.
    CLEAN_UP = auto()
    #: The job ends here, as `status` with `error`.
    END = auto()


@dataclass(frozen=True, slots=True)
class Claim:
    """The verdict; with END, how the job ends."""

    verdict: Verdict
    status: Status | None = None
    error: JobError | None = None


def decide(job: Job, now: datetime) -> Claim:
    """The one rule by which deliveries, repeated or not, may touch a job."""
    if job.status.final:
        return Claim(Verdict.CLEAN_UP if job.left_at_provider else Verdict.IGNORE)
    if job.lease_until is not None and job.lease_until > now:
        return Claim(Verdict.BUSY)
    ending = overdue(job, now)
    if ending is not None:
        return ending
    if job.status in {Status.BLOCKED, Status.THROTTLED} or now < _due(job) - EARLY:
        return Claim(Verdict.IGNORE)
    if (
        job.lease_until is not None
        and job.attempts(now)
        and not job.retry.allows_another(job.attempt)
    ):
        lost = "worker_lost", "The worker died during the last attempt this job may have."
        return _ended(Status.FAILED, *((AMBIGUOUS, UNSURE) if job.unsure else lost))
    return Claim(Verdict.RUN)


def overdue(job: Job, now: datetime) -> Claim | None:
    """How a job ends whose time has passed; None while it has time, or has ended before."""
    if job.status.final:
        return None
    if not job.started and any(
        time is not None and time <= now for time in (job.start_by, job.finish_by)
    ):
        return _ended(
            Status.EXPIRED,
            "start_deadline_passed",
            "The job did not start in the time it was given.",
        )
    if job.finish_by is not None and job.finish_by <= now:
        return _ended(
            Status.FAILED, "deadline_passed", "The job did not finish in the time it was given."
        )
    return None


def _ended(status: Status, code: str, message: str) -> Claim:
    return Claim(
        Verdict.END, status, JobError(code=code, category=Category.PERMANENT, message=message)
    )


def claimed(job: Job, now: datetime, lease: timedelta) -> Job:
    """The job once a run holds it: a new fencing token, and an attempt more if the run is one."""
    changes = {
        "attempt": job.attempt + job.attempts(now),
        "fence": job.fence + 1,
        "lease_until": now + lease,
        "wake_at": alarm(job, now + lease),
        "next_attempt_at": None,
    }
    if job.status is Status.PROCESSING:
        return job.with_(now, **changes)
    return job.to(Status.PROCESSING, now, **changes)


def alarm(job: Job, at: datetime) -> datetime:
    """`wake_at`: the given time, or a deadline of the job if that comes first; an ended one has none left."""
    if job.status.final:
        return at
    starting = None if job.started else job.start_by
    return min(time for time in (at, starting, job.finish_by) if time is not None)


def _due(job: Job) -> datetime:
    """When the job's next step may begin."""
    if job.status is Status.PROCESSING and all(
        unit.state is not UnitState.TODO for unit in job.units
    ):
        polls = [unit.due_at for unit in job.units if unit.due_at is not None]
        return min(polls, default=job.updated_at)
    return job.next_attempt_at or job.created_at
