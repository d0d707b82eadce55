"""A job and its life: the one table of statuses, and the only function that changes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from pydantic import Field

from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import Category
from taskreel.domain.pipeline import StepRun, StepState
from taskreel.domain.retry import RetryPolicy
from taskreel.domain.value import Value

#: A task may come this much before its time and still be taken: clocks differ.
EARLY = timedelta(seconds=1)


class Status(StrEnum):
    """Where a job is; the last four are final."""

    SCHEDULED = "SCHEDULED"
    BLOCKED = "BLOCKED"
    THROTTLED = "THROTTLED"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return not NEXT[self]


_ENDED_EARLY = frozenset({Status.CANCELLED, Status.EXPIRED})

NEXT: Mapping[Status, frozenset[Status]] = {
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.THROTTLED, Status.PROCESSING})
    | _ENDED_EARLY,
    Status.BLOCKED: frozenset({Status.QUEUED, Status.SCHEDULED, Status.THROTTLED, Status.FAILED})
    | _ENDED_EARLY,
    Status.THROTTLED: frozenset({Status.QUEUED}) | _ENDED_EARLY,
    # To FAILED: a run was given back, and the deadline passed before the next.
    Status.QUEUED: frozenset({Status.PROCESSING, Status.THROTTLED, Status.FAILED}) | _ENDED_EARLY,
    # Back to QUEUED: a stopping processor gives its lease back; that run was not an attempt.
    Status.PROCESSING: frozenset(
        {Status.QUEUED, Status.RETRYING, Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    ),
    Status.RETRYING: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}


class Priority(StrEnum):
    """Which of its type's three lanes a job takes."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class JobError(Value):
    """Why the last attempt failed, in words fit for the user; of a pipeline, in which step and which of its jobs."""

    code: str
    category: Category
    message: str
    step: str | None = None
    job_id: str | None = None


class JobCredits(Value):
    """What the job holds now, and what its settlement captured and released."""

    held: int = 0
    captured: int = 0
    released: int = 0


class UnitState(StrEnum):
    """Where one unit of a job's work is."""

    TODO = "todo"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class UnitRun(Value):
    """One provider call of a job: what it costs and how far it is.

    `operation` is the provider's run of it, kept before the first poll so that no retry buys it again.
    """

    state: UnitState = UnitState.TODO
    credits: int
    provider: str
    #: The provider's model; None is what the payload names, or the provider's default.
    model: str | None = None
    operation: dict[str, Any] | None = None
    #: When a provider that is paid was asked to begin, kept before it is asked.
    begun_at: datetime | None = None
    #: When to poll, or to try again.
    due_at: datetime | None = None
    artifacts: tuple[Artifact, ...] = ()
    data: dict[str, Any] | None = None
    error: JobError | None = None
    #: Rate limits and failed polls since it was last heard of.
    waits: int = 0
    #: How often its finished result could not be fetched.
    unfetched: int = 0
    #: What the provider says it cost in US dollars, or else what the model table says.
    cost_usd: float | None = None
    cost_estimated: bool = False

    def is_due(self, now: datetime) -> bool:
        """Whether it may be polled, or tried, now; a task may come a little before its time."""
        return self.due_at is None or self.due_at <= now + EARLY

    @property
    def limited(self) -> bool:
        """Whether it only waits until it may ask again."""
        return self.error is not None and self.error.category is Category.RATE_LIMITED

    @property
    def unsure(self) -> bool:
        """Whether a run died between asking a provider to begin and keeping its answer: it may have been bought."""
        return self.state is UnitState.TODO and self.begun_at is not None


#: How many of those that could not do its work a job names; the last ones.
MOST_TRIED = 20


class Tried(Value):
    """A provider's model that could not do a job's work, and why."""

    provider: str
    model: str | None = None
    code: str


class IllegalTransitionError(Exception):
    """A bug: the table does not allow this change of status."""


