"""The child jobs of a pipeline: built, stored, found again, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import field
from msgspec.structs import replace
from pydantic import ValidationError

from taskreel.app.flow.slots import place_child_jobs, reserve_room
from taskreel.app.jobs.done_work import find_done_units
from taskreel.app.jobs.enqueue import admit_next, enqueue_jobs
from taskreel.app.jobs.finish_pipeline import (
    FAILED_STATUSES,
    find_jobs_of_step,
    is_of_this_round,
)
from taskreel.app.jobs.job_store import (
    MAX_PAYLOAD_BYTES,
    is_larger,
    load_job,
    measure_bytes,
    require_lease,
    store_job,
)
from taskreel.app.jobs.new_job import ChildPlace, NewJob, build_job
from taskreel.app.jobs.removal_marks import take_from_original
from taskreel.app.pricing.job_plan import plan_units
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError, PermanentError
from taskreel.domain.ids import child_job_id
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.domain.step_run import StepRun, StepState
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.domain.validation_messages import invalid_model
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import STORED, Submission
from taskreel.ports import Operator, Query, Transaction
from taskreel.store_collections import JOBS

_JOBS_PER_COMMIT = 100
#: Requests are served after so many child jobs at the latest.
_JOBS_A_TURN = 20
#: Firestore takes 10 MiB in one commit.
_BYTES_PER_COMMIT = 6_000_000


async def find_child_jobs(services: Services, parent: Job, step: str) -> list[Job]:
    """The child jobs of a step, in order: one at each place.

    Each is this round's, or else the newest that was completed before. Those of the jobs that this
    pipeline replays are found too, except in the steps that it does again.
    """
    found: dict[int, Job] = {}
    for job in await find_jobs_of_step(services, parent, step):
        other = found.get(job.index)
        if other is None or _rank_job(job, parent) > _rank_job(other, parent):
            found[job.index] = job
    return [found[index] for index in sorted(found)]


def _rank_job(job: Job, parent: Job) -> tuple[bool, bool, int, int]:
    """The order of jobs at the same place; the greatest is the one that counts."""
    distance = (parent.job_id, *parent.lineage).index(job.parent_id or "")
    return (
        is_of_this_round(job, parent),
        job.status is Status.COMPLETED,
        -distance,
        job.parent_round or 0,
    )


async def count_ended_jobs(
    services: Services, parent: Job, step: str, run: StepRun
) -> tuple[int, int]:
    """The number of the step's child jobs that have ended, and of those that failed.

    Two aggregations: no document is read.
    """
    of_step: tuple[tuple[str, Operator, Any], ...] = (
        ("parentId", "==", parent.job_id),
        ("step", "==", step),
        ("parentRound", "==", parent.round),
    )
    failed_statuses = [str(status) for status in FAILED_STATUSES]
    failed = await services.store.aggregate(
        Query(collection=JOBS, where=(*of_step, ("status", "in", failed_statuses)))
    )
    # After the failed ones: a job that ends in between is missed until the next check, and none is
    # counted twice.
    completed = await services.store.aggregate(
        Query(collection=JOBS, where=(*of_step, ("status", "==", str(Status.COMPLETED))))
    )
    failures = int(failed["count"])
    return run.adopted + failures + int(completed["count"]), failures


async def has_counted_ends(services: Services, pipeline: Job) -> bool:
    """True if the pipeline waits for child jobs, and its last check has counted all ended ones."""
    running = [
        (name, run) for name, run in pipeline.steps.items() if run.state is StepState.RUNNING
    ]
    for name, run in running:
        if await count_ended_jobs(services, pipeline, name, run) != (run.ended, run.failed):
            return False
    return bool(running)


async def give_turn(done: int) -> None:
    """Let other tasks run now and then: a fan-out of a thousand jobs takes a second in all."""
    if done % _JOBS_A_TURN == 0:
        await asyncio.sleep(0)


class StepPlace(Record):
    """The place of a child job: step, index, and the jobs that it replays, the newest first.

    `done_units` are taken over from the newest of those, by their place in the job.
    """

    step: str
    index: int
    lineage: tuple[str, ...] = ()
    done_units: Mapping[int, UnitRun] = field(default_factory=dict)
    #: By which later steps find the job's result; None unless its request asks for the cache, and
    #: None for a job that takes over work, whose age it does not know.
    cache_key: str | None = None
    #: True when a repeated check finds the job stored.
    is_stored: bool = False


def place_child_job(
    parent: Job,
    place: StepPlace,
    job_type: JobType[Any],
    submission: Submission,
    former: Job | None,
) -> StepPlace:
    """The place with what its new job takes over from `former`, the job that had it before.

    By its lineage an inner pipeline adopts the child jobs that `former` had completed, and any
    other job gets the units that were done: `former` has paid for them.
    """
    if former is None:
        return place
    if is_of_this_round(former, parent):
        # A check that is repeated: the job is stored, with the units that it took over.
        done = {index: unit for index, unit in enumerate(former.units) if _is_taken_over(unit)}
        return replace(place, lineage=former.lineage, done_units=done, is_stored=True)
    done = find_done_units(job_type, submission, former)
    return replace(place, lineage=(former.job_id, *former.lineage), done_units=done)


def _is_taken_over(unit: UnitRun) -> bool:
    return unit.state is UnitState.DONE and unit.credits == 0


async def build_child_job(
    services: Services,
    parent: Job,
    place: StepPlace,
    job_type: JobType[Any],
    submission: Submission,
    most_usd: float | None,
) -> Job:
    """Build one child job, not yet stored. It holds no credits: its pipeline does.

    Of `most_usd` US dollars it may take its estimated cost. Raises InvalidError when no provider
    can do the work, or none for that price.
    """
    if most_usd is not None:
        submission = _cap_price(submission, most_usd)
    plan = await plan_units(services, job_type, submission)
    units = tuple(place.done_units.get(index, unit) for index, unit in enumerate(plan.units))
    plan = replace(plan, units=units)
    if most_usd is not None and plan.units:
        submission = _cap_price(submission, round(plan.usd or 0.0, 6))
    new = NewJob(
        # A fixed id: a check that is repeated creates no second job for the same place.
        job_id=child_job_id(parent.job_id, parent.round, place.step, place.index),
        job_type=job_type,
        submission=submission,
        payload=submission.payload(),
        user_id=parent.user_id,
        project_id=parent.project_id,
        priority=parent.priority,
        retry=job_type.retry,
        place=ChildPlace(parent=parent, step=place.step, index=place.index),
        lineage=place.lineage,
        cache_key=place.cache_key,
    )
    return build_job(services, new, plan)


def _cap_price(submission: Submission, usd: float) -> Submission:
    own = submission.max_usd
    return submission.model_copy(update={"max_usd": usd if own is None else min(own, usd)})


def read_step_payload(payload: Any, job_type: JobType[Any], step: str) -> Submission:
    """Validate the filled-in payload of a step.

    Raises PermanentError (bad_payload, payload_too_large).
    """
    if is_larger(payload, MAX_PAYLOAD_BYTES):
        raise PermanentError(
            f"Step {step}: its payload takes more than {MAX_PAYLOAD_BYTES:,} bytes once filled in, "
            "or would encrypted.",
            code="payload_too_large",
        )
    try:
        # As strict as a request: only registered options may be missing since it was submitted.
        submission: Submission = job_type.submission.model_validate(payload, context=STORED)
    except ValidationError as error:
        wrong = invalid_model(error, job_type.submission).message
        raise PermanentError(
            f"Step {step}: its payload is not a valid {job_type.name} request: {wrong}",
            code="bad_payload",
        ) from None
    if submission.depends_on:
        raise PermanentError(
            f"Step {step}: dependsOn is not allowed in a step; use `after` to wait for others.",
            code="bad_payload",
        )
    return submission


class WorkRemovedError(Exception):
    """The work that a child job was to take over has been removed since it was found."""


async def create_child_jobs(services: Services, parent: Job, jobs: Sequence[Job]) -> None:
    """Store the jobs that do not exist yet, several a commit, and enqueue them all.

    Raises LeaseLostError when the pipeline has ended, or another run has it, and WorkRemovedError,
    with some of them stored or none.
    """
    for some in _split_commits(jobs):
        async with AsyncExitStack() as stack:
            rooms = [await stack.enter_async_context(reserve_room(services, job)) for job in some]
            placed = place_child_jobs(services, some, rooms)
            await services.store.transaction(partial(_create_missing, services, parent, placed))
        ready = [job for job in placed if job.status is not Status.THROTTLED]
        await enqueue_jobs(services, *ready)
        if len(ready) < len(placed):
            await admit_next(services, next(job for job in placed if job not in ready))
        if len(some) == _JOBS_PER_COMMIT:
            await asyncio.sleep(0)  # a step of a thousand jobs must not block the event loop


def _split_commits(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Yield the jobs in groups, each within what the store takes in one commit."""
    some: list[Job] = []
    size = 0
    for job in jobs:
        job_bytes = measure_bytes(job.payload)
        if some and (len(some) == _JOBS_PER_COMMIT or size + job_bytes > _BYTES_PER_COMMIT):
            yield some
            some, size = [], 0
        some.append(job)
        size += job_bytes
    if some:
        yield some


async def _create_missing(
    services: Services, parent: Job, jobs: Sequence[Job], tx: Transaction
) -> None:
    # The parent is written too: no job may be added to a pipeline that ends at the same time, for
    # nothing would end it or pay for it.
    stored = await require_lease(tx, parent)
    now = services.clock.now()
    lease_until = now + services.rules.lease
    wake_at = stored.next_wake_at(lease_until)
    store_job(tx, stored.with_changes(now, lease_until=lease_until, wake_at=wake_at))

    missing = [job for job in jobs if await load_job(tx, job.job_id) is None]
    for job in missing:
        tx.create(JOBS, job.job_id, job)
    # A write of each job whose work a cached step takes over: a removal that has seen it before is
    # refused (`jobs.remove`). A read alone is not part of what a commit is checked against.
    sources = {job.lineage[0] for job in missing if job.lineage and "cacheSeconds" in job.payload}
    for source in sorted(sources):
        await _take_over(tx, source, now)


async def _take_over(tx: Transaction, source: str, now: datetime) -> None:
    try:
        await take_from_original(tx, source, now)
    except NotFoundError as error:
        raise WorkRemovedError from error
