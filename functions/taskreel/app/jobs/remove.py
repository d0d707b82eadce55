"""Remove an ended job: its document, its child jobs, and their files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from msgspec.structs import replace

from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.removal_marks import find_next_update
from taskreel.app.query_pages import read_pages
from taskreel.app.services import Services
from taskreel.domain.artifact import artifacts_folder
from taskreel.domain.errors import ConflictError
from taskreel.domain.job import Job
from taskreel.ports import MOST_IN, Collection, Query, Transaction
from taskreel.store_collections import JOBS, RUN_ANSWERS

log = logging.getLogger(__name__)

#: Firestore commits 500 writes at most.
_REMOVED_AT_ONCE = 400


async def remove_job(services: Services, job: Job) -> None:
    """Remove an ended job and its files. What it has cost stays in the ledger.

    Raises ConflictError while its work at a provider is being cancelled, while a pipeline shows it,
    or while a replay of it uses its files.
    """
    await _require_unused(services, job)
    descendants = await _list_descendants(services, job.job_id)
    await _require_unshared(services, job, descendants)
    removed = [job.job_id, *descendants]
    await delete_answers(services, removed)
    # The job goes last: until then a repeated request finds the rest.
    last, children = removed[:1], removed[1:]
    seen_at = job.updated_at
    # The same request may make a job of this id again, with files at the same paths.
    is_id_fixed = job.request_hash is not None
    if is_id_fixed or len(children) > _REMOVED_AT_ONCE:
        # Several steps: no replay may begin between them.
        seen = {job.job_id: seen_at, **(_find_cached(descendants) if is_id_fixed else {})}
        descendants |= await _mark_removals(services, seen)
        seen_at = descendants.pop(job.job_id, None) or seen_at
    if is_id_fixed:
        # Before the documents: afterwards they may be another job's.
        await _delete_files(services, removed)
    while len(children) > _REMOVED_AT_ONCE:
        batch, children = children[-_REMOVED_AT_ONCE:], children[:-_REMOVED_AT_ONCE]
        await services.store.transaction(partial(_delete_documents, ids=batch, seen_at=descendants))

    async def delete_all(tx: Transaction) -> None:
        # A retry may have opened another round meanwhile: then the job is not ended any more.
        found = await load_job(tx, job.job_id)
        if found is not None:
            _require_ended(found)
            _require_unchanged(found, seen_at)
        await _delete_documents(tx, [*children, *last], descendants)

    await services.store.transaction(delete_all)
    log.info(
        "job removed",
        extra={"action": "job_removed", "job_id": job.job_id, "children": len(removed) - 1},
    )
    if not is_id_fixed:
        # Files after documents: a document never names a file that is gone. Files that are left by
        # a crash here are deleted with the others of their age.
        await _delete_files(services, removed)


async def _delete_files(services: Services, ids: Sequence[str]) -> None:
    for job_id in ids:
        await services.blobs.delete(artifacts_folder(job_id))


async def delete_answers(services: Services, ids: Sequence[str]) -> None:
    """Delete the providers' answers to the jobs' failed calls; the jobs themselves go last."""
    for start in range(0, len(ids), MOST_IN):
        some = list(ids[start : start + MOST_IN])
        rows = await services.store.query(
            Query(collection=RUN_ANSWERS, where=(("jobId", "in", some),))
        )
        for first in range(0, len(rows), _REMOVED_AT_ONCE):
            batch = [row.id for row in rows[first : first + _REMOVED_AT_ONCE]]
            await services.store.transaction(partial(_delete_from, RUN_ANSWERS, batch))


async def _delete_from(collection: Collection[Any], ids: Sequence[str], tx: Transaction) -> None:
    for id_ in ids:
        tx.delete(collection, id_)


async def _delete_documents(
    tx: Transaction, ids: list[str], seen_at: Mapping[str, datetime | None]
) -> None:
    """Delete jobs. Raises ConflictError where a step has taken over the work of one meanwhile.

    Such a step writes the job that it takes from: either that write is seen here, or it conflicts
    with this transaction, or it finds the job gone.
    """
    for job_id in ids:
        seen = seen_at.get(job_id)
        if seen is not None:
            found = await load_job(tx, job_id)
            if found is not None:
                _require_unchanged(found, seen)
    for job_id in ids:
        tx.delete(JOBS, job_id)


async def _mark_removals(
    services: Services, seen_at: Mapping[str, datetime]
) -> dict[str, datetime]:
    """Mark the jobs whose removal begins, the outermost first; the times of those changes.

    Neither a replay nor a cached step takes over the work of a marked job. Where one has done so
    since the jobs were read, none of a transaction is marked: ConflictError.
    """
    ids = list(seen_at)
    marked: dict[str, datetime] = {}
    for start in range(0, len(ids), _REMOVED_AT_ONCE):
        some = {id_: seen_at[id_] for id_ in ids[start : start + _REMOVED_AT_ONCE]}
        marked |= await services.store.transaction(partial(_mark_some, services, some))
    return marked


async def _mark_some(
    services: Services, seen_at: Mapping[str, datetime], tx: Transaction
) -> dict[str, datetime]:
    found = [job for job in [await load_job(tx, id_) for id_ in seen_at] if job is not None]
    marked: dict[str, datetime] = {}
    for job in found:
        _require_ended(job)
        _require_unchanged(job, seen_at[job.job_id])
        updated_at = marked[job.job_id] = find_next_update(job, services.clock.now())
        # Should this process die, the store removes the rest.
        tx.update(JOBS, job.job_id, {"expireAt": job.created_at, "updatedAt": updated_at})
    return marked


def _require_unchanged(found: Job, seen_at: datetime) -> None:
    """Raise ConflictError for a job that was written since it was asked who uses its files.

    What takes over its work writes it: that may have begun meanwhile.
    """
    if found.updated_at == seen_at:
        return
    if found.parent_id is not None:
        raise ConflictError(
            "Another pipeline has just found the result of a step of this one in the cache. "
            "Delete this one again to learn which it is.",
            jobId=found.job_id,
        )
    raise ConflictError(
        "The job has just changed; a replay of it may have begun. Delete it again to learn "
        "whether one uses its files.",
        jobId=found.job_id,
    )


async def _require_unused(services: Services, job: Job) -> None:
    _require_ended(job)
    if job.parent_id is not None and await load_job(services.store, job.parent_id) is not None:
        raise ConflictError(
            f"The job belongs to pipeline {job.parent_id}, which shows its files: "
            "delete the pipeline.",
            jobId=job.parent_id,
        )
    replay_id = await find_replay(services, job.user_id, job.job_id)
    if replay_id is not None:
        raise ConflictError(
            f"Job {replay_id} is a replay of this one and uses its files: delete it first.",
            jobId=replay_id,
        )


async def _require_unshared(
    services: Services, job: Job, descendants: Mapping[str, datetime | None]
) -> None:
    """Raise ConflictError while a step of another pipeline uses the files of one of this one."""
    for id_, seen_at in descendants.items():
        if seen_at is None:
            continue
        for user in await services.store.query(_query_replays(job.user_id, id_)):
            if user.id not in descendants:
                pipeline = user.data.get("parentId") or user.id
                raise ConflictError(
                    f"Pipeline {pipeline} has found the result of a step of this one in the "
                    "cache, and uses its files: delete that one first.",
                    jobId=pipeline,
                )


def _query_replays(user_id: str, job_id: str) -> Query[Job]:
    return Query(
        collection=JOBS,
        where=(("userId", "==", user_id), ("lineage", "array-contains", job_id)),
    )


async def find_replay(services: Services, user_id: str, job_id: str) -> str | None:
    """A replay of the job, which may use its files; None if there is none."""
    rows = await services.store.query(replace(_query_replays(user_id, job_id), limit=1))
    return rows[0].id if rows else None


def _require_ended(job: Job) -> None:
    if not job.is_over:
        raise ConflictError(
            f"The job is {job.status} and its work is not over yet. Delete it again in a minute.",
            jobStatus=job.status,
        )


def _find_cached(descendants: Mapping[str, datetime | None]) -> dict[str, datetime]:
    """Those whose work the cache may give to others, with the time of their last change."""
    return {id_: seen_at for id_, seen_at in descendants.items() if seen_at is not None}


async def _list_descendants(services: Services, job_id: str) -> dict[str, datetime | None]:
    """The ids of the job's child jobs, and of theirs.

    With the time of the last change of those that the cache may give to others, else None.
    """
    found: dict[str, datetime | None] = {}
    query = Query(
        collection=JOBS,
        where=(("parentId", "==", job_id),),
        order=(("createdAt", "desc"),),
        limit=_REMOVED_AT_ONCE,
    )
    async for rows in read_pages(services.store, query):
        for row in rows:
            is_cached = row.data.get("cacheKey") is not None
            found[row.id] = row.value.updated_at if is_cached else None
            found |= await _list_descendants(services, row.id)
    return found
