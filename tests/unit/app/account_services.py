"""Services of the use cases of accounts, on any store and at one moment."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import cast

from taskreel.app.services import Rules, Services
from taskreel.domain.credits import Account
from taskreel.ports import Store, Transaction
from taskreel.store_collections import ACCOUNTS
from unit.domain.samples import NOW


def build_services(store: Store, random: Random) -> Services:
    """Services with what these use cases need."""
    clock = SimpleNamespace(now=lambda: NOW)
    found = SimpleNamespace(store=store, rules=Rules(), clock=clock, random=random)
    return cast(Services, found)


async def store_account(store: Store, account: Account) -> None:
    async def write(tx: Transaction) -> None:
        tx.set(ACCOUNTS, account.document_id, account)

    await store.transaction(write)
