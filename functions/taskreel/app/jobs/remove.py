"""Remove an ended job: its document, its child jobs, and their files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.removal_marks import find_next_update
from taskreel.app.query_pages import read_pages, read_value
from taskreel.app.services import Services
from taskreel.domain.artifact import artifacts_folder
from taskreel.domain.errors import ConflictError
from taskreel.domain.job import Job
from taskreel.domain.record import Record
from taskreel.ports import MOST_IN, Collection, Query, Transaction
from taskreel.store_collections import JOBS, RUN_ANSWERS

log = logging.getLogger(__name__)

#: Firestore commits 500 writes at most.
_REMOVED_AT_ONCE = 400
#: No request takes so long: a removal that began before has broken off. One that went on beside the
#: rest of itself could delete files of the job that the same request makes next.
RESUMED_AFTER = timedelta(minutes=5)


class _Descendant(Record):
    """A job below the one that is removed, as it was when it was read."""

    updated_at: datetime
    #: The cache may give its work to others.
    is_cached: bool


async def remove_job(services: Services, job: Job, caller: Caller | None = None) -> None:
    """Remove an ended job and its files. What it has cost stays in the ledger.

    `caller` is who has it removed; None where an earlier removal broke off.

    Raises ConflictError while its work, or that of a job below it, is being cancelled at a
    provider, while a pipeline shows it, or while a replay of it uses its files.
    """
    await _require_unused(services, job)
    descendants = await _list_descendants(services, job.job_id)
    await _require_unshared(services, job, descendants)
    removed = [job.job_id, *descendants]
    await delete_answers(services, removed)
    # The job goes last: until then a repeated request, and the sweep, find the rest.
    last, children = removed[:1], removed[1:]
    # The same request may make a job of a fixed id again, with files at the same paths.
    is_id_fixed = job.request_hash is not None
    in_steps = is_id_fixed or len(children) > _REMOVED_AT_ONCE
    seen_at = _list_seen(job, descendants, cached_alone=not in_steps)
    if in_steps:
        # First: the sweep does the rest of what breaks off, and does not know who began it.
        if caller is not None and caller.admin:
            await services.store.transaction(partial(_record, services, caller, job))
        # Nothing takes over their work from now on, so the files may go before the documents: after
        # those they may be another job's, and nothing would tell where those of a batch are.
        seen_at = await _mark_removals(services, job.job_id, seen_at)
        await _delete_files(services, removed)
    while len(children) > _REMOVED_AT_ONCE:
        batch, children = children[-_REMOVED_AT_ONCE:], children[:-_REMOVED_AT_ONCE]
        await services.store.transaction(partial(_delete_documents, batch, seen_at))

    async def delete_rest(tx: Transaction) -> None:
        await _delete_documents([*children, *last], seen_at, tx)
        if not in_steps:
            await _record(services, caller, job, tx)

    await services.store.transaction(delete_rest)
    log.info(
        "job removed",
        extra={"action": "job_removed", "job_id": job.job_id, "children": len(removed) - 1},
    )
    if not in_steps:
        # Files after documents: a document never names a file that is gone. Files that are left by
        # a crash here are deleted with the others of their age.
        await _delete_files(services, removed)


async def _record(services: Services, caller: Caller | None, job: Job, tx: Transaction) -> None:
    """Record that an admin removes another's job."""
    if caller is not None:
        subject, owner = job.job_id, job.user_id
        record_admin_act(services, tx, caller, "job removed", subject=subject, owner=owner)


async def resume_removal(services: Services, job: Job) -> None:
    """Do the rest of a removal that broke off; the sweep tries again if something is in its way.

    That is another removal of the job at the same time, or a step of another pipeline that has
    found work of this one in the cache before all of its jobs were marked.
    """
    try:
        await remove_job(services, job)
    except ConflictError as error:
        log.warning(
            "the rest of a job cannot be removed yet, and the sweep tries again: %s",
            error.message,
            extra={"action": "removal_waits", "job_id": job.job_id},
        )


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
    ids: Sequence[str], seen_at: Mapping[str, datetime], tx: Transaction
) -> None:
    """Delete jobs. Raises ConflictError where one has changed since it was seen.

    A retry may have opened another round, or a step have taken over the work of one, which writes
    it: either that write is seen here, or it conflicts with this transaction, or it finds the job
    gone.
    """
    for job_id in ids:
        if job_id in seen_at:
            found = await load_job(tx, job_id)
            if found is not None:
                _require_unchanged(found, seen_at[job_id])
    for job_id in ids:
        tx.delete(JOBS, job_id)


