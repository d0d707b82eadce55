"""Let the sums of an erased person's account go on under their pseudonym."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.app.erasure.all_documents import uncoded
from taskreel.app.erasure.erase_jobs import has_jobs
from taskreel.app.erasure.progress import load_running
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.erasure import running_erasure_id
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, ERASURES

#: The numbers of an account that go on under the pseudonym, and the beginnings of its fields with
#: what is left of grants.
_ADDED = ("available", "held", "captured", "expired", "granted", "grants")
_SUMS = (*_ADDED, "wakeAt", "wakeShard")
_GRANTS = ("grantLeft_", "grantHeld_")


async def move_account(services: Services, user_id: str) -> bool:
    """Give the account's sums to the pseudonym, unless a job would still settle on it."""
    raw = uncoded(ACCOUNTS)
    found = await services.store.get(raw, user_id)
    if await has_jobs(services, user_id):
        return False

    async def write(tx: Transaction) -> bool:
        account = await tx.get(raw, user_id)
        # Each submission writes the account: as it is unchanged, there is no job still.
        if account is None or account != found:
            return account is None
        erasure = await load_running(tx, user_id)
        before = await tx.get(raw, erasure.pseudonym)
        moved = _combine_accounts(account, before, erasure.pseudonym)
        tx.set(ACCOUNTS, erasure.pseudonym, moved)
        tx.delete(ACCOUNTS, user_id)
        counted = erasure.count("pseudonymised", {ACCOUNTS.name: 1}, services.clock.now())
        tx.set(ERASURES, running_erasure_id(user_id), counted)
        return True

    return await services.store.transaction(write)


def _combine_accounts(
    account: Mapping[str, Any], before: Mapping[str, Any] | None, pseudonym: str
) -> Account:
    """The pseudonym's account with the sums of both: `before` is that of an earlier round."""
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
    return Account.model_validate(moved)
