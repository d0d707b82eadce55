"""The fields of a job as it is stored, and those that may change after it was made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from msgspec import field
from pydantic import Field, with_config
from typing_extensions import TypedDict

from taskreel.domain.credits import GrantShare
from taskreel.domain.job_error import JobError
from taskreel.domain.job_history import FailedAttempt, StatusChange
from taskreel.domain.job_status import StoredStatus
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.step_run import StepRun
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.unit import TriedProvider, UnitRun
from taskreel.domain.value import STRICT, StoredValue, accept_unknown
from taskreel.domain.webhook_events import WebhookSubscription


class Priority(StrEnum):
    """A job's priority among the waiting jobs of its type."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @classmethod
    def _missing_(cls, value: object) -> Priority | None:
        """The priority in another spelling, such as `HIGH`, in a request."""
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class WaitsFor(StrEnum):
    """The room that a THROTTLED job waits for."""

    #: Its owner has as many active jobs as their limit allows.
    USER = "user"
    #: The queue of its type is full.
    TYPE = "type"
    #: The account at its provider, or a model of it, has as many jobs as it allows.
    PROVIDER = "provider"
    #: Its project has as many jobs under way as its limit allows.
    PROJECT = "project"


class JobCredits(StoredRecord, kw_only=True):
    """The credits that the job holds now, and those that its settlement captured and released."""

    held: int = 0
    captured: int = 0
    released: int = 0


class Ending(StoredValue):
    """The end that a pipeline comes to once its child jobs have ended."""

    status: StoredStatus
    error: JobError | None = None
    #: The user who ended it; None for the service itself.
    by: str | None = None


Percent = Annotated[int, Field(ge=0, le=100)]


