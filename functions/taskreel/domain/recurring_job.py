"""A recurring job: a request that is submitted again at each time of a cron expression."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from taskreel.domain.value import STRICT, StoredValue, accept_unknown, validate_changes

#: The newest runs that a recurring job records.
MOST_RUNS = 20


class Overlap(StrEnum):
    """The rule for a run that is due while the job of an earlier one has not ended."""

    #: The run is omitted.
    SKIP = "skip"
    #: It waits for the job's end; further runs that become due meanwhile are one with it.
    QUEUE = "queue"
    #: The job is cancelled first.
    REPLACE = "replace"


class RecurrenceState(StrEnum):
    """The state of a recurring job."""

    ACTIVE = "active"
    PAUSED = "paused"
    #: Its `endAt` has passed.
    ENDED = "ended"


class RunResult(StrEnum):
    """The result of one run."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    REFUSED = "refused"


class RecurringRun(StoredValue):
    """One run: the time that it was due, the time that it was made, and its result.

    `job_id` names the job of a submitted run, or the one because of which the run was omitted.
    """

    due_at: datetime
    at: datetime
    result: Annotated[RunResult, accept_unknown(RunResult)]
    job_id: str | None = None
    reason: str | None = None


class RecurringJob(StoredValue):
    """A stored request and its schedule. Frozen: each change is a new value."""

    recurring_job_id: str
    user_id: str
    #: The claims of its owner's token when it was created: its jobs are submitted with them.
    tier: str = "free"
    projects: tuple[str, ...] | None = None
    project_id: str | None = None
    job_type: str
    #: The request as it is stored with a job.
    payload: dict[str, Any]
    cron_expression: str
    time_zone: str = "UTC"
    overlap: Annotated[Overlap, accept_unknown(Overlap)] = Overlap.SKIP
    skip_cache: bool = False
    start_at: datetime | None = None
    end_at: datetime | None = None
    state: Annotated[RecurrenceState, accept_unknown(RecurrenceState)] = RecurrenceState.ACTIVE
    #: Why the service has paused it; None for one that runs, or that a user has paused.
    pause_reason: str | None = None
    #: The time of the next run; in the past while a run is due.
    next_run_at: datetime | None = None
    #: When the sweep has to act on it; None while it is paused or ended.
    wake_at: datetime | None = None
    wake_shard: int = 0
    last_job_id: str | None = None
    #: The newest last.
    runs: tuple[RecurringRun, ...] = Field(default=(), max_length=MOST_RUNS)
    #: The number of runs, by result.
    submitted: int = 0
    skipped: int = 0
    refused: int = 0
    created_at: datetime
    updated_at: datetime

    def with_changes(self, at: datetime, **changes: Unpack[RecurringChanges]) -> Self:
        """Copy it with these fields changed at `at`. Raises ValidationError for a wrong one."""
        return self.model_copy(
            update={"updated_at": at, **validate_changes(RecurringChanges, changes)}
        )

    def schedule_next(self, next_run_at: datetime | None, at: datetime) -> Self:
        """Copy it with the time of its next run; it ends when that is none or after `end_at`."""
        if next_run_at is None or (self.end_at is not None and next_run_at > self.end_at):
            return self.with_changes(
                at, state=RecurrenceState.ENDED, next_run_at=None, wake_at=None
            )
        return self.with_changes(at, next_run_at=next_run_at, wake_at=next_run_at)

    def pause(self, at: datetime, reason: str | None = None) -> Self:
        """Copy it without a next wake time, `reason` being why the service has paused it."""
        return self.with_changes(
            at, state=RecurrenceState.PAUSED, wake_at=None, pause_reason=reason
        )

    def record_run(self, run: RecurringRun) -> Self:
        """Copy it with a run recorded and counted."""
        changes: RecurringChanges = {"runs": (*self.runs, run)[-MOST_RUNS:]}
        if run.result is RunResult.SUBMITTED:
            changes |= {"submitted": self.submitted + 1, "last_job_id": run.job_id}
        elif run.result is RunResult.SKIPPED:
            changes |= {"skipped": self.skipped + 1}
        else:
            changes |= {"refused": self.refused + 1}
        return self.with_changes(run.at, **changes)


@with_config(STRICT)
class RecurringChanges(TypedDict, total=False):
    """The fields of a RecurringJob that may change after it was made."""

    user_id: str
    tier: str
    projects: tuple[str, ...] | None
    state: RecurrenceState
    pause_reason: str | None
    next_run_at: datetime | None
    wake_at: datetime | None
    last_job_id: str | None
    runs: tuple[RecurringRun, ...]
    submitted: int
    skipped: int
    refused: int