async def _mark_removals(
    services: Services, root_id: str, seen_at: Mapping[str, datetime]
) -> dict[str, datetime]:
    """Mark the jobs whose removal begins, the outermost first; the times of those changes.

    Neither a replay nor a cached step takes over the work of a marked job. Where one has done so
    since the jobs were read, none of a transaction is marked: ConflictError.
    """
    ids = list(seen_at)
    marked: dict[str, datetime] = {}
    for start in range(0, len(ids), _REMOVED_AT_ONCE):
        some = {id_: seen_at[id_] for id_ in ids[start : start + _REMOVED_AT_ONCE]}
        marked |= await services.store.transaction(partial(_mark_some, services, root_id, some))
    return marked


async def _mark_some(
    services: Services, root_id: str, seen_at: Mapping[str, datetime], tx: Transaction
) -> dict[str, datetime]:
    found = [job for job in [await load_job(tx, id_) for id_ in seen_at] if job is not None]
    marked: dict[str, datetime] = {}
    for job in found:
        _require_unchanged(job, seen_at[job.job_id])
        updated_at = marked[job.job_id] = find_next_update(job, services.clock.now())
        changes = {"expireAt": job.created_at, "updatedAt": updated_at}
        if job.job_id == root_id:
            # Should this process die, the sweep has the rest removed. A time to live may come first
            # and remove the documents alone, so all of them have it: none outlives its pipeline.
            changes["wakeAt"] = updated_at + RESUMED_AFTER
        tx.update(JOBS, job.job_id, changes)
    return marked


def _require_unchanged(found: Job, seen_at: datetime) -> None:
    """Raise ConflictError for a job that was written since it was asked who uses its files.

    What takes over its work writes it: that may have begun meanwhile.
    """
    _require_ended(found)
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
    services: Services, job: Job, descendants: Mapping[str, _Descendant | None]
) -> None:
    """Raise ConflictError while a step of another pipeline uses the files of one of this one."""
    for id_, one in descendants.items():
        if one is None or not one.is_cached:
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


def _require_ended(job: Job, label: str = "The job") -> None:
    if not job.is_over:
        raise ConflictError(
            f"{label} is {job.status} and its work is not over yet. Delete it again in a minute.",
            jobStatus=job.status,
        )


def _list_seen(
    job: Job, descendants: Mapping[str, _Descendant | None], *, cached_alone: bool
) -> dict[str, datetime]:
    """The last changes that were seen: of the job, and of those below it that can be read.

    With `cached_alone`, of those whose work others may take over.
    """
    seen_at = {job.job_id: job.updated_at}
    for id_, one in descendants.items():
        if one is not None and (one.is_cached or not cached_alone):
            seen_at[id_] = one.updated_at
    return seen_at


async def _list_descendants(services: Services, job_id: str) -> dict[str, _Descendant | None]:
    """The job's child jobs, and theirs; None for one that cannot be read.

    Raises ConflictError while the work of one is not over: nobody would cancel it any more.
    """
    found: dict[str, _Descendant | None] = {}
    query = Query(
        collection=JOBS,
        where=(("parentId", "==", job_id),),
        order=(("createdAt", "desc"),),
        limit=_REMOVED_AT_ONCE,
    )
    async for rows in read_pages(services.store, query):
        for row in rows:
            child = read_value(row)
            if child is None:
                found[row.id] = None
            else:
                _require_ended(child, f"Job {row.id}, a part of it,")
                found[row.id] = _Descendant(child.updated_at, child.cache_key is not None)
            found |= await _list_descendants(services, row.id)
    return found
