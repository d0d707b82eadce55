"""A bulk operation: one action on every job that a filter means, carried out in the background."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from taskreel.domain.job_status import StoredStatus
from taskreel.domain.value import STRICT, StoredValue, accept_unknown, is_known, validate_changes

#: How long an operation is retained.
OPERATION_RETENTION = timedelta(days=90)
#: The refused jobs that an operation names; more are counted.
MOST_NAMED = 50


class BulkAction(StrEnum):
    """The action on each job."""

    CANCEL = "cancel"
    #: Another round of a failed job.
    RETRY = "retry"
    #: A new job, with an edited payload; the old one stays.
    REPLAY = "replay"
    DELETE = "delete"


class OperationState(StrEnum):
    """The state of an operation."""

    RUNNING = "running"
    DONE = "done"
    ABORTED = "aborted"


class JobFilter(StoredValue):
    """The jobs that are meant, never those that pipelines have made. None does not filter."""

    status: tuple[StoredStatus, ...] = ()
    job_type: str | None = None
    project_id: str | None = None
    user_id: str | None = None
    provider: str | None = None
    text: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class RefusedJob(StoredValue):
    """A job on which the action was not carried out, and why."""

    job_id: str
    reason: str


class BulkOperation(StoredValue):
    """The order, its progress, and the place from which it goes on after a crash."""

    operation_id: str
    user_id: str
    tier: str
    admin: bool = False
    projects: tuple[str, ...] | None = None
    #: The role in each project, as a number.
    roles: dict[str, int] = Field(default_factory=dict)
    action: Annotated[BulkAction, accept_unknown(BulkAction)]
    filter: JobFilter
    #: A JSON merge patch of the payload, for replays.
    edit: dict[str, Any] | None = None
    #: The most jobs on which it is carried out.
    limit: int
    reason: str = ""
    state: Annotated[OperationState, accept_unknown(OperationState)] = OperationState.RUNNING
    #: Jobs that were checked, changed and refused, and the credits that changed ones hold.
    seen: int = 0
    changed: int = 0
    refused: int = 0
    cost: int = 0
    refused_jobs: tuple[RefusedJob, ...] = ()
    #: Behind the last job that was checked; None at the beginning.
    cursor: str | None = None
    #: Who carries it out; another delivery waits until the lease ends, and a later one has a
    #: greater fence.
    fence: int = 0
    lease_until: datetime | None = None
    #: Numbers its tasks.
    sends: int = 1
    wake_at: datetime | None = None
    wake_shard: int = 0
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None
    expire_at: datetime = Field()

    def with_changes(self, at: datetime, **changes: Unpack[OperationChanges]) -> Self:
        """Copy it with these fields changed at `at`. Raises ValidationError for a wrong one."""
        return self.model_copy(
            update={"updated_at": at, **validate_changes(OperationChanges, changes)}
        )

    @property
    def is_understood(self) -> bool:
        """False for an action, or a part of the filter, that only a newer revision knows.

        Without that part the filter would mean more jobs than its user has named.
        """
        return is_known(self.action) and not self.filter.model_extra

    def finish(self, state: OperationState, at: datetime) -> Self:
        """Copy it in its last state."""
        return self.with_changes(at, state=state, ended_at=at, lease_until=None, wake_at=None)


@with_config(STRICT)
class OperationChanges(TypedDict, total=False):
    """The fields of a BulkOperation that may change after it was made."""

    state: OperationState
    seen: int
    changed: int
    refused: int
    cost: int
    refused_jobs: tuple[RefusedJob, ...]
    cursor: str | None
    fence: int
    lease_until: datetime | None
    sends: int
    wake_at: datetime | None
    ended_at: datetime | None
