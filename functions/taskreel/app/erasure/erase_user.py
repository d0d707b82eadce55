"""Erase a person step by step: jobs and files, then all other documents, then the proof.

Each step is safe to repeat and counted in the commit that makes it, so an erasure that was
interrupted goes on with the same order. Credits are money: the account's sums and the ledger go on
under a pseudonym that nothing leads back from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.credits.grants import check_user_id
from taskreel.app.erasure.all_documents import read_page
from taskreel.app.erasure.erase_jobs import cancel_jobs, is_job_over, remove_jobs
from taskreel.app.erasure.erasure_forecast import require_named
from taskreel.app.erasure.move_account import move_account
from taskreel.app.erasure.progress import change_running, load_running
from taskreel.app.erasure.traces import Traces
from taskreel.app.services import Services
from taskreel.domain.erasure import (
    PSEUDONYM_PREFIX,
    Erasure,
    ErasurePhase,
    ErasureProof,
    running_erasure_id,
)
from taskreel.domain.errors import ConflictError, NotFoundError
from taskreel.domain.ids import random_id
from taskreel.domain.upload import find_upload_folder
from taskreel.ports import Collection, Query, Row, Transaction, undecoded_collection
from taskreel.store_collections import (
    ACCOUNTS,
    AUDIT,
    ERASURES,
    JOBS,
    OPERATIONS,
    RECURRING_JOBS,
    STORED,
    UPLOADS,
)

_Document = Mapping[str, Any]
#: The documents of one transaction.
_PAGE = 100
#: The work of one request; the next goes on.
_SECONDS = timedelta(seconds=8)


async def erase_user(services: Services, caller: Caller, user_id: str, reason: str) -> Erasure:
    """Begin to erase a person, or go on, for some seconds; the state that was reached.

    Repeat it until its phase is DONE. Raises InvalidError for a text that cannot be a user's id,
    ConflictError for an admin who names themself, NotFoundError for a user whom nothing names.
    """
    check_user_id(user_id)
    if caller.user_id == user_id:
        raise ConflictError(
            "You cannot erase yourself: the audit log names who ordered it. Another admin must."
        )
    if await services.store.get(ERASURES, running_erasure_id(user_id)) is None:
        await require_named(services, user_id)
    erasure = await services.store.transaction(
        lambda tx: _open_erasure(services, tx, caller, user_id, reason)
    )
    until = services.clock.now() + _SECONDS
    while erasure.phase is not ErasurePhase.DONE:
        before = erasure
        erasure = await _make_step(services, caller, user_id, erasure)
        waits = erasure.waiting > 0 and erasure.phase is before.phase
        if waits or erasure.rounds > before.rounds or services.clock.now() >= until:
            break
    return erasure


async def load_report(services: Services, erasure_id: str) -> Erasure:
    """The report of an erasure that has ended. Raises NotFoundError."""
    found = None
    if erasure_id.startswith("ers_") and len(erasure_id) <= 100:
        found = await services.store.get(ERASURES, erasure_id)
    if found is None:
        raise NotFoundError(f"There is no report of an erasure {erasure_id}.")
    return found


async def _open_erasure(
    services: Services, tx: Transaction, caller: Caller, user_id: str, reason: str
) -> Erasure:
    running_id = running_erasure_id(user_id)
    found = await tx.get(ERASURES, running_id)
    if found is not None:
        return found
    now = services.clock.now()
    erasure = Erasure(
        erasure_id=f"ers_{random_id(services.random)}",
        user_id=user_id,
        pseudonym=f"{PSEUDONYM_PREFIX}{random_id(services.random)}",
        ordered_by=caller.user_id,
        reason=Traces(user_id, "the person").replace_in_text(reason),
        created_at=now,
        updated_at=now,
    )
    tx.create(ERASURES, running_id, erasure)
    _record(services, tx, erasure, "erasure of a user started")
    return erasure


async def _make_step(services: Services, caller: Caller, user_id: str, erasure: Erasure) -> Erasure:
    match erasure.phase:
        case ErasurePhase.JOBS:
            return await _erase_jobs(services, caller, user_id)
        case ErasurePhase.DOCUMENTS:
            return await _erase_page(services, user_id, erasure)
        case ErasurePhase.PROOF:
            return await _prove_page(services, user_id, erasure)
        case _:
            raise ConflictError(
                f"The erasure is in the phase {erasure.phase}, which a later release wrote: "
                "let that release finish it."
            )


# ── Jobs ─────────────────────────────────────────────────────────────────────────────────────────


async def _erase_jobs(services: Services, caller: Caller, user_id: str) -> Erasure:
    """Remove what makes new jobs first, then the jobs."""
    for collection in (RECURRING_JOBS, OPERATIONS):
        query: Query[Any] = Query(
            collection=collection,
            where=(("userId", "==", user_id),),
            order=(("createdAt", "desc"),),
            limit=_PAGE,
        )
        while rows := await services.store.query(query):
            ids = [row.id for row in rows]
            await _commit(services, user_id, collection, ids)
    await cancel_jobs(services, caller, user_id)
    waiting = 0
    async for job_ids, files, open_jobs in remove_jobs(services, user_id):
        waiting += open_jobs
        await _commit(services, user_id, JOBS, job_ids, files=files)
    return await change_running(services, user_id, lambda one, now: _end_jobs(one, waiting, now))


def _end_jobs(erasure: Erasure, waiting: int, now: datetime) -> Erasure:
    if waiting:
        return erasure.with_changes(now, waiting=waiting)
    return erasure.with_changes(now, waiting=0).enter(ErasurePhase.DOCUMENTS, now)


# ── Other documents ──────────────────────────────────────────────────────────────────────────────


async def _erase_page(services: Services, user_id: str, erasure: Erasure) -> Erasure:
    """Read the next documents: remove the person's, and replace the id in those of others.

    A job is never removed here: it may hold credits, and has files. One that was submitted since
    the jobs were removed, as with a token that is still valid, sends the erasure back to them.
    """
    collection = STORED[erasure.collection]
    rows = await read_page(services, collection, erasure.after, _PAGE)
    traces = Traces(user_id, erasure.pseudonym)
    for row in rows:
        if row.id == running_erasure_id(user_id):
            continue
        if collection.name == ACCOUNTS.name and user_id in {row.id, row.data.get("userId")}:
            if not await move_account(services, user_id):
                return await _begin_again(services, user_id)
        elif traces.owns(row):
            # What has no time of creation is found by no query of jobs, and no release wrote it.
            if collection.name == JOBS.name and "createdAt" in row.data:
                return await _begin_again(services, user_id)
            files = 0
            if collection.name == UPLOADS.name:
                # The file first: a remaining document leads to it.
                files = await services.blobs.delete(find_upload_folder(str(row.data["path"])))
            await _commit(services, user_id, collection, [row.id], files=files)
        elif traces.are_in(row):
            await _replace_traces(services, user_id, traces, row)
    return await _go_on(services, user_id, erasure, rows, ErasurePhase.PROOF)


async def _begin_again(services: Services, user_id: str) -> Erasure:
    """Go back to the jobs, in another round."""
    return await change_running(
        services,
        user_id,
        lambda one, now: one.with_changes(now, rounds=one.rounds + 1).enter(ErasurePhase.JOBS, now),
    )


async def _replace_traces(
    services: Services, user_id: str, traces: Traces, row: Row[_Document]
) -> None:
    """Replace the id in a document, and in its own id, in one commit with the count of it."""
    name, new_id = row.collection.name, traces.replace_in_id(row.collection.name, row.id)

    async def write(tx: Transaction) -> None:
        data = await tx.get(row.collection, row.id)
        erasure = await load_running(tx, user_id)
        changes = {} if data is None else traces.find_changes(name, data)
        if data is None or (not changes and new_id == row.id):
            return
        if new_id == row.id:
            tx.update(row.collection, row.id, changes)
        else:
            taken = await tx.get(row.collection, new_id) is not None
            id_ = f"{new_id}.{random_id(services.random)}" if taken else new_id
            whole = {**data, **changes}
            if "entryId" in whole:
                whole["entryId"] = id_
            tx.set(row.collection, id_, whole)
            tx.delete(row.collection, row.id)
        counted = erasure.count("pseudonymised", {name: 1}, services.clock.now())
        tx.set(ERASURES, running_erasure_id(user_id), counted)

    await services.store.transaction(write)


# ── Proof ────────────────────────────────────────────────────────────────────────────────────────


async def _prove_page(services: Services, user_id: str, erasure: Erasure) -> Erasure:
    """Read the next documents again, or the bucket after the last of them."""
    traces = Traces(user_id, erasure.pseudonym)
    if erasure.collection == len(STORED):
        return await _prove_files(services, user_id, traces, erasure)
    collection = STORED[erasure.collection]
    rows = [
        row
        for row in await read_page(services, collection, erasure.after, _PAGE)
        if row.id != running_erasure_id(user_id)
    ]
    others = [row for row in rows if not traces.are_in(row)]
    found, mentions = len(rows) - len(others), sum(traces.is_mentioned(row.data) for row in others)
    proof = erasure.proof.model_copy(
        update={
            "documents": erasure.proof.documents + len(rows),
            "found": _add(erasure.proof.found, collection.name, found),
            "mentions": _add(erasure.proof.mentions, collection.name, mentions),
        }
    )
    return await _go_on(services, user_id, erasure, rows, None, proof=proof)


async def _prove_files(
    services: Services, user_id: str, traces: Traces, erasure: Erasure
) -> Erasure:
    files = mentions = 0
    async for path in services.blobs.list_paths(""):
        files += 1
        # No path has a user's id by design; the name of an upload is what somebody wrote.
        mentions += traces.is_mentioned(path)
    proof = erasure.proof.model_copy(
        update={"files": files, "mentions": _add(erasure.proof.mentions, "files", mentions)}
    )

    async def write(tx: Transaction) -> Erasure:
        current, now = await load_running(tx, user_id), services.clock.now()
        if proof.found:
            # Something was written meanwhile, as by a token that is still valid.
            again = current.with_changes(
                now, rounds=current.rounds + 1, proof=ErasureProof()
            ).enter(ErasurePhase.JOBS, now)
            tx.set(ERASURES, running_erasure_id(user_id), again)
            return again.model_copy(update={"proof": proof})
        done = current.with_changes(now, user_id=None, proof=proof, ended_at=now, waiting=0).enter(
            ErasurePhase.DONE, now
        )
        # The report has a random id: nothing leads from the person to it.
        tx.delete(ERASURES, running_erasure_id(user_id))
        tx.set(ERASURES, done.erasure_id, done)
        _record(services, tx, done, "erasure of a user proved")
        return done

    return await services.store.transaction(write)


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────


async def _commit(
    services: Services,
    user_id: str,
    collection: Collection[Any],
    ids: Sequence[str],
    *,
    files: int = 0,
) -> None:
    """Delete documents, and count them and their files, in one commit."""

    async def write(tx: Transaction) -> None:
        erasure = await load_running(tx, user_id)
        there = [id_ for id_ in ids if await _may_delete(tx, collection, id_)]
        for id_ in there:
            tx.delete(collection, id_)
        numbers = {collection.name: len(there), "files": files}
        counted = erasure.count("removed", numbers, services.clock.now())
        tx.set(ERASURES, running_erasure_id(user_id), counted)

    if ids or files:
        await services.store.transaction(write)


async def _may_delete(tx: Transaction, collection: Collection[Any], id_: str) -> bool:
    if collection.name == JOBS.name:
        return await is_job_over(tx, id_)
    return await tx.get(undecoded_collection(collection.name), id_) is not None


async def _go_on(
    services: Services,
    user_id: str,
    erasure: Erasure,
    rows: Sequence[Row[Any]],
    after_all: ErasurePhase | None,
    proof: ErasureProof | None = None,
) -> Erasure:
    """Store the place behind the rows, and what was found; behind the last collection `after_all`.

    None for `after_all` leaves the phase as it is.
    """
    is_last_page = len(rows) < _PAGE - 1  # a page may lack the erasure itself
    number = erasure.collection + is_last_page
    after = None if is_last_page else rows[-1].id

    def move(current: Erasure, now: datetime) -> Erasure:
        current = current.with_changes(now, proof=proof or current.proof)
        if number == len(STORED) and after_all is not None:
            return current.enter(after_all, now)
        return current.with_changes(now, collection=number, after=after)

    return await change_running(services, user_id, move)


def _add(counts: Mapping[str, int], name: str, number: int) -> dict[str, int]:
    return {**counts, name: counts.get(name, 0) + number} if number else dict(counts)


def _record(services: Services, tx: Transaction, erasure: Erasure, action: str) -> None:
    entry = build_audit_entry(
        services, erasure.ordered_by, action, subject=erasure.pseudonym, reason=erasure.reason
    )
    tx.create(AUDIT, entry.entry_id, entry)
