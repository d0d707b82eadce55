"""Earlier work that a job shows: its documents and files are retained as long as the job.

A replay, a retry and a pipeline that adopts child jobs show files of jobs that ended earlier. The
bucket and the store would remove those by their own age.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from taskreel.app.jobs.finish_pipeline import find_jobs_of_step, is_of_this_round
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.services import Services
from taskreel.domain.errors import StoreError
from taskreel.domain.job import Job
from taskreel.ports import Query, Transaction
from taskreel.store_collections import JOBS

log = logging.getLogger(__name__)

_CALLS_AT_ONCE = 16
_JOBS_PER_COMMIT = 100
_RENEWED_WITHIN = timedelta(hours=6)
#: A pipeline without a deadline ends within it: its own retention begins only then.
_LONGEST_RUN = timedelta(days=1)


async def renew_earlier_files(services: Services, job: Job) -> None:
    """Let the files that the ended job took over, or made in an earlier round, live from now on.

    Those are of units that cost nothing in this round. Where the bucket does not renew them, the
    sweep has the job delivered again, for some hours.
    """
    units = [unit for unit in job.done_units if unit.credits == 0]
    files = [file.path for unit in units for file in unit.artifacts]
    is_renewed = await _renew_files(services, job, files)
    if not is_renewed and services.clock.now() < job.status_at[job.status] + _RENEWED_WITHIN:
        return

    async def write(tx: Transaction) -> None:
        ended = await load_job(tx, job.job_id)
        # A retry may have opened another round; an operation, or a removal, needs its wake time.
        if ended is None or not ended.is_over or ended.is_being_removed:
            return
        if ended.wake_at is not None:
            store_job(tx, ended.with_changes(services.clock.now(), wake_at=None))

    await services.store.transaction(write)


async def retain_adopted_jobs(services: Services, pipeline: Job, adopted: Sequence[Job]) -> None:
    """Let the adopted child jobs, and those below them, live as long as the pipeline.

    Raises StoreError when their documents could not be changed: the check is repeated.
    """
    jobs = await _add_jobs_below(services, adopted)
    until = _find_latest_expiry(services, pipeline, services.clock.now())
    await _store_retention(services, jobs, lambda expire_at: max(expire_at, until))
    paths = [file.path for job in jobs for file in job.artifacts]
    await _renew_files(services, pipeline, paths)


async def end_retention_of_steps(services: Services, pipeline: Job) -> None:
    """Let the child jobs of a pipeline live no longer than it does, now it has ended.

    Its end was not known when it adopted some, nor when others ended, which live until its deadline
    at least. One that another pipeline has adopted since, which may end later, lives on.
    """
    expire_at, end = pipeline.expire_at, pipeline.updated_at
    if expire_at is None:
        return
    # Of few: a deadline is nearly always before the end of the retention.
    is_late = pipeline.finish_by is not None and pipeline.finish_by > expire_at
    found: list[Job] = []
    for name, run in pipeline.steps.items():
        if run.adopted or is_late:
            jobs = await find_jobs_of_step(services, pipeline, name)
            found += [job for job in jobs if is_late or not is_of_this_round(job, pipeline)]
    latest = _find_latest_expiry(services, pipeline, end)
    await _store_retention(
        services,
        await _add_jobs_below(services, found),
        lambda stored: expire_at if expire_at < stored <= latest else stored,
    )


def _find_latest_expiry(services: Services, pipeline: Job, now: datetime) -> datetime:
    """The latest time at which the pipeline may be removed, seen from `now`, before its end."""
    longest_end = max(now + _LONGEST_RUN, pipeline.finish_by or now)
    return longest_end + services.rules.retention.of(pipeline)


async def _add_jobs_below(services: Services, jobs: Sequence[Job]) -> list[Job]:
    """The jobs, and those that the pipelines among them show."""
    found = list(jobs)
    for job in found:
        if job.steps:
            found += await _find_shown_children(services, job)  # the loop comes to them too
    return found


async def _find_shown_children(services: Services, pipeline: Job) -> list[Job]:
    """The child jobs of an inner pipeline; and of those that it replays, if it adopted some."""
    adopts = any(run.adopted for run in pipeline.steps.values())
    parents = [pipeline.job_id, *(pipeline.lineage if adopts else ())]
    found: list[Job] = []
    for parent_id in parents:
        query = Query(collection=JOBS, where=(("parentId", "==", parent_id),))
        found += [row.value for row in await services.store.query(query)]
    return found


async def _store_retention(
    services: Services, jobs: Sequence[Job], move: Callable[[datetime], datetime]
) -> None:
    """Move the time from which on each of the jobs may be removed."""
    ids = [job.job_id for job in jobs if job.expire_at and move(job.expire_at) != job.expire_at]
    for start in range(0, len(ids), _JOBS_PER_COMMIT):
        some = ids[start : start + _JOBS_PER_COMMIT]
        await services.store.transaction(partial(_move_expiry, ids=some, move=move))


async def _move_expiry(
    tx: Transaction, ids: Sequence[str], move: Callable[[datetime], datetime]
) -> None:
    for job_id in ids:
        job = await load_job(tx, job_id)
        # A retry may have opened another round meanwhile, whose end sets it again.
        if job is None or job.expire_at is None:
            continue
        moved = move(job.expire_at)
        if moved != job.expire_at:
            tx.update(JOBS, job_id, {"expireAt": moved})


async def _renew_files(services: Services, job: Job, paths: Sequence[str]) -> bool:
    """Renew the files, many at once. A failure is logged: the job is not worse for it today."""
    paths, now = list(dict.fromkeys(paths)), services.clock.now()
    at = services.rules.retention.count_age_from(job, now) or now
    groups = [paths[first::_CALLS_AT_ONCE] for first in range(min(_CALLS_AT_ONCE, len(paths)))]
    calls = (services.blobs.renew(group, at) for group in groups)
    failures = [
        one
        for one in await asyncio.gather(*calls, return_exceptions=True)
        if isinstance(one, BaseException)
    ]
    for failure in failures:
        if not isinstance(failure, StoreError):
            raise failure
    if failures:
        log.warning(
            "files of earlier jobs could not be renewed and may be removed before this job: %s",
            failures[0],
            extra={"action": "files_not_renewed", "job_id": job.job_id},
        )
    return not failures
