"""A pipeline's jobs: made, found, counted, and cancelled with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from taskreel.app.jobs.enqueue import send
from taskreel.app.jobs.job_store import decode_job
from taskreel.app.pricing.job_plan import plan_units
from taskreel.app.services import WAKE_SHARDS, Services
from taskreel.domain.claim import next_wake_at
from taskreel.domain.errors import PermanentError
from taskreel.domain.ids import child_job_id
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.pipeline import StepRun
from taskreel.domain.validation_messages import invalid_model
from taskreel.jobtypes.job_type import JobType, Submission
from taskreel.ports import MOST_IN, Operator, Query, Transaction

FAILED = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
_AT_ONCE = 100


async def of_step(services: Services, parent: Job, step: str) -> list[Job]:
    """The step's jobs in order: at each place this round's, or else what was completed before, the newest first.

    Those of the jobs that this pipeline replays count too, except in the steps that it does again.
    """
    parents = [parent.job_id] if step in parent.redo else [parent.job_id, *parent.lineage]
    found: dict[int, Job] = {}
    for start in range(0, len(parents), MOST_IN):
        some = parents[start : start + MOST_IN]
        query = Query(collection="jobs", where=(("parentId", "in", some), ("step", "==", step)))
        for row in await services.store.query(query):
            job = decode_job(row)
            before = found.get(job.index)
            if before is None or _rank(job, parents, parent) > _rank(before, parents, parent):
                found[job.index] = job
    return [found[index] for index in sorted(found)]


def of_this_round(job: Job, parent: Job) -> bool:
    """Whether the pipeline has made the job since it was last begun."""
    return job.parent_id == parent.job_id and job.parent_round == parent.round


def _rank(job: Job, parents: list[str], parent: Job) -> tuple[bool, bool, int, int]:
    distance = parents.index(job.parent_id or "")
    return (
        of_this_round(job, parent),
        job.status is Status.COMPLETED,
        -distance,
        job.parent_round or 0,
    )


async def count(services: Services, parent: Job, step: str, run: StepRun) -> tuple[int, int]:
    """How many of the step's jobs have ended, and how many of these failed; no document is read."""
    mine: tuple[tuple[str, Operator, Any], ...] = (
        ("parentId", "==", parent.job_id),
        ("step", "==", step),
        ("parentRound", "==", parent.round),
    )
    failed = await services.store.aggregate(
        Query(
            collection="jobs", where=(*mine, ("status", "in", [str(status) for status in FAILED]))
        )
    )
    # After the failed ones: what ends in between is missed until the next look, and nothing is counted twice.
    completed = await services.store.aggregate(
        Query(collection="jobs", where=(*mine, ("status", "==", str(Status.COMPLETED))))
    )
    return run.adopted + int(failed["count"]) + int(completed["count"]), int(failed["count"])


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its pipeline a job belongs, and the jobs that it replays there, the newest first."""

    step: str
    index: int
    lineage: tuple[str, ...] = ()


async def child(
    services: Services,
    parent: Job,
    place: Place,
    job_type: JobType[Any],
    submission: Submission,
    most_usd: float | None,
) -> Job:
    """One job of a step. It holds no credits, for the pipeline has; of `most_usd` it may take what it is reckoned at.

    Raises InvalidError when nobody can do it, or nobody for so much.
    """
    now = services.clock.now()
    if most_usd is not None:
        submission = _capped(submission, most_usd)
    plan = await plan_units(services, job_type, submission)
    if most_usd is not None and plan.units:
        submission = _capped(submission, round(plan.usd or 0.0, 6))
    job = Job(
        job_id=child_job_id(parent.job_id, parent.round, place.step, place.index),
        job_type=job_type.name,
        status=Status.QUEUED,
        priority=parent.priority,
        user_id=parent.user_id,
        project_id=parent.project_id,
        payload=submission.payload(),
        created_at=now,
        updated_at=now,
        status_at={Status.QUEUED: now},
        retry=job_type.retry,
        next_attempt_at=plan.not_before,
        served_by=plan.served_by,
        units=plan.units,
        wake_shard=services.random.randrange(WAKE_SHARDS),
        finish_by=parent.finish_by,
        parent_id=parent.job_id,
        parent_lane=parent.lane,
        parent_round=parent.round,
        step=place.step,
        index=place.index,
        lineage=place.lineage,
    )
    return job.with_changes(
        now, wake_at=next_wake_at(job, (plan.not_before or now) + services.rules.rescue_after)
    )


def _capped(submission: Submission, usd: float) -> Submission:
    own = submission.max_usd
    return submission.model_copy(update={"max_usd": usd if own is None else min(own, usd)})


def validated(payload: Any, job_type: JobType[Any], step: str) -> Submission:
    """The step's payload, now that everything in it is known."""
    try:
        submission: Submission = job_type.submission.model_validate(payload)
    except ValidationError as error:
        wrong = invalid_model(error, job_type.submission).message
        raise PermanentError(
            f"Step {step}: its payload is not a valid {job_type.name} request: {wrong}",
            code="bad_payload",
        ) from None
    if submission.depends_on:
        raise PermanentError(
            f"Step {step}: a step waits for others by `after`, not by dependsOn.",
            code="bad_payload",
        )
    return submission


async def create(services: Services, jobs: Sequence[Job]) -> None:
    """Store the jobs that are not there yet, a hundred a commit, and put them on their lanes."""

    async def store(tx: Transaction, some: Sequence[Job]) -> None:
        there = [await tx.get("jobs", job.job_id) for job in some]
        for job, document in zip(some, there, strict=True):
            if document is None:
                tx.create("jobs", job.job_id, job.document())

    for start in range(0, len(jobs), _AT_ONCE):
        some = jobs[start : start + _AT_ONCE]
        await services.store.transaction(lambda tx, some=some: store(tx, some))  # type: ignore[misc]  # bound now
    await send(services, *jobs)
