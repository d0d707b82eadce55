"""The history of jobs: the changes of status that each job's document has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from taskreel.app.caller import Caller
from taskreel.app.jobs.job_lists import Filters, list_jobs
from taskreel.app.jobs.queries import Page
from taskreel.app.query_pages import read_values
from taskreel.app.services import Services
from taskreel.domain.errors import ForbiddenError
from taskreel.domain.job import Job
from taskreel.domain.job_history import StatusChange
from taskreel.domain.run_answers import ProviderAnswer
from taskreel.ports import Query
from taskreel.store_collections import RUN_ANSWERS

_PAGE = 100
#: The answers of so many runs are read.
_MOST_RUNS = 50


def list_changes(job: Job) -> Sequence[StatusChange]:
    """The job's changes of status, in order.

    A job of an earlier release has no history: then the times of entry into each status.
    """
    if job.history:
        return job.history
    entered = sorted(job.status_at.items(), key=lambda one: one[1])
    return tuple(StatusChange(status=status, at=at) for status, at in entered)


async def load_answers(services: Services, job_id: str) -> Sequence[ProviderAnswer]:
    """The providers' own answers to the job's failed calls: for administrators alone."""
    query = Query(collection=RUN_ANSWERS, where=(("jobId", "==", job_id),), limit=_MOST_RUNS)
    rows = await services.store.query(query)
    return [answer for run in read_values(rows) for answer in run.answers]


async def list_user_jobs(
    services: Services, caller: Caller, filters: Filters, *, limit: int, cursor: str | None
) -> Page[Job]:
    """A page of a user's jobs. Raises ForbiddenError for another user's, unless an admin asks."""
    if filters.user_id != caller.user_id and not caller.admin:
        raise ForbiddenError(
            f"userId is {filters.user_id!r}, and your token is for {caller.user_id!r}. "
            "Only an admin may read the history of other users."
        )
    return await list_jobs(services, caller, filters, limit=limit, cursor=cursor)


async def stream_user_jobs(
    services: Services, caller: Caller, filters: Filters, first: Page[Job]
) -> AsyncIterator[Job]:
    """All of a user's jobs from the page on, which is read already; one page is in memory."""
    page = first
    while True:
        for job in page.rows:
            yield job
        if page.cursor is None:
            return
        page = await list_user_jobs(services, caller, filters, limit=_PAGE, cursor=page.cursor)
