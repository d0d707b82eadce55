"""Count the active and waiting jobs of an account afresh, for each of its documents."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from taskreel.app.job_counts import find_line
from taskreel.app.query_pages import read_pages
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.job_fields import WaitsFor
from taskreel.ports import Query, Transaction, undecoded_collection
from taskreel.store_collections import ACCOUNTS, JOBS

log = logging.getLogger(__name__)

_PAGE = 300
#: Of a waiting job these fields alone are read.
_FIELDS = ("accountShard", "rank")
_WAITING = undecoded_collection(JOBS.name)


async def recount_account(services: Services, user_id: str) -> bool:
    """Correct the documents whose numbers of active and waiting jobs are wrong; True if any was.

    Waiting jobs are counted in one query, and those of a sharded account are read one by one only
    if their sum is wrong. Nothing is written to a document that has changed during the count.
    """
    documents = await _load_documents(services, user_id)
    if not documents:
        return False
    waiting = await _count_waiting(services, user_id, documents)
    wrong: list[tuple[Account, Account]] = []
    for account in documents:
        slots = Query(
            collection=JOBS,
            where=(("slotOf", "==", account.document_id),),
            order=(("createdAt", "desc"),),
        )
        active = int((await services.store.aggregate(slots))["count"])
        numbers = {"active": active, "waiting": waiting[account.shard]}
        if numbers != _read_numbers(account):
            wrong.append((account, account.model_copy(update=numbers)))
    if not wrong:
        return False
    corrected = await services.store.transaction(lambda tx: _correct_counts(tx, wrong))
    for before, after in corrected:
        log.warning(
            "an account's numbers of jobs were wrong and have been counted afresh",
            extra={
                "action": "slots_corrected",
                "user_id": user_id,
                "shard": after.shard,
                "before": _read_numbers(before),
                "after": _read_numbers(after),
            },
        )
    return bool(corrected)


def _read_numbers(account: Account) -> dict[str, int]:
    return {"active": account.active, "waiting": account.waiting}


async def _load_documents(services: Services, user_id: str) -> Sequence[Account]:
    """The one document of an account, or all those of a sharded one; none where it has none."""
    first = await services.store.get(ACCOUNTS, user_id)
    if first is None:
        return ()
    if not first.shard_documents:
        return (first,)
    from taskreel.app.credits.account_shards import load_shards  # of few accounts: cold start

    return await load_shards(services, user_id, first.shard_documents)


async def _count_waiting(
    services: Services, user_id: str, documents: Sequence[Account]
) -> Counter[int]:
    """The waiting jobs of each document, by its number."""
    field, owner = find_line(user_id)
    query = Query(
        collection=_WAITING,
        where=((field, "==", owner), ("waitsFor", "==", str(WaitsFor.USER))),
        order=(("rank", "asc"),),
        limit=_PAGE,
        fields=_FIELDS,
    )
    found = int((await services.store.aggregate(replace(query, limit=None, fields=None)))["count"])
    if len(documents) == 1:
        return Counter({documents[0].shard: found})
    stated = Counter({account.shard: account.waiting for account in documents})
    if found == stated.total() and min(stated.values()) >= 0:
        return stated
    counted = Counter[int]()
    async for rows in read_pages(services.store, query):
        counted.update(int(row.data.get("accountShard") or 0) for row in rows)
    return counted


async def _correct_counts(
    tx: Transaction, wrong: Sequence[tuple[Account, Account]]
) -> list[tuple[Account, Account]]:
    """Write the documents that are as they were before the count; returns those."""
    corrected = [
        (before, after)
        for before, after in wrong
        if await tx.get(ACCOUNTS, before.document_id) == before
    ]
    documents = [after for _, after in corrected]
    if any(account.shard_documents for account in documents):
        from taskreel.app.credits.account_shards import list_corrections  # cold start

        documents = await list_corrections(tx, documents)
    for account in documents:
        tx.set(ACCOUNTS, account.document_id, account)
    return corrected
