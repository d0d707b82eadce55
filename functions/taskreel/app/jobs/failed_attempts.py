"""Record the failed calls of a run: for everybody in the job, and providers' answers apart.

Clients with Firestore's own library may read their jobs' documents, so what only administrators
may see is in a collection of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from taskreel.app.services import Rules
from taskreel.domain.job import Job
from taskreel.domain.job_history import (
    LONGEST_ANSWER,
    MOST_FAILED_ATTEMPTS,
    FailedAttempt,
)
from taskreel.domain.record import Record
from taskreel.domain.run_answers import ProviderAnswer, RunAnswers
from taskreel.ports import Transaction
from taskreel.store_collections import RUN_ANSWERS


class FailedCall(Record):
    """A failed call, and the provider's answer, or the exception, where there is one."""

    attempt: FailedAttempt
    answer: str | None


def record_failures(
    rules: Rules, tx: Transaction, job: Job, calls: Sequence[FailedCall], at: datetime
) -> tuple[FailedAttempt, ...]:
    """Write the answers that a run of `job` met; return the job's failed attempts, with its own.

    The answers are removed as any ended job is. The fence is that of the run, so each run has a
    document of its own, and needs no read.
    """
    answers = tuple(
        ProviderAnswer(
            at=call.attempt.at,
            unit=call.attempt.unit,
            code=call.attempt.code,
            text=call.answer[:LONGEST_ANSWER],
        )
        for call in calls
        if call.answer
    )
    if answers:
        met = RunAnswers(
            job_id=job.job_id,
            user_id=job.user_id,
            at=at,
            answers=answers[-MOST_FAILED_ATTEMPTS:],
            expire_at=at + rules.retention.of(job),
        )
        tx.set(RUN_ANSWERS, f"{job.job_id}.{job.round}.{job.fence}", met)
    attempts = (*job.failed_attempts, *(call.attempt for call in calls))
    return attempts[-MOST_FAILED_ATTEMPTS:]
