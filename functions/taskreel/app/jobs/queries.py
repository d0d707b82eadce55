"""Queries for callers: one job, ledgers, and the pages of any list."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from msgspec.structs import replace
from pydantic_core import to_json

from taskreel.app.caller import Caller
from taskreel.app.jobs.job_store import load_job
from taskreel.app.query_pages import read_value
from taskreel.app.services import Services
from taskreel.domain.credits import LedgerEntry
from taskreel.domain.errors import ForbiddenError, InvalidError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.record import Record
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.value import Value
from taskreel.jobtypes import canonical_name
from taskreel.ports import Query, Row
from taskreel.store_collections import LEDGER

#: Ids of documents have at most so many bytes in Firestore; those of jobs are much shorter.
_LONGEST_ID_BYTES = 1500
_LONGEST_JOB_ID = 100
#: The documents of a page are read so many at a time, until they take so many bytes.
_CHUNK = 25
_BYTES_OF_A_PAGE = 4_000_000
#: A page with a filter that no index serves reads so many rows at most.
MAX_SCANNED = 500

V = TypeVar("V", bound=Value | StoredRecord)


class Page(Record, Generic[V]):
    """Rows, newest first, and the cursor of the next page (None on the last)."""

    rows: Sequence[V]
    cursor: str | None


async def find_job(
    services: Services, caller: Caller, job_id: str, job_type: str | None = None
) -> Job:
    """The job, if there is one that the caller may see. Raises NotFoundError."""
    return (await _find_job(services, caller, job_id, job_type))[0]


async def _find_job(
    services: Services, caller: Caller, job_id: str, job_type: str | None
) -> tuple[Job, Caller]:
    """The job, and the caller with their role in its project if that lets them see it."""
    # No longer id is ever stored, and Firestore refuses to read one.
    job = await load_job(services.store, job_id) if len(job_id) <= _LONGEST_JOB_ID else None
    if job is not None and job.project_id is not None and not caller.may_see(job):
        from taskreel.app.projects.rights import add_stored_role  # of few requests: cold start

        caller = await add_stored_role(services, caller, job.project_id)
    if (
        job is None
        or not caller.may_see(job)
        or (job_type not in (None, job.job_type) and job.job_type != canonical_name(job_type))
    ):
        of_type = f" of type {job_type}" if job_type else ""
        raise NotFoundError(f"There is no job {job_id}{of_type} that you may see.")
    return job, caller


async def find_job_to_change(
    services: Services, caller: Caller, job_id: str, job_type: str | None = None
) -> Job:
    """The job that the caller may change: cancel, retry, replay or move.

    Raises NotFoundError for one that they may not see, and ForbiddenError for a viewer.
    """
    return (await _find_to_change(services, caller, job_id, job_type))[0]


async def _find_to_change(
    services: Services, caller: Caller, job_id: str, job_type: str | None
) -> tuple[Job, Caller]:
    job, member = await _find_job(services, caller, job_id, job_type)
    if not member.may_change(job):
        raise ForbiddenError(
            f"You are a viewer of project {job.project_id}: "
            "changing its jobs needs the role editor."
        )
    return job, member


async def find_job_to_delete(
    services: Services, caller: Caller, job_id: str, job_type: str | None = None
) -> Job:
    """The job that the caller may delete once it has ended, and may cancel before.

    Raises NotFoundError for one that they may not see, and ForbiddenError.
    """
    job, member = await _find_to_change(services, caller, job_id, job_type)
    if job.status.final and not member.may_delete(job):
        raise ForbiddenError(
            f"Deleting the jobs of others in project {job.project_id} needs the role admin."
        )
    return job


async def list_ledger(
    services: Services, user_id: str, *, limit: int, cursor: str | None
) -> Page[LedgerEntry]:
    """A user's ledger, newest first."""
    query = Query(
        collection=LEDGER,
        where=(("userId", "==", user_id),),
        order=(("createdAt", "desc"),),
        after=decode_cursor(cursor) if cursor else None,
    )
    return await query_page(services, query, limit=limit)


async def query_page(
    services: Services, query: Query[V], *, limit: int, matches: Callable[[V], bool] | None = None
) -> Page[V]:
    """The first rows of a query that match; with the cursor of the next page if there is one.

    Rows are read in chunks, so that a page of large documents does not fill the memory: it ends
    early. So does one for which MAX_SCANNED rows have been read. A row more than the page holds is
    read, so that no cursor leads to an empty page.
    """
    found: list[tuple[Row[V], V]] = []
    scanned = size = 0
    while True:
        # Where few rows match, small chunks would be many.
        chunk = _CHUNK if matches and scanned else min(_CHUNK, limit + 1 - len(found))
        rows = await services.store.query(replace(query, limit=chunk))
        values = ((row, value) for row in rows if (value := read_value(row)) is not None)
        found += [(row, value) for row, value in values if matches is None or matches(value)]
        if len(found) > limit or len(rows) < chunk:
            break
        scanned += len(rows)
        size += sum(len(to_json(row.data)) for row in rows)
        query = query.behind(rows[-1])
        if size > _BYTES_OF_A_PAGE or scanned >= MAX_SCANNED:
            rest = await services.store.query(replace(query, limit=1))
            more = _encode_cursor(query, rows[-1]) if rest else None
            return Page([value for _, value in found], more)
    more = _encode_cursor(query, found[limit - 1][0]) if len(found) > limit else None
    return Page([value for _, value in found[:limit]], more)


def _encode_cursor(query: Query[Any], row: Row[Any]) -> str:
    """An opaque cursor: the row's time and id, so that rows inserted meanwhile shift nothing."""
    [(time, _)] = query.order
    text = json.dumps([row.data[time].isoformat(), row.id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    """The place of a page's last row. Raises InvalidError for a cursor that no page has given."""
    try:
        time, id_ = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        after = datetime.fromisoformat(time).astimezone(UTC), str(id_)
        valid = 0 < len(str(id_).encode()) <= _LONGEST_ID_BYTES
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        valid = False
    if not valid:
        message = "invalid cursor: use nextCursor of the previous page, unchanged"
        raise InvalidError.at("cursor", message)
    return after
