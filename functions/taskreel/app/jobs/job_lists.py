"""Lists of jobs: their filters, and the query that each list needs.

Owner, status, type, project, parent and time are filters of the query. No index serves the others,
a provider, a text and a pipeline's own jobs; they are applied to the rows that are read, up to a
number of rows a page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from taskreel.app.caller import Caller
from taskreel.app.jobs.queries import Page, decode_cursor, find_job, query_page
from taskreel.app.services import Services
from taskreel.domain.errors import ForbiddenError, InvalidError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import MOST_IN, Condition, Query
from taskreel.store_collections import JOBS

_JOB_ID = "job_"
#: The fields of a payload that hold what a user wrote.
_TEXTS = ("prompt", "prompts", "text", "input", "content", "title")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Filters of a list of jobs; None, and no status, do not filter."""

    status: tuple[Status, ...] = ()
    job_type: str | None = None
    project_id: str | None = None
    #: The jobs of this pipeline.
    parent_id: str | None = None
    user_id: str | None = None
    provider: str | None = None
    #: A part of the prompt, in upper or lower case.
    text: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    #: Also the jobs that pipelines created.
    include_children: bool = False
    oldest_first: bool = False


async def list_jobs(
    services: Services, caller: Caller, filters: Filters, *, limit: int, cursor: str | None
) -> Page[Job]:
    """The caller's jobs, newest first; an admin sees all users' unless one is named.

    A member of the project that is named sees those of all its members.

    `cursor` is that of the page before, or the id of a job, after which the page begins.
    Raises InvalidError for another one, and ForbiddenError for a user whose jobs the caller may
    not see.
    """
    # A member lists the jobs of all members, if they name the project.
    if filters.project_id is not None:
        from taskreel.app.projects.rights import add_stored_role  # of few requests: cold start

        caller = await add_stored_role(services, caller, filters.project_id)
    sees_all = caller.admin or caller.is_member(filters.project_id)
    if not sees_all and filters.user_id not in (None, caller.user_id):
        raise ForbiddenError(
            "userId: only an admin lists another user's jobs, or a member of the project that "
            "projectId names. Leave userId out for your own."
        )
    owner = filters.user_id if sees_all else caller.user_id
    if filters.oldest_first and owner is None:
        raise InvalidError.at("order", "oldest needs userId: the jobs of one user")
    after = None if cursor is None else await _find_place(services, caller, cursor)
    where, matches = _split_filters(owner, filters)
    query = Query(
        collection=JOBS,
        where=tuple(where),
        order=(("createdAt", "asc" if filters.oldest_first else "desc"),),
        after=after,
    )
    return await query_page(services, query, limit=limit, matches=matches)


async def _find_place(services: Services, caller: Caller, cursor: str) -> tuple[datetime, str]:
    if not cursor.startswith(_JOB_ID):
        return decode_cursor(cursor)
    try:
        job = await find_job(services, caller, cursor)
    except NotFoundError as missing:
        raise InvalidError.at("cursor", f"invalid cursor: {missing.message}") from None
    return job.created_at, job.job_id


def _split_filters(
    owner: str | None, filters: Filters
) -> tuple[list[Condition], Callable[[Job], bool] | None]:
    """The conditions of the query, and the test of the others; None if there are no others."""
    where: list[Condition] = []
    if owner is not None:
        where.append(("userId", "==", owner))
    if filters.created_after is not None:
        where.append(("createdAt", ">=", filters.created_after))
    if filters.created_before is not None:
        where.append(("createdAt", "<", filters.created_before))
    tests: list[Callable[[Job], bool]] = []
    if filters.oldest_first:
        # The only index with ascending times is that of a user's jobs.
        tests += _test_fields(filters)
    else:
        where += _name_fields(owner, filters, tests)
    if filters.parent_id is None and not filters.include_children:
        tests.append(lambda job: job.parent_id is None)
    if filters.provider is not None:
        provider = filters.provider
        tests.append(lambda job: provider in (job.served_by or "").split(", "))
    if filters.text is not None:
        text = filters.text.casefold()
        tests.append(lambda job: _contains_text(job, text))
    return where, (lambda job: all(test(job) for test in tests)) if tests else None


def _name_fields(
    owner: str | None, filters: Filters, tests: list[Callable[[Job], bool]]
) -> list[Condition]:
    """The conditions on indexed fields."""
    named = {
        "jobType": filters.job_type,
        "projectId": filters.project_id,
        "parentId": filters.parent_id,
    }
    where: list[Condition] = [
        (field, "==", value) for field, value in named.items() if value is not None
    ]
    alternatives = 1
    if owner is None and filters.job_type is None:
        # No index starts with a time (DESIGN.md, law 6): all types are named instead.
        where.append(("jobType", "in", sorted(JOB_TYPES)))
        alternatives = len(JOB_TYPES)
    statuses = sorted(map(str, filters.status))
    if len(statuses) == 1:
        where.append(("status", "==", statuses[0]))
    elif statuses and alternatives * len(statuses) <= MOST_IN:
        where.append(("status", "in", statuses))
    elif statuses:
        # Firestore multiplies the alternatives of several `in`.
        tests.append(lambda job: job.status in filters.status)
    return where


def _test_fields(filters: Filters) -> list[Callable[[Job], bool]]:
    """The same on rows that have been read."""
    tests: list[Callable[[Job], bool]] = []
    if filters.status:
        tests.append(lambda job: job.status in filters.status)
    if filters.job_type is not None:
        tests.append(lambda job: job.job_type == filters.job_type)
    if filters.project_id is not None:
        tests.append(lambda job: job.project_id == filters.project_id)
    if filters.parent_id is not None:
        tests.append(lambda job: job.parent_id == filters.parent_id)
    return tests


def _contains_text(job: Job, text: str) -> bool:
    for name in _TEXTS:
        value = job.payload.get(name)
        parts = value if isinstance(value, list) else [value]
        if any(isinstance(part, str) and text in part.casefold() for part in parts):
            return True
    return False
