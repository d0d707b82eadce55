"""The statuses of a job, and the table of which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from taskreel.domain.value import accept_unknown


class _Finality:
    """A fact of each status, which the table below decides once."""

    #: True when no other status can follow; False for one of a newer revision.
    final: bool = False


class Status(_Finality, StrEnum):
    """The status of a job; the last four are final."""

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

    @classmethod
    def _missing_(cls, value: object) -> Status | None:
        """The status in another spelling, such as `completed`, in a request."""
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


#: A stored status; a newer revision may have written one that is not in the table.
StoredStatus = Annotated[Status, accept_unknown(Status)]

_ENDED_EARLY = frozenset({Status.CANCELLED, Status.EXPIRED})

NEXT_STATUSES: Mapping[Status, frozenset[Status]] = {
    # To FAILED, here and below: an error of ours that several attempts did not get past.
    Status.SCHEDULED: frozenset({Status.QUEUED, Status.THROTTLED, Status.PROCESSING, Status.FAILED})
    | _ENDED_EARLY,
    Status.BLOCKED: frozenset({Status.QUEUED, Status.SCHEDULED, Status.THROTTLED, Status.FAILED})
    | _ENDED_EARLY,
    Status.THROTTLED: frozenset({Status.QUEUED, Status.FAILED}) | _ENDED_EARLY,
    # To FAILED: a processor stopped during a run, and the deadline passed before the next run.
    Status.QUEUED: frozenset({Status.PROCESSING, Status.THROTTLED, Status.FAILED}) | _ENDED_EARLY,
    # Back to QUEUED: a stopping processor releases its lease; that run was not an attempt.
    Status.PROCESSING: frozenset(
        {Status.QUEUED, Status.RETRYING, Status.COMPLETED, Status.FAILED, Status.CANCELLED}
    ),
    Status.RETRYING: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}

#: What may follow a status of a newer revision, which the table does not have.
AFTER_UNKNOWN = frozenset({Status.CANCELLED})

for _status, _following in NEXT_STATUSES.items():
    _status.final = not _following


class IllegalTransitionError(Exception):
    """A bug in the caller: the table does not allow this change of status."""
