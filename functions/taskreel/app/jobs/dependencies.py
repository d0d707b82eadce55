"""Dependencies between jobs: checks at submit, and unblocking when the other jobs have ended.

A job that others wait for carries their ids, written when they are submitted: a job without any
pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from taskreel.app.caller import Caller
from taskreel.app.credits.balances import open_job_account
from taskreel.app.flow.slots import Room, place_job, reserve_room
from taskreel.app.jobs.enqueue import admit_next, enqueue_jobs
from taskreel.app.jobs.finish_job import finish_job
from taskreel.app.jobs.job_store import MAX_PAYLOAD_BYTES, is_larger, load_job, store_job
from taskreel.app.jobs.new_job import unblock_job
from taskreel.app.jobs.results import view_step
from taskreel.app.pricing.credit_cost import compute_credits
from taskreel.app.pricing.job_plan import plan_job
from taskreel.app.services import Services
from taskreel.domain.errors import (
    Category,
    InvalidError,
    PermanentError,
    StoreError,
    TaskreelError,
    UnknownJobTypeError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_status import Status
from taskreel.domain.template import (
    fill_template,
    find_job_references,
    find_references,
    parse_expression,
    quote_expression,
)
from taskreel.domain.validation_messages import invalid_model
from taskreel.domain.value import format_path
from taskreel.jobtypes import find_job_type
from taskreel.jobtypes.fields import Dependency
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import DeferredSubmission, Submission
from taskreel.ports import Store, Transaction
from taskreel.store_collections import ACCOUNTS

#: Waiters that a job's document carries; the sweep unblocks those beyond.
_MOST_WAITERS = 200

#: The time after the deadlines of the jobs that it waits for, in which a job must be unblocked.
_LONGEST_UNBLOCKING = timedelta(days=1)

#: A dependency, and its job as it is now; None when that has been removed.
_Dependency = tuple[Dependency, Job | None]


def refers_to_jobs(payload: Mapping[str, Any]) -> bool:
    """True when a payload refers to jobs that it depends on.

    Its own fields cannot be checked before those have ended.
    """
    depends = payload.get("dependsOn") or payload.get("depends_on")
    return bool(depends) and next(find_job_references(payload), None) is not None


def read_submission(job_type: JobType[Any], payload: Mapping[str, Any]) -> Submission:
    """The request in a payload; deferred when it refers to other jobs. Raises ValidationError."""
    model = DeferredSubmission if refers_to_jobs(payload) else job_type.submission
    submission: Submission = model.model_validate(payload)
    return submission


async def load_dependencies(
    reader: Store | Transaction, user_id: str, submission: Submission
) -> list[Job]:
    """Read the jobs that a submission depends on, in order.

    Raises InvalidError for one that is not the user's.
    """
    found: list[Job] = []
    for place, one in enumerate(submission.depends_on):
        job = await load_job(reader, one.job_id)
        if job is None or job.user_id != user_id:
            raise InvalidError.at(
                f"dependsOn[{place}].jobId", f"there is no job {one.job_id} of yours"
            )
        found.append(job)
    return found


def check_references(submission: Submission, payload: Mapping[str, Any]) -> None:
    """Raise InvalidError for a reference to a job that could never be filled in."""
    named = {one.job_id for one in submission.depends_on}
    for at, job_id in find_job_references(payload):
        if job_id not in named:
            raise InvalidError.at(
                "dependsOn", f"{format_path(at)} refers to job {job_id}: name it in dependsOn"
            )
    if not named:
        return
    for at, text in find_references(payload):
        fault = _find_fault(text) if "jobs" in text else None
        if fault is not None:
            raise InvalidError.at(format_path(at), f"{quote_expression(text)} {fault}")


def _find_fault(text: str) -> str | None:
    """The reason why an expression about jobs could never be filled in; None when it can."""
    try:
        members = {root[:1] for root in parse_expression(text).roots}
    except ValueError as error:
        return f"is not an expression: {error}" if text.startswith("jobs.") else None
    if ("jobs",) in members and len(members) > 1:
        return "mixes jobs.* with values that are not available yet: use one of them"
    return None


async def register_waiter(tx: Transaction, job: Job) -> Job:
    """Write the id of a blocked job into the unfinished jobs that it depends on.

    Returns the job, which without a deadline of its own may wait a day longer than they may take.
    """
    deadlines = [job.created_at]
    for one in await load_dependencies(tx, job.user_id, _read_waiting(job)):
        if one.finish_by is not None:
            deadlines.append(one.finish_by)
        if not one.status.final and len(one.waiters) < _MOST_WAITERS:
            waiters = (*one.waiters, job.job_id)
            store_job(tx, one.with_changes(one.updated_at, waiters=waiters))
    if job.finish_by is not None:
        return job
    waiting = job.with_changes(job.updated_at, finish_by=max(deadlines) + _LONGEST_UNBLOCKING)
    return waiting.with_changes(job.updated_at, wake_at=waiting.next_wake_at(_wake_at(job)))


def _wake_at(job: Job) -> datetime:
    return job.wake_at or job.created_at


async def unblock_if_ready(services: Services, job_id: str) -> Job | None:
    """Let a blocked job run when the jobs that it depends on allow it; else do nothing.

    Returns the job as it is then, None when there is none. A job that can never run is failed, and
    then those that wait for it are checked in turn. Safe to repeat.
    """
    waiting = [job_id]
    jobs: list[Job | None] = []
    # A list and no recursion: a chain of jobs may be longer than the stack.
    while waiting:
        job = await _unblock_job(services, waiting, waiting.pop())
        jobs.append(job)
    return jobs[0]


async def _unblock_job(services: Services, waiting: list[str], job_id: str) -> Job | None:
    """Unblock or fail one job; the waiters of one that failed are added to `waiting`."""
    job = await load_job(services.store, job_id)
    if job is None or job.status is not Status.BLOCKED:
        return job
    wanted = _read_waiting(job).depends_on
    others = [(one, await load_job(services.store, one.job_id)) for one in wanted]
    try:
        if not _is_ready(others):
            return job
        ready = await _prepare_job(services, job, others)
    except StoreError:
        raise
    except UnknownJobTypeError as error:
        # While a release is rolled out the type may come yet.
        crashed = await _record_crash(services, job, error)
        waiting += crashed.waiters if crashed.status.final else ()
        return crashed
    except (TaskreelError, ValidationError) as error:
        failed = await _fail_blocked_job(services, job, error)
        waiting += failed.waiters
        return failed
    except Exception as error:  # noqa: BLE001 - it is counted and logged
        # The job is stored, and has its hold: it is tried again by the sweep, and then failed.
        crashed = await _record_crash(services, job, error)
        waiting += crashed.waiters if crashed.status.final else ()
        return crashed
    async with reserve_room(services, ready) as room:
        job = await services.store.transaction(
            lambda tx: _store_unblocked(services, tx, ready, room)
        )
    if job.status is Status.THROTTLED:
        await admit_next(services, job)
    elif not job.status.final:
        await enqueue_jobs(services, job)
    return job


def _is_ready(others: Sequence[_Dependency]) -> bool:
    """True when no job has to be waited for.

    Raises PermanentError when one failed whose failure fails the waiting job.
    """
    failed = [one for one, other in others if other is None or _has_failed(other)]
    for one in failed:
        if one.on_failure == "fail":
            raise PermanentError(
                f"Job {one.job_id}, which this one depends on, failed.", code="dependency_failed"
            )
    unfinished = any(other is not None and not other.status.final for _, other in others)
    return not unfinished or any(one.on_failure == "continue" for one in failed)


async def _prepare_job(services: Services, job: Job, others: Sequence[_Dependency]) -> Job:
    """Fill in the payload of a blocked job and plan it.

    Raises PermanentError, InvalidError or ValidationError when the job cannot run.
    """
    jobs = {other.job_id: view_step([other]) for _, other in others if other is not None}
    payload = fill_template(job.payload, {"jobs": jobs}, only={"jobs"})
    if is_larger(payload, MAX_PAYLOAD_BYTES):
        message = (
            f"The payload takes more than {MAX_PAYLOAD_BYTES:,} bytes once filled in, or would "
            "encrypted."
        )
        raise PermanentError(message, code="payload_too_large")
    job_type = find_job_type(job.job_type)
    submission: Submission = job_type.submission.model_validate(payload)

    plan = await plan_job(services, job_type, submission)
    needed = compute_credits(job_type, submission)
    if any(call.length_price is not None for call in plan.calls):
        from taskreel.app.jobs.input_length import price_own_files  # of few jobs: cold start

        # As at the submission, which may have held no more than the price of these very files.
        plan = await price_own_files(services, Caller(user_id=job.user_id), plan)
        needed = sum(plan.unit_credits)
    # The hold was computed before the payload was known, and is not raised behind the user's back.
    if needed > job.credits.held:
        message = (
            f"It would cost {needed} credits now that its payload is known, "
            f"and {job.credits.held} are held."
        )
        raise PermanentError(message, code="budget_exceeded")
    return unblock_job(services, job, submission, payload, plan, job_type.deadline)


async def _store_unblocked(services: Services, tx: Transaction, ready: Job, room: Room) -> Job:
    """Store the unblocked job, unless it was unblocked, cancelled or ended meanwhile."""
    job = await load_job(tx, ready.job_id)
    if job is None or job.status is not Status.BLOCKED:
        return job or ready
    # Others may have registered as waiters since `ready` was read.
    ready = ready.with_changes(ready.updated_at, waiters=job.waiters)
    if services.rules.limits is not None and ready.status is Status.QUEUED:
        account, ready = await open_job_account(services, tx, ready)
        account, ready = place_job(services, account, ready, room, services.clock.now())
        tx.set(ACCOUNTS, account.document_id, account)
    store_job(tx, ready)
    return ready


async def _record_crash(services: Services, job: Job, error: Exception) -> Job:
    from taskreel.app.jobs.crashes import record_crash  # of few jobs: cold start

    return await record_crash(services, job.job_id, error) or job


async def _fail_blocked_job(
    services: Services, job: Job, error: TaskreelError | ValidationError
) -> Job:
    """Fail a blocked job that cannot run."""
    if isinstance(error, TaskreelError):
        code, text = error.code, error.message
    else:
        wrong = invalid_model(error, find_job_type(job.job_type).submission)
        code, text = "bad_payload", f"The payload is invalid once filled in: {wrong.message}"
    shown = JobError(code=code, category=Category.PERMANENT, message=text)

    async def write(tx: Transaction) -> Job:
        blocked = await load_job(tx, job.job_id)
        if blocked is None or blocked.status is not Status.BLOCKED:
            return blocked or job
        now = services.clock.now()
        return finish_job(services.rules, tx, blocked, Status.FAILED, now, error=shown)

    return await services.store.transaction(write)


def _has_failed(job: Job) -> bool:
    return job.status.final and job.status is not Status.COMPLETED


def _read_waiting(job: Job) -> DeferredSubmission:
    return DeferredSubmission.model_validate(job.payload)
