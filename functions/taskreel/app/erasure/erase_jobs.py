"""A person's jobs: cancel those that go on, remove the files of those that are over."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec.structs import replace

from taskreel.app.caller import Caller
from taskreel.app.jobs.cancel import cancel_job
from taskreel.app.jobs.remove import delete_answers
from taskreel.app.query_pages import read_pages, read_values
from taskreel.app.services import Services
from taskreel.domain.artifact import artifacts_folder
from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.ports import Query, Row, Transaction
from taskreel.store_collections import JOBS

_PAGE = 100


async def cancel_jobs(services: Services, caller: Caller, user_id: str) -> None:
    """Cancel every job that goes on; pipelines end their child jobs."""
    async for rows in read_pages(services.store, _query_jobs(user_id)):
        for job in read_values(rows):
            if not job.status.final and not job.has_unknown_state and job.parent_id is None:
                await cancel_job(services, caller, job.job_id, job.job_type)


async def remove_jobs(
    services: Services, user_id: str
) -> AsyncIterator[tuple[list[str], int, int]]:
    """Remove the files of jobs that are over, by pages: their ids, the files, and the other jobs.

    Files go before documents: after a crash a remaining document leads to the rest. A job
    whose work at a provider is being cancelled is left, for its credits are not settled yet.
    """
    async for rows in read_pages(services.store, _query_jobs(user_id)):
        over = [row.id for row in rows if _is_over(row)]
        files = 0
        for job_id in over:
            files += await services.blobs.delete(artifacts_folder(job_id))
        await delete_answers(services, over)
        yield over, files, len(rows) - len(over)


async def is_job_over(tx: Transaction, job_id: str) -> bool:
    """True for a stored job that is over still: its owner may have retried it meanwhile."""
    try:
        job = await tx.get(JOBS, job_id)
    except UnreadableDocumentError:
        return True
    return job is not None and job.is_over


async def has_jobs(services: Services, user_id: str) -> bool:
    """True if a job of the person is stored."""
    return bool(await services.store.query(replace(_query_jobs(user_id), limit=1)))


def _is_over(row: Row[Job]) -> bool:
    """True for an ended job that nothing wakes; and for one that no release can read."""
    try:
        job = row.value
    except UnreadableDocumentError:
        return True
    return job.is_over


def _query_jobs(user_id: str) -> Query[Job]:
    return Query(
        collection=JOBS,
        where=(("userId", "==", user_id),),
        order=(("createdAt", "desc"),),
        limit=_PAGE,
    )