class Job(Value):
    """What a caller asked for, and everything known of it. Frozen: each change is a new value."""

    job_id: str
    job_type: str
    status: Status
    priority: Priority = Priority.NORMAL
    user_id: str
    project_id: str | None = None
    payload: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    status_at: dict[Status, datetime]
    #: Whole percent, and a word on what is being done.
    progress: int = Field(default=0, ge=0, le=100)
    progress_message: str | None = None
    #: Counted runs so far; 0 until the first claim. A poll or a repeated delivery is not one, nor is what goes on when
    #: a rate limit is over.
    attempt: int = 0
    retry: RetryPolicy = RetryPolicy()
    next_attempt_at: datetime | None = None
    error: JobError | None = None
    credits: JobCredits = JobCredits()
    served_by: str | None = None
    #: Who failed it, in order.
    tried: tuple[Tried, ...] = ()
    result: dict[str, Any] | None = None
    units: tuple[UnitRun, ...] = ()

    #: A pipeline's steps, and for one of its jobs which place it has there.
    steps: dict[str, StepRun] = Field(default_factory=dict)
    parent_id: str | None = None
    parent_lane: str | None = None
    parent_round: int | None = None
    step: str | None = None
    index: int = 0
    #: The credits that its work took, whoever holds them: a pipeline pays for its jobs.
    spent: int = 0
    #: The jobs that this one replays, the newest first; what they had done is not bought again…
    lineage: tuple[str, ...] = ()
    #: …except in these steps.
    redo: tuple[str, ...] = ()

    #: As stored: the ids of what runs elsewhere, by which a call from there finds the job; `document` sets them.
    operation_ids: tuple[str, ...] = ()

    #: The jobs that wait for this one to end, to be told; the sweep finds those that are not here.
    waiters: tuple[str, ...] = ()

    #: From 1; a retry by the user opens the next round, with a hold and a settlement of its own.
    round: int = 1
    #: The number of the newest task sent for this job; an older one is stale.
    delivery: int = 1
    #: Grows with every claim, cancellation and release: a run may write only while its number stands.
    fence: int = 0
    lease_until: datetime | None = None
    #: By when something must have happened to the job; None once it has ended and nothing is left at a provider.
    wake_at: datetime | None = None
    #: 0…7, drawn at submit: spreads the index on `wake_at`.
    wake_shard: int = 0
    start_by: datetime | None = None
    #: When an ended job may be removed.
    expire_at: datetime | None = None
    finish_by: datetime | None = None
    #: Digest of the request body, to tell a repeated idempotency key from a reused one.
    request_hash: str | None = None

    def to(self, status: Status, at: datetime, **changes: Any) -> Self:
        """The job in `status`, entered at `at`, with `changes` to other fields.

        Raises IllegalTransitionError when the table does not allow it. A final status drops the lease and the alarm.
        """
        if status not in NEXT[self.status]:
            raise IllegalTransitionError(f"{self.job_id}: {self.status} may not become {status}")
        ended = (
            {"wake_at": None, "lease_until": None, "next_attempt_at": None}
            if not NEXT[status]
            else {}
        )
        entered = {"status": status, "updated_at": at, "status_at": {**self.status_at, status: at}}
        return self.model_copy(update={**entered, **changes, **ended})

    def with_(self, at: datetime, **changes: Any) -> Self:
        """The job with other fields changed and its status as it is."""
        if "status" in changes:
            raise IllegalTransitionError("only `to` changes a status")
        return self.model_copy(update={"updated_at": at, **changes})

    def reopened(self, at: datetime, held: int, wake_at: datetime) -> Self:
        """A failed job's next round, at the user's wish: new attempts and a new hold under the same id.

        Not a change of status but a new life of the job; units that were paid for and done are not done again.
        Raises IllegalTransitionError unless the job has failed.
        """
        if self.status is not Status.FAILED:
            raise IllegalTransitionError(
                f"{self.job_id}: only a failed job can be retried, this one is {self.status}"
            )
        none = dict.fromkeys(("operation", "due_at", "error", "begun_at"))
        fresh = {"state": UnitState.TODO, **none, "waits": 0, "unfetched": 0}
        return self.model_copy(
            update={
                "status": Status.QUEUED,
                "status_at": {Status.QUEUED: at},
                "updated_at": at,
                "round": self.round + 1,
                "delivery": self.delivery + 1,
                "attempt": 0,
                "progress": 0,
                "progress_message": None,
                "error": None,
                "tried": (),
                "credits": JobCredits(held=held),
                "units": tuple(
                    u if u.state is UnitState.DONE else u.model_copy(update=fresh)
                    for u in self.units
                ),
                "finish_by": self.finish_by
                and at + (self.finish_by - min(self.status_at.values())),
                "start_by": None,
                "wake_at": wake_at,
                "steps": {},
                "expire_at": None,
            }
        )

    def stopped(self, at: datetime, operations: Sequence[Mapping[str, Any]]) -> Self:
        """The ended job without these operations; with none left there is nothing to wake it for."""
        over = {"state": UnitState.FAILED, "operation": None}
        units = tuple(
            unit.model_copy(update=over) if unit.operation in operations else unit
            for unit in self.units
        )
        clean = self.with_(at, units=units)
        return clean if clean.left_at_provider else clean.with_(at, wake_at=None)

    @property
    def lane(self) -> str:
        """The queue of its type and priority."""
        return f"{self.job_type}-{self.priority}"

    @property
    def started(self) -> bool:
        """Whether any run has begun in this round."""
        return Status.PROCESSING in self.status_at

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """All finished files, in the order of the units."""
        return tuple(artifact for unit in self.units for artifact in unit.artifacts)

    @property
    def unsure(self) -> bool:
        """Whether anything may have been bought without our knowing."""
        return any(unit.unsure for unit in self.units)

    @property
    def finished_steps(self) -> frozenset[str]:
        """The steps of which nothing has to be done again."""
        return frozenset(
            name
            for name, run in self.steps.items()
            if run.state is StepState.DONE and not run.failed
        )

    def document(self) -> dict[str, Any]:
        """The job as the store keeps it."""
        ids = tuple(str(operation["id"]) for operation in self.operations if "id" in operation)
        return super(Job, self.model_copy(update={"operation_ids": ids})).document()

    @property
    def operations(self) -> tuple[dict[str, Any], ...]:
        """What providers are doing for it."""
        return tuple(unit.operation for unit in self.units if unit.operation is not None)

    @property
    def left_at_provider(self) -> bool:
        """Whether it has ended and a provider still works for it."""
        return self.status.final and bool(self.operations)

    @property
    def cost_usd(self) -> float | None:
        """What its providers took, and those of a pipeline's jobs, as far as it is known."""
        parts: list[UnitRun | StepRun] = [*self.units, *self.steps.values()]
        known = [part.cost_usd for part in parts if part.cost_usd is not None]
        return round(sum(known), 6) if known else None

    @property
    def cost_estimated(self) -> bool:
        """Whether any of that is from the model table."""
        parts: list[UnitRun | StepRun] = [*self.units, *self.steps.values()]
        return any(part.cost_estimated for part in parts)

    def attempts(self, now: datetime) -> bool:
        """Whether a run that begins now is an attempt: something is tried that no rate limit has put off.

        After a run that died even that counts. A pipeline's first look is its one attempt.
        """
        if not self.units:
            return self.status is not Status.PROCESSING
        died = self.lease_until is not None
        todo = [unit for unit in self.units if unit.state is UnitState.TODO and unit.is_due(now)]
        return any(died or not unit.limited for unit in todo)
