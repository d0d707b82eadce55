"""The rules that one job's document must obey by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState


class Rule(StrEnum):
    """The invariants, by the names that an audit reports."""

    #: A job that is not finished has `wakeAt`, a finished one has none.
    WAKE_TIME = "wake-time"
    #: A round of a job ends once.
    ONE_FINAL_STATUS = "one-final-status"
    #: A finished job holds no credits and no slot.
    NOTHING_HELD_AFTER_END = "nothing-held-after-end"
    #: A lease is that of a run.
    LEASE_OF_RUN = "lease-of-run"
    #: No job is attempted more often than its retry policy allows.
    ATTEMPTS = "attempts"
    #: A unit that is paid for has its files, or its data.
    NO_CAPTURE_WITHOUT_ARTIFACT = "no-capture-without-artifact"
    #: granted = available + held + captured + expired.
    BALANCE = "balance"
    #: What the account has granted, captured and expired is what the ledger says.
    LEDGER = "ledger"
    #: What the account holds is what its jobs hold.
    HOLDS = "holds"
    #: Each round that has ended is settled by one entry, and no other.
    SETTLED_ONCE = "settled-once"
    #: A finished job is charged for its finished units: no artifact is free, nothing else costs.
    PAID_WORK = "paid-work"
    #: Work that a job took over for nothing was done by a job that it replays, and is paid for.
    LINEAGE = "lineage"
    #: No child job outlives its pipeline, or has none.
    FAMILY = "family"
    #: The account counts the slots and waiting jobs that there are.
    SLOTS = "slots"
    #: A sharded account has the documents that it says, and its jobs are in no other.
    SHARDS = "shards"
    #: No user has more active jobs than their limit.
    LIMIT = "limit"
    #: A status that a webhook wants has its delivery, and a delivery that is pending a wake time.
    EVENTS = "events"
    #: Nothing that was due stays undone for longer than a lease and two sweeps.
    OVERDUE = "overdue"
    #: The bucket has each file that a job names, whole.
    FILES = "files"
    #: Every document can be read by this revision.
    READABLE = "readable"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: the user and the document that it concerns, and one sentence."""

    rule: Rule
    user_id: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject} of user {self.user_id}: {self.text}"


_Broken = Callable[[Rule, str], Violation]


def has_right_wake_time(job: Job) -> bool:
    """True where the sweep checks an open job, and none that is over.

    One that ended during a purchase may be checked once more, to report it; one that shows files
    made before it, to renew those. One whose removal has begun is checked until it is gone, and
    what is below it goes with it.
    """
    is_over = job.status.final and not job.needs_clean_up
    must_wake = not is_over or (job.is_being_removed and job.parent_id is None)
    if job.wake_at is None:
        return not must_wake
    return must_wake or job.maybe_bought or job.has_file_work


def check_job(job: Job) -> Iterator[Violation]:
    """Yield the rules that the job breaks. A state of a newer revision is not judged."""
    if job.has_unknown_state:
        return

    def broken(rule: Rule, text: str) -> Violation:
        return Violation(rule, job.user_id, f"job {job.job_id}", text)

    if not has_right_wake_time(job):
        yield broken(Rule.WAKE_TIME, f"it is {job.status}, and its wakeAt is {job.wake_at}")
    if job.status.final and (job.credits.held or job.slot_of is not None):
        slot = "" if job.slot_of is None else " and a slot"
        yield broken(
            Rule.NOTHING_HELD_AFTER_END,
            f"it is {job.status} and still holds {job.credits.held} credits{slot}",
        )
    if job.lease_until is not None and job.status is not Status.PROCESSING:
        yield broken(Rule.LEASE_OF_RUN, f"it is {job.status} and leased until {job.lease_until}")
    if job.attempt > job.retry.max_attempts:
        yield broken(Rule.ATTEMPTS, f"attempt {job.attempt} of at most {job.retry.max_attempts}")
    for number, unit in enumerate(job.units):
        # Work that makes nothing (a note alone) says so in its data.
        if unit.state is UnitState.DONE and unit.credits and not (unit.artifacts or unit.data):
            yield broken(
                Rule.NO_CAPTURE_WITHOUT_ARTIFACT,
                f"unit {number} costs {unit.credits} credits and has neither files nor data",
            )
    yield from _check_history(job, broken)


def _check_history(job: Job, broken: _Broken) -> Iterator[Violation]:
    """After an end only a failed job goes on, and with a new round: it is QUEUED."""
    for before, after in zip(job.history, job.history[1:], strict=False):
        reopened = before.status is Status.FAILED and after.status is Status.QUEUED
        if before.status.final and not reopened:
            yield broken(
                Rule.ONE_FINAL_STATUS,
                f"it was {before.status} at {before.at} and {after.status} at {after.at}",
            )
    if job.history and job.history[-1].status != job.status:
        yield broken(
            Rule.ONE_FINAL_STATUS,
            f"it is {job.status}, and its history ends with {job.history[-1].status}",
        )
