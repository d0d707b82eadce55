"""Jobs that wait for other jobs: who may be waited for, and what becomes of the waiting one when they end.

A job that is waited for carries the ids of its waiters, written when these are submitted: those without pay nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from taskreel.app.jobs.enqueue import send
from taskreel.app.jobs.finish_job import end
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.results import step_view
from taskreel.app.pricing.credit_cost import compute_credits
from taskreel.app.pricing.job_plan import plan_job
from taskreel.app.providers.selection import served_by_names
from taskreel.app.services import Services
from taskreel.domain.claim import next_wake_at
from taskreel.domain.errors import Category, InvalidError, PermanentError, TaskreelError
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_status import Status
from taskreel.domain.template import job_references, quoted, read, references, resolve
from taskreel.domain.validation_messages import invalid_model
from taskreel.domain.value import format_path
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import Dependency, JobType, Submission, Waiting
from taskreel.ports import Store, Transaction

#: Waiters that a job's document carries; the sweep wakes those beyond.
_MOST_WAITERS = 200


def waits(payload: Mapping[str, Any]) -> bool:
    """Whether it refers to jobs that it depends on: its own fields cannot be checked yet."""
    depends = payload.get("dependsOn") or payload.get("depends_on")
    return bool(depends) and next(job_references(payload), None) is not None


def read_submission(job_type: JobType[Any], payload: Mapping[str, Any]) -> Submission:
    """The request in a payload; Waiting when it refers to other jobs. Raises ValidationError."""
    model = Waiting if waits(payload) else job_type.submission
    submission: Submission = model.model_validate(payload)
    return submission


async def dependencies(
    reader: Store | Transaction, user_id: str, submission: Submission
) -> list[Job]:
    """The jobs that it depends on, in order. InvalidError for one that is not the user's."""
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
    """InvalidError for a reference to a job, in the submission's payload, that could never be filled in."""
    named = {one.job_id for one in submission.depends_on}
    for at, job_id in job_references(payload):
        if job_id not in named:
            raise InvalidError.at(
                "dependsOn", f"{format_path(at)} refers to job {job_id}: name it in dependsOn"
            )
    for at, text in references(payload) if named else ():
        fault = _fault(text) if "jobs" in text else None
        if fault is not None:
            raise InvalidError.at(format_path(at), f"{quoted(text)} {fault}")


def _fault(text: str) -> str | None:
    """Why an expression that speaks of jobs would never be filled in."""
    try:
        members = {root[:1] for root in read(text).roots}
    except ValueError as error:
        return f"is not an expression: {error}" if text.startswith("jobs.") else None
    mixed = ("jobs",) in members and len(members) > 1
    return "speaks of jobs and of what is not known at the same time" if mixed else None


async def mark(tx: Transaction, job: Job) -> None:
    """Have the jobs that `job` depends on tell it when they end."""
    for one in await dependencies(tx, job.user_id, _waiting(job)):
        if not one.status.final and len(one.waiters) < _MOST_WAITERS:
            marked = one.model_copy(update={"waiters": (*one.waiters, job.job_id)})
            tx.set("jobs", one.job_id, marked.document())


async def wake(services: Services, job_id: str) -> Job | None:
    """Look whether a blocked job may go on, and let it; the job as it is then. Safe to repeat."""
    job = await load_job(services.store, job_id)
    if job is None or job.status is not Status.BLOCKED:
        return job
    wanted = _waiting(job).depends_on
    others = [await load_job(services.store, one.job_id) for one in wanted]
    try:
        freed = await _freed(services, job, list(zip(wanted, others, strict=True)))
    except (TaskreelError, ValidationError) as error:
        return await _fail(services, job, error)
    if freed is None:
        return job
    job = await services.store.transaction(lambda tx: _set_free(tx, freed))
    if not job.status.final:
        await send(services, job)
    return job


async def _freed(
    services: Services, job: Job, others: list[tuple[Dependency, Job | None]]
) -> Job | None:
    """The job with its payload filled in, ready to run; None while it has to wait. Raises what it fails of."""
    failed = [one for one, other in others if other is None or _has_failed(other)]
    for one in failed:
        if one.on_failure == "fail":
            raise PermanentError(
                f"Job {one.job_id}, which this one depends on, failed.", code="dependency_failed"
            )
    open_ = any(other is not None and not other.status.final for _, other in others)
    if open_ and not any(one.on_failure == "continue" for one in failed):
        return None
    jobs = {other.job_id: step_view([other]) for _, other in others if other is not None}
    payload = resolve(job.payload, {"jobs": jobs}, only={"jobs"})
    job_type = JOB_TYPES[job.job_type]
    submission: Submission = job_type.submission.model_validate(payload)
    needed = compute_credits(job_type, submission)
    if needed > job.credits.held:
        message = f"It would cost {needed} credits now that its payload is known, and {job.credits.held} are held."
        raise PermanentError(message, code="budget_exceeded")
    plan = await plan_job(services, job_type, submission)
    units, not_before = plan.units, plan.not_before
    now = services.clock.now()
    scheduled = (
        submission.schedule_at if submission.schedule_at and submission.schedule_at > now else None
    )
    start = scheduled or not_before or now
    ready = job.enter_status(
        Status.SCHEDULED if scheduled else Status.QUEUED,
        now,
        payload=payload,
        units=units,
        served_by=served_by_names(units),
        next_attempt_at=scheduled or not_before,
        finish_by=job.finish_by or start + job_type.deadline,
    )
    return ready.with_changes(now, wake_at=next_wake_at(ready, start + services.rules.rescue_after))


async def _set_free(tx: Transaction, freed: Job) -> Job:
    """Write it, unless somebody has set it free, cancelled or ended it meanwhile."""
    job = await load_job(tx, freed.job_id)
    if job is None or job.status is not Status.BLOCKED:
        return job or freed
    freed = freed.model_copy(update={"waiters": job.waiters})
    tx.set("jobs", freed.job_id, freed.document())
    return freed


async def _fail(services: Services, job: Job, error: TaskreelError | ValidationError) -> Job:
    """End a job that cannot run, and wake those that wait for it in turn."""
    if isinstance(error, TaskreelError):
        code, text = error.code, error.message
    else:
        wrong = invalid_model(error, JOB_TYPES[job.job_type].submission)
        code, text = "bad_payload", f"The payload is invalid once filled in: {wrong.message}"
    shown = JobError(code=code, category=Category.PERMANENT, message=text)

    async def write(tx: Transaction) -> Job:
        held = await load_job(tx, job.job_id)
        if held is None or held.status is not Status.BLOCKED:
            return held or job
        return end(tx, held, Status.FAILED, services.clock.now(), error=shown)

    ended = await services.store.transaction(write)
    for waiter in ended.waiters:
        await wake(services, waiter)
    return ended


def _has_failed(job: Job) -> bool:
    return job.status.final and job.status is not Status.COMPLETED


def _waiting(job: Job) -> Waiting:
    return Waiting.model_validate(job.payload)
