"""Count the active and waiting jobs of a sharded account afresh, for each of its documents."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from taskreel.app.credits.account_shards import load_shards
from taskreel.app.query_pages import read_pages
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.job_fields import WaitsFor
from taskreel.ports import Collection, Query, Transaction
from taskreel.store_collections import ACCOUNTS, JOBS

log = logging.getLogger(__name__)

_PAGE = 300
#: Of a waiting job these fields alone are read.
_FIELDS = ("accountShard", "rank")
_WAITING: Collection[Mapping[str, Any]] = Collection(JOBS.name, dict, dict)


async def recount_shards(services: Services, user_id: str, documents: int) -> bool:
    """Correct the documents whose numbers of active and waiting jobs are wrong; True if any was.

    Waiting jobs are counted together, and read one by one only if their sum is wrong. Nothing is
    written to a document that has changed during the count.
    """
    shards = await load_shards(services, user_id, documents)
    waiting = await _count_waiting(services, user_id, shards)
    is_corrected = False
    for shard in shards:
        slots = Query(
            collection=JOBS,
            where=(("slotOf", "==", shard.document_id),),
            order=(("createdAt", "desc"),),
        )
        active = int((await services.store.aggregate(slots))["count"])
        numbers = {"active": active, "waiting": waiting[shard.shard]}
        before = {"active": shard.active, "waiting": shard.waiting}
        if numbers != before and await _correct_counts(services, shard, numbers):
            is_corrected = True
            log.warning(
                "an account's numbers of jobs were wrong and have been counted afresh",
                extra={
                    "action": "slots_mended",
                    "user_id": user_id,
                    "shard": shard.shard,
                    "before": before,
                    "after": numbers,
                },
            )
    return is_corrected


async def _count_waiting(services: Services, user_id: str, shards: list[Account]) -> Counter[int]:
    """The waiting jobs of each document."""
    query = Query(
        collection=_WAITING,
        where=(("userId", "==", user_id), ("waitsFor", "==", str(WaitsFor.USER))),
        order=(("rank", "asc"),),
        limit=_PAGE,
        fields=_FIELDS,
    )
    found = await services.store.aggregate(replace(query, limit=None, fields=None))
    stated = Counter({shard.shard: shard.waiting for shard in shards})
    if found["count"] == stated.total() and min(stated.values()) >= 0:
        return stated
    counted = Counter[int]()
    async for rows in read_pages(services.store, query):
        counted.update(int(row.data.get("accountShard") or 0) for row in rows)
    return counted


async def _correct_counts(services: Services, shard: Account, numbers: dict[str, int]) -> bool:
    async def write(tx: Transaction) -> bool:
        if await tx.get(ACCOUNTS, shard.document_id) != shard:
            return False
        tx.set(ACCOUNTS, shard.document_id, shard.model_copy(update=numbers))
        return True

    return await services.store.transaction(write)
