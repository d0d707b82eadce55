"""Let the sums of an erased person's account go on under their pseudonym."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.app.erasure.erase_jobs import has_jobs
from taskreel.app.erasure.progress import load_running
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.erasure import running_erasure_id
from taskreel.domain.ids import shard_account_id
from taskreel.ports import Transaction, undecoded_collection
from taskreel.store_collections import ACCOUNTS, ERASURES

#: The numbers of an account that go on under the pseudonym, and the beginnings of its fields with
#: the rest of grants.
_ADDED = ("available", "held", "captured", "expired", "granted", "grants")
_SUMS = (*_ADDED, "wakeAt", "wakeShard")
_GRANTS = ("grantLeft_", "grantHeld_")


async def move_account(services: Services, user_id: str) -> bool:
    """Give the account's sums to the pseudonym, unless a job would still settle on it.

    A sharded account is moved with all of its documents, to one.
    """
    raw = undecoded_collection(ACCOUNTS.name)
    first = await services.store.get(raw, user_id)
    documents = _count_documents(first)
    ids = [shard_account_id(user_id, number) for number in range(documents)]
    stored = await services.store.get_all(raw, ids)
    found = dict(zip(ids, stored, strict=True))
    if _count_documents(found[user_id]) != documents:
        return False  # it was divided meanwhile: moved without the new ones, it would leave credits
    if await has_jobs(services, user_id):
        return False

    async def write(tx: Transaction) -> bool:
        shards: dict[str, Mapping[str, Any] | None] = {}
        for id_ in ids:
            shard = await tx.get(raw, id_)
            shards[id_] = shard
        # Each submission writes a document: as they are unchanged, there is no job still.
        if shards != found or shards[user_id] is None:
            return shards[user_id] is None
        erasure = await load_running(tx, user_id)
        moved = await tx.get(raw, erasure.pseudonym)
        for id_, one in shards.items():
            # Each is written, so that none changes meanwhile.
            if one is not None:
                moved = _combine_accounts(one, moved, erasure.pseudonym)
                tx.delete(ACCOUNTS, id_)
        tx.set(ACCOUNTS, erasure.pseudonym, Account.model_validate(moved))
        number = sum(one is not None for one in shards.values())
        counted = erasure.count("pseudonymised", {ACCOUNTS.name: number}, services.clock.now())
        tx.set(ERASURES, running_erasure_id(user_id), counted)
        return True

    return await services.store.transaction(write)


def _count_documents(first: Mapping[str, Any] | None) -> int:
    return 1 if first is None else int(first.get("shardDocuments", 0)) or 1


def _combine_accounts(
    account: Mapping[str, Any], before: Mapping[str, Any] | None, pseudonym: str
) -> dict[str, Any]:
    """The pseudonym's account with the sums of both: `before` is it with what was moved before."""
    moved = {
        name: value for name, value in account.items() if name in _SUMS or name.startswith(_GRANTS)
    }
    for name, value in (before or {}).items():
        # A token that was still valid has opened another account meanwhile: there are two to add.
        other = moved.get(name)
        if name in _ADDED and other is not None:
            moved[name] = [*value, *other] if name == "grants" else value + other
        elif name == "wakeAt" and other is not None:
            moved[name] = min(value, other)
        else:
            moved[name] = value
    moved["userId"] = pseudonym
    return moved