class JobFields(StoredRecord, kw_only=True):
    """The stored fields of a `domain.job.Job`."""

    written_defaults: ClassVar[Mapping[str, Any]] = {
        "progress": 0,
        "attempt": 0,
        "fence": 0,
        "wakeShard": 0,
    }

    job_id: str
    job_type: str
    status: StoredStatus
    priority: Annotated[Priority, accept_unknown(Priority)] = Priority.NORMAL
    user_id: str
    project_id: str | None = None
    payload: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    status_at: dict[StoredStatus, datetime]
    progress: Percent = 0
    #: A word on the present work, for the user.
    progress_message: str | None = None
    #: Counted runs so far; 0 until the first claim. A poll, a repeated delivery and a run that
    #: resumes after a rate limit do not count.
    attempt: int = 0
    retry: RetryPolicy = RetryPolicy()
    next_attempt_at: datetime | None = None
    error: JobError | None = None
    credits: JobCredits = JobCredits()
    #: The day (UTC) of this round's hold, to which a release returns the credits; None for a child
    #: job, which holds nothing, and for holds of older releases, which no period counts.
    held_on: str | None = None
    #: The shares of the account's grants that the hold took, in the order in which they are
    #: captured; empty where the pool of ordinary grants pays it all.
    burned: tuple[GrantShare, ...] = ()
    #: The document of its user's account that holds its credits and has its slot; 0 is the first.
    account_shard: int = 0
    #: The account of the project that pays this round; None where its user does.
    paid_by: str | None = None
    #: True where the hold counts as spent in the stored project, to which a release returns them.
    in_project: bool = False
    #: True where it counts in what the project has spent in all, too; holds of older releases do
    #: not, and a release of one must not take credits out that were never counted.
    in_total: bool = False
    served_by: str | None = None
    #: The providers that failed it, in order.
    tried: tuple[TriedProvider, ...] = ()
    result: dict[str, Any] | None = None
    units: tuple[UnitRun, ...] = ()

    #: Set while an unfinished pipeline ends: it starts no more work, its child jobs are ended, and
    #: then it is settled with what they have done.
    ending: Ending | None = None

    #: The steps of a pipeline, and of a child job its parent and its place there.
    steps: dict[str, StepRun] = field(default_factory=dict)
    parent_id: str | None = None
    #: The queue of the parent, on which its check is enqueued; the stored field has an older name,
    #: and may name a queue of an earlier release (`job_task.current_name`).
    parent_lane: str | None = None
    parent_round: int | None = None
    #: The type of the outermost pipeline that it is a part of, whose retention it has.
    pipeline_type: str | None = None
    step: str | None = None
    index: int = 0
    #: The credits that its work took, whichever job holds them: a pipeline pays for its child jobs.
    spent: int = 0
    #: The jobs that this one replays, the newest first; what they had done is not bought again…
    lineage: tuple[str, ...] = ()
    #: …except in these steps.
    redo: tuple[str, ...] = ()

    #: As stored: the ids of its running operations, by which a webhook finds the job. Set by
    #: `document`.
    operation_ids: tuple[str, ...] = ()

    #: The jobs that depend on this one and are unblocked at its end; the sweep finds any others.
    waiters: tuple[str, ...] = ()

    #: The webhooks that get its events: the user's endpoints at its submission, and its own.
    webhooks: tuple[WebhookSubscription, ...] = ()
    #: The `status_entry` of the newest event that was made.
    announced: str | None = None

    #: From 1; a retry by the user opens the next round, with its own hold and settlement.
    round: int = 1
    #: The number of the newest task sent for this job; an older one is stale.
    delivery: int = 1
    #: How often the sweep has sent it another task since it last ran.
    rescues: int = 0
    #: How often in this round a run died with its worker: our fault, and not one of its attempts.
    lost_runs: int = 0
    #: How often processing it has crashed in this round, by an unexpected exception.
    crashes: int = 0
    #: The fencing token. Grows with every claim, cancellation and release: a run may write only
    #: while the number is the one it claimed with.
    fence: int = 0
    lease_until: datetime | None = None
    #: By when something must have happened to the job; None once it has ended and no operation of
    #: it runs at a provider.
    wake_at: datetime | None = None
    #: 0…7, drawn at submit: spreads the index on `wake_at`.
    wake_shard: int = 0
    start_by: datetime | None = None
    #: When an ended job may be removed.
    expire_at: datetime | None = None
    finish_by: datetime | None = None
    #: The account's document whose limit it counts against: it has a slot there until it ends.
    slot_of: str | None = None
    #: The account whose limits it shares, where that is not its user's: that of a project's keys.
    limited_as: str | None = None
    #: The provider, or the model of it, and the project whose limits it counts against; None where
    #: none is set.
    provider_slot: str | None = None
    project_slot: str | None = None
    #: While it is THROTTLED; other statuses have none.
    waits_for: Annotated[WaitsFor, accept_unknown(WaitsFor)] | None = None
    #: Its place among the waiting jobs; None for one that met a type with much room.
    rank: datetime | None = None
    #: The newest changes of its status, in order, and the number of older ones.
    history: tuple[StatusChange, ...] = ()
    forgotten_changes: int = 0
    #: The newest failed attempts of all rounds, in order.
    failed_attempts: tuple[FailedAttempt, ...] = ()
    #: Of a failed job: a digest that is equal for failures of the same kind.
    fingerprint: str | None = None
    #: Digest of the request body, to tell a repeated idempotency key from a reused one.
    request_hash: str | None = None
    #: Digest of a request that may answer later ones (`app/jobs/result_cache.py`).
    cache_key: str | None = None


@with_config(STRICT)
class JobChanges(TypedDict, total=False):
    """The fields of a Job that may change after it was made; its status only by `enter_status`."""

    payload: dict[str, Any]
    progress: Percent
    progress_message: str | None
    attempt: int
    next_attempt_at: datetime | None
    error: JobError | None
    credits: JobCredits
    held_on: str | None
    burned: tuple[GrantShare, ...]
    account_shard: int
    paid_by: str | None
    in_project: bool
    in_total: bool
    served_by: str | None
    tried: tuple[TriedProvider, ...]
    result: dict[str, Any] | None
    units: tuple[UnitRun, ...]
    ending: Ending | None
    steps: dict[str, StepRun]
    spent: int
    waiters: tuple[str, ...]
    round: int
    delivery: int
    rescues: int
    lost_runs: int
    crashes: int
    fence: int
    lease_until: datetime | None
    wake_at: datetime | None
    start_by: datetime | None
    finish_by: datetime | None
    slot_of: str | None
    provider_slot: str | None
    waits_for: WaitsFor | None
    rank: datetime | None
    expire_at: datetime | None
    failed_attempts: tuple[FailedAttempt, ...]
    fingerprint: str | None
