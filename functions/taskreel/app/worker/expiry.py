"""Remove what has expired, where the store does not do so itself: documents, then their files.

Firestore's time to live removes documents by `expireAt`, and the bucket's lifecycle removes files
by their age. The process that owns a SQLite store removes both here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from taskreel.app.jobs.answered_requests import ANSWERED
from taskreel.app.jobs.remove import delete_answers, find_replay
from taskreel.app.query_pages import read_pages
from taskreel.app.services import Services
from taskreel.domain.artifact import artifacts_folder
from taskreel.domain.upload import find_upload_folder
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import MOST_IN, Query, Row, Transaction, undecoded_collection
from taskreel.store_collections import (
    DEAD_LETTERS,
    JOBS,
    METRICS,
    OPERATIONS,
    UPLOADS,
    WEBHOOK_DELIVERIES,
)

log = logging.getLogger(__name__)

_Document = Mapping[str, Any]
#: The documents of one transaction: other work of the event loop waits for it.
_PAGE = 100
#: The collections, besides that of jobs, whose documents expire by themselves.
EXPIRING = (OPERATIONS.name, UPLOADS.name, WEBHOOK_DELIVERIES.name, METRICS.name, DEAD_LETTERS.name)


async def remove_expired(services: Services) -> dict[str, int]:
    """Remove the documents whose `expireAt` has passed, with their files; their numbers.

    Documents are not decoded, so one that cannot be read is removed like any other. Documents go
    first: none names a file that is gone. What is retried meanwhile has no `expireAt` any more and
    stays. Entries of the ledger never expire.
    """
    now = services.clock.now()
    removed: Counter[str] = Counter()
    retention = services.rules.retention
    for job_type in (*JOB_TYPES, ANSWERED):
        stored_for = retention.of_type(job_type)
        old_jobs = _query_old_jobs(job_type, now - stored_for)
        async for found in _list_expired(services, old_jobs, now):
            gone = await _remove_jobs(services, found, now)
            removed[JOBS.name] += len(gone)
            if stored_for < retention.longest:
                removed[JOBS.name] += await _remove_steps(services, gone, now)
    for name in EXPIRING:
        query = Query(
            collection=undecoded_collection(name),
            where=(("expireAt", "<=", now),),
            order=(("expireAt", "asc"),),
            limit=_PAGE,
        )
        async for found in _list_expired(services, query, now):
            gone = await _delete_expired(services, name, [row.id for row in found], now)
            for data in gone.values() if name == UPLOADS.name else ():
                await services.blobs.delete(find_upload_folder(str(data["path"])))
            removed[name] += len(gone)
    counts = {name: number for name, number in removed.items() if number}
    if counts:
        log.info("expired documents were removed", extra={"action": "expired_removed", **counts})
    return counts


async def _remove_jobs(
    services: Services, rows: Sequence[Row[_Document]], now: datetime
) -> dict[str, _Document]:
    """Remove those of the expired jobs that no replay needs, with their files; what they were."""
    ids = [row.id for row in rows if not await _is_replayed(services, row)]
    gone = await _delete_expired(services, JOBS.name, ids, now)
    await delete_answers(services, list(gone))
    for job_id in gone:
        await services.blobs.delete(artifacts_folder(job_id))
    return gone


async def _remove_steps(
    services: Services, pipelines: Mapping[str, _Document], now: datetime
) -> int:
    """Remove the expired steps of pipelines that are gone; their number.

    Those of a type that is stored for longer would else be found when that time is over. A pipeline
    shows steps of those that it replays, too.
    """
    replayed = (str(one) for data in pipelines.values() for one in data.get("lineage") or ())
    parents = sorted({*pipelines, *replayed})
    removed = 0
    for start in range(0, len(parents), MOST_IN):
        some = parents[start : start + MOST_IN]
        steps = Query(collection=undecoded_collection(JOBS.name), where=(("parentId", "in", some),))
        rows = await services.store.query(steps)
        expired = [row for row in rows if _is_expired(row.data, now)]
        gone = await _remove_jobs(services, expired, now)
        inner = {id_: data for id_, data in gone.items() if data.get("steps")}
        removed += len(gone) + (await _remove_steps(services, inner, now) if inner else 0)
    return removed


def _query_old_jobs(job_type: str, until: datetime) -> Query[_Document]:
    """The jobs that have not changed since `until`, when those that expire now have ended.

    An index on `expireAt` would be one more write of every job, for one query an hour.
    """
    return Query(
        collection=undecoded_collection(JOBS.name),
        where=(("jobType", "==", job_type), ("updatedAt", "<=", until)),
        order=(("updatedAt", "asc"),),
        limit=_PAGE,
    )


async def _list_expired(
    services: Services, query: Query[_Document], now: datetime
) -> AsyncIterator[Sequence[Row[_Document]]]:
    async for rows in read_pages(services.store, query):
        yield [row for row in rows if _is_expired(row.data, now)]
        await asyncio.sleep(0)


async def _is_replayed(services: Services, row: Row[_Document]) -> bool:
    """True for a job whose files a replay, which is retained for longer, uses.

    A replay of a pipeline adopts child jobs, so one of any pipeline above the job counts.
    """
    user_id = str(row.data.get("userId"))
    job_id, data = row.id, row.data
    while await find_replay(services, user_id, job_id) is None:
        parent_id = data.get("parentId")
        if parent_id is None:
            return False
        job_id = str(parent_id)
        data = await services.store.get(undecoded_collection(JOBS.name), job_id) or {}
    return True


async def _delete_expired(
    services: Services, name: str, ids: Sequence[str], now: datetime
) -> dict[str, _Document]:
    """Delete those of the documents that are expired still; what they were."""
    collection = undecoded_collection(name)

    async def write(tx: Transaction) -> dict[str, _Document]:
        found: dict[str, _Document] = {}
        for id_ in ids:
            data = await tx.get(collection, id_)
            if data is not None and _is_expired(data, now):
                tx.delete(collection, id_)
                found[id_] = data
        return found

    return await services.store.transaction(write) if ids else {}


def _is_expired(data: _Document, now: datetime) -> bool:
    expire_at = data.get("expireAt")
    return isinstance(expire_at, datetime) and expire_at <= now
