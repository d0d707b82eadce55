"""Dead letters: failed jobs, grouped by the fingerprint of their failure.

It is equal for failures of the same kind, whatever job they happened to.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Self

from taskreel.domain.job import Job
from taskreel.domain.value import StoredValue

#: The newest jobs that a group names.
MOST_NAMED = 5
#: The parts of a message that differ between failures of one kind: ids, numbers, quoted words.
_PARTICULAR = re.compile(r"\"[^\"]*\"|'[^']*'|\b\w*\d[\w.:-]*")


class DeadLetterGroup(StoredValue):
    """Failures of one kind: how many were seen, when, and the newest of their jobs."""

    fingerprint: str
    job_type: str
    code: str
    message: str
    served_by: str | None = None
    step: str | None = None
    seen: int
    first_seen_at: datetime
    last_seen_at: datetime
    job_ids: tuple[str, ...]
    expire_at: datetime

    @classmethod
    def of(cls, job: Job) -> DeadLetterGroup | None:
        """The group of a job that has just failed; None for any other."""
        error = job.error
        if job.fingerprint is None or error is None or job.expire_at is None:
            return None
        at = job.status_at[job.status]
        return cls(
            fingerprint=job.fingerprint,
            job_type=job.job_type,
            code=error.code,
            message=error.message,
            served_by=job.served_by,
            step=error.step,
            seen=1,
            first_seen_at=at,
            last_seen_at=at,
            job_ids=(job.job_id,),
            expire_at=job.expire_at,
        )

    def plus(self, later: DeadLetterGroup) -> Self:
        """Copy the group with later failures added."""
        return self.model_copy(
            update={
                "message": later.message,
                "seen": self.seen + later.seen,
                "first_seen_at": min(self.first_seen_at, later.first_seen_at),
                "last_seen_at": max(self.last_seen_at, later.last_seen_at),
                "job_ids": (*self.job_ids, *later.job_ids)[-MOST_NAMED:],
                "expire_at": max(self.expire_at, later.expire_at),
            }
        )


def fingerprint_failure(job: Job) -> str:
    """A digest of the failed job's type, providers, step, and its error without particulars."""
    error = job.error
    parts = [job.job_type, job.served_by or ""]
    if error is not None:
        parts += [error.code, error.step or "", _PARTICULAR.sub("#", error.message)]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
