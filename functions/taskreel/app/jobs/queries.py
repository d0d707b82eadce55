"""Queries for callers: one job, lists of jobs, and ledgers."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic_core import to_json

from taskreel.app.caller import Caller
from taskreel.app.jobs.job_store import load_job
from taskreel.app.services import Services
from taskreel.domain.credits import LedgerEntry
from taskreel.domain.errors import InvalidError, NotFoundError, UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES, canonical_name
from taskreel.ports import Collection, Direction, Query, Row
from taskreel.store_collections import JOBS, LEDGER

log = logging.getLogger(__name__)

#: Ids of documents have at most so many bytes in Firestore; those of jobs are much shorter.
_LONGEST_ID_BYTES = 1500
_LONGEST_JOB_ID = 100
#: The documents of a page are read so many at a time, until they take so many bytes.
_CHUNK = 20
_BYTES_OF_A_PAGE = 4_000_000

V = TypeVar("V", bound=Value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Filters of a list of jobs; None does not filter."""

    status: Status | None = None
    job_type: str | None = None
    project_id: str | None = None
    parent_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """Rows, newest first, and the cursor of the next page (None on the last)."""

    rows: Sequence[V]
    cursor: str | None


async def find_job(
    services: Services, caller: Caller, job_id: str, job_type: str | None = None
) -> Job:
    """The job, if there is one that the caller may see. Raises NotFoundError."""
    # No longer id is ever stored, and Firestore refuses to read one.
    job = await load_job(services.store, job_id) if len(job_id) <= _LONGEST_JOB_ID else None
    if (
        job is None
        or not caller.may_see(job)
        or (job_type not in (None, job.job_type) and job.job_type != canonical_name(job_type))
    ):
        of_type = f" of type {job_type}" if job_type else ""
        raise NotFoundError(f"There is no job {job_id}{of_type} that you may see.")
    return job


async def list_jobs(
    services: Services, caller: Caller, filters: Filters, *, limit: int, cursor: str | None
) -> Page[Job]:
    """The caller's jobs, newest first; an admin sees all users' unless one is named."""
    all_users = caller.admin and filters.user_id is None
    where: list[tuple[str, Any, Any]] = []
    if not all_users:
        where.append(("userId", "==", filters.user_id if caller.admin else caller.user_id))
    elif filters.job_type is None:
        # No index starts with a time (DESIGN.md, law 6): all types are named instead.
        where.append(("jobType", "in", sorted(JOB_TYPES)))
    named = {
        "status": filters.status,
        "jobType": filters.job_type,
        "projectId": filters.project_id,
        "parentId": filters.parent_id,
    }
    where += [(field, "==", str(value)) for field, value in named.items() if value is not None]
    return await _query_page(services, JOBS, tuple(where), limit=limit, cursor=cursor)


async def list_ledger(
    services: Services, user_id: str, *, limit: int, cursor: str | None
) -> Page[LedgerEntry]:
    """A user's ledger, newest first."""
    return await _query_page(
        services, LEDGER, (("userId", "==", user_id),), limit=limit, cursor=cursor
    )


async def _query_page(
    services: Services,
    collection: Collection[V],
    where: tuple[tuple[str, Any, Any], ...],
    *,
    limit: int,
    cursor: str | None,
) -> Page[V]:
    order: tuple[tuple[str, Direction], ...] = (("createdAt", "desc"),)
    after = None if cursor is None else _decode_cursor(cursor)
    rows: list[Row[V]] = []
    size = 0
    more = None
    # In chunks, so that a page of large documents does not fill the memory: it ends early.
    while len(rows) < limit and size <= _BYTES_OF_A_PAGE:
        chunk = min(_CHUNK, limit - len(rows))
        query = Query(collection=collection, where=where, order=order, limit=chunk, after=after)
        found = await services.store.query(query)
        rows += found
        more = _encode_cursor(found[-1]) if len(found) == chunk else None
        if more is None or len(rows) == limit:
            break
        after = _decode_cursor(more)
        size += sum(len(to_json(row.data)) for row in found)
    return Page(list(_read_values(rows)), more)


def _read_values(rows: Sequence[Row[V]]) -> Iterator[V]:
    """Yield the values. One that cannot be read is left out and logged."""
    for row in rows:
        try:
            yield row.value
        except UnreadableDocumentError:
            log.exception(
                "a stored document cannot be read and is left out of a list",
                extra={
                    "action": "document_unreadable",
                    "collection": row.collection.name,
                    "document_id": row.id,
                },
            )


def _encode_cursor(row: Row[Any]) -> str:
    """An opaque cursor: the row's time and id, so that rows inserted meanwhile shift nothing."""
    text = json.dumps([row.data["createdAt"].isoformat(), row.id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        time, id_ = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        after = datetime.fromisoformat(time).astimezone(UTC), str(id_)
        valid = 0 < len(str(id_).encode()) <= _LONGEST_ID_BYTES
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        valid = False
    if not valid:
        message = "invalid cursor: use nextCursor from the previous page unchanged"
        raise InvalidError.at("cursor", message)
    return after
