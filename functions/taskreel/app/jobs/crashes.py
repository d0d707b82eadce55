"""Unexpected exceptions: counted on the job, which is tried again, and failed after the third."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from taskreel.app.jobs.enqueue import enqueue_jobs
from taskreel.app.jobs.failed_attempts import FailedCall, record_failures
from taskreel.app.jobs.finish_job import finish_job, stop_job
from taskreel.app.jobs.job_store import load_job, store_job, write_for_run
from taskreel.app.services import Rules, Services
from taskreel.domain.claim_and_outcome import ANSWER_GRACE
from taskreel.domain.errors import (
    AMBIGUOUS,
    UNSURE,
    Category,
    LeaseLostError,
    PermanentError,
    QueueError,
    StoreError,
    TaskreelError,
    UnreadableDocumentError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_fields import Ending, JobChanges
from taskreel.domain.job_history import FailedAttempt
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.domain.unit import UnitRun
from taskreel.ports import Transaction, undecoded_collection
from taskreel.store_collections import JOBS

log = logging.getLogger(__name__)

#: A job whose processing crashed so often in a round has failed.
MOST_CRASHES = 3
_FIRST_WAIT = timedelta(seconds=30)
#: When the sweep comes back to a document that cannot be read at all.
_UNREADABLE_WAIT = timedelta(hours=1)
#: The jobs as they are stored.
_UNDECODED_JOBS = undecoded_collection(JOBS.name)
#: A crash leaves the status and the start of these as they are.
_WAITING = frozenset({Status.BLOCKED, Status.SCHEDULED, Status.THROTTLED})


class CrashedRun(Record, kw_only=True):
    """A run that crashed: its fencing token, the attempt before it, and its units at the end."""

    fence: int
    attempt: int
    units: Sequence[UnitRun]


def is_outage(error: Exception) -> bool:
    """True if the store or the queues could not be reached: no fault of the job.

    An answer of the store about the job's own documents is a fault like any other exception. Taken
    for an outage, it would be repeated for ever.
    """
    return isinstance(error, QueueError) or (isinstance(error, StoreError) and error.may_pass)


async def record_crash(
    services: Services, job_id: str, error: Exception, run: CrashedRun | None = None
) -> Job | None:
    """Count an unexpected error against its job, and say when it is tried again.

    The third crash of a round fails the job and releases its hold, as does an error that no try
    can change. Nothing is written when the job has another run by now. A crash by itself is not an
    attempt: it was not the user's fault. Returns the changed job, None when there is none; the
    caller notifies of its end.

    A run may hold what it has bought, so its crash is written for longer than an API call lasts.
    Raises StoreError when the store could not be reached until then.
    """
    log.error(
        "processing a job crashed",
        exc_info=error,
        extra={"action": "job_crashed", "job_id": job_id},
    )
    patience = timedelta(0) if run is None else ANSWER_GRACE
    try:
        job = await write_for_run(
            services,
            lambda tx: _write_crash(services, tx, job_id, error, run),
            services.clock.now() + patience,
        )
    except LeaseLostError:
        if run is not None:
            # Of few crashes: the API's cold start needs none of it.
            from taskreel.app.jobs.cancel_operations import resolve_purchases

            await resolve_purchases(services, job_id, run.fence, run.units)
        return None
    except UnreadableDocumentError:
        await services.store.transaction(lambda tx: _postpone_unreadable(services, tx, job_id))
        log.critical(
            "a stored job cannot be read and is set aside for an hour: it stays as it is, with its "
            "hold, until its document is repaired or a revision is deployed that can read it",
            extra={"action": "job_unreadable", "job_id": job_id},
        )
        return None
    if job is not None and not job.status.final and job.ending is None:
        await enqueue_jobs(services, job)
    return job


async def _write_crash(
    services: Services, tx: Transaction, job_id: str, error: Exception, run: CrashedRun | None
) -> Job | None:
    job = await load_job(tx, job_id)
    now = services.clock.now()
    if job is None:
        return None
    if _is_taken_over(job, run, now):
        raise LeaseLostError("another run, a cancellation or a deadline took the job")

    wait = _FIRST_WAIT * 2**job.crashes
    changes: JobChanges = {"crashes": job.crashes + 1, "lease_until": None}
    if job.status.final or job.has_unknown_state:
        if job.wake_at is not None:
            store_job(tx, job.with_changes(now, wake_at=now + wait))
        return None

    failures = [_note_crash(job, error, now)]
    changes["failed_attempts"] = record_failures(services.rules, tx, job, failures, now)
    if run is not None and not isinstance(error, PermanentError):
        # What the run has bought is stored, so that the next one does not buy it again.
        changes["units"] = tuple(run.units)
        if tuple(run.units) == job.units:
            changes["attempt"] = run.attempt  # nothing was done: that was no attempt
    if isinstance(error, PermanentError) or changes["crashes"] >= MOST_CRASHES:
        failed = job.with_changes(now, **changes)
        return _fail_crashed_job(services.rules, tx, failed, error, now)
    if job.ending is not None:
        store_job(tx, job.with_changes(now, crashes=job.crashes + 1, wake_at=now + wait))
        return None
    crashed = _put_off_crashed_job(services, job.with_changes(now, **changes), now, wait)
    store_job(tx, crashed)
    return crashed


def _put_off_crashed_job(services: Services, job: Job, now: datetime, wait: timedelta) -> Job:
    """The job as it is tried again after `wait`."""
    changes: JobChanges = {
        # A write of the crashed run that is still under way must not succeed later.
        "fence": job.fence + 1,
        "delivery": job.delivery + 1,
        "wake_at": job.next_wake_at(now + wait + services.rules.rescue_after),
    }
    if job.status in _WAITING:
        changes["wake_at"] = job.next_wake_at(now + wait)
    else:
        changes["next_attempt_at"] = now + wait
    if job.status is Status.PROCESSING:
        return job.enter_status(Status.RETRYING, now, **changes)
    return job.with_changes(now, **changes)


def _fail_crashed_job(
    rules: Rules, tx: Transaction, job: Job, error: Exception, now: datetime
) -> Job:
    shown = _describe_crash(job, error)
    if job.ending is None:
        ending = Ending(status=Status.FAILED, error=shown)
        return stop_job(rules, tx, job, ending, now)
    # Its child jobs cannot be ended: it is settled with what its checks have counted.
    spent = sum(run.spent for run in job.steps.values())
    return finish_job(rules, tx, job, job.ending.status, now, error=shown, spent=spent)


def _is_taken_over(job: Job, run: CrashedRun | None, now: datetime) -> bool:
    """True when another run, a cancellation or a deadline has the job by now."""
    if run is not None:
        return job.fence != run.fence
    return job.lease_until is not None and job.lease_until > now


def _note_crash(job: Job, error: Exception, now: datetime) -> FailedCall:
    """The crash for the job's record: administrators see the exception, its user that it was."""
    shown = _describe_crash(job, error)
    attempt = FailedAttempt(
        at=now,
        attempt=job.attempt,
        code=shown.code,
        category=Category.TEMPORARY,
        message="The service failed at this job.",
    )
    return FailedCall(attempt, repr(error))


def _describe_crash(job: Job, error: Exception) -> JobError:
    """The error as users see it; of an unexpected one only that it happened."""
    if job.maybe_bought:
        code, message = AMBIGUOUS, UNSURE
    elif isinstance(error, TaskreelError) and not isinstance(error, StoreError):
        code, message = error.code, error.message
    else:
        code, message = "internal_error", f"The service failed {job.crashes} times at this job."
    return JobError(code=code, category=Category.PERMANENT, message=message)


async def _postpone_unreadable(services: Services, tx: Transaction, job_id: str) -> None:
    """Move the wake time of a document that cannot be read, so that it stops no sweep."""
    document = await tx.get(_UNDECODED_JOBS, job_id)
    if document is not None and document.get("wakeAt") is not None:
        tx.update(_UNDECODED_JOBS, job_id, {"wakeAt": services.clock.now() + _UNREADABLE_WAIT})
