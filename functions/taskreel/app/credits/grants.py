"""Grants: an administrator gives a user credits."""

from __future__ import annotations

from taskreel.app.credits.balances import open_account
from taskreel.app.services import Services
from taskreel.domain.credits import Account, EntryKind, LedgerEntry, grant_movement
from taskreel.domain.errors import InvalidError
from taskreel.domain.ids import USER_ID, is_user_id, random_id
from taskreel.ports import Transaction


async def grant_credits(
    services: Services, user_id: str, amount: int, *, reason: str | None, granted_by: str
) -> Account:
    """Add `amount` credits to an account, with a ledger entry of the giver and the reason.

    Raises InvalidError when `user_id` cannot be a user's id.
    """
    if not is_user_id(user_id):
        message = f"must be {USER_ID}"
        raise InvalidError.at("userId", message, text=f"userId {message}")
    entry = LedgerEntry(
        entry_id=f"grant.{random_id(services.random)}",
        user_id=user_id,
        kind=EntryKind.GRANT,
        amount=amount,
        reason=reason,
        granted_by=granted_by,
        created_at=services.clock.now(),
    )
    return await services.store.transaction(lambda tx: _write_grant(services, tx, entry))


async def _write_grant(services: Services, tx: Transaction, entry: LedgerEntry) -> Account:
    before = await open_account(services, tx, entry.user_id, entry.created_at)
    account = before.apply(grant_movement(entry.amount))
    tx.set("accounts", entry.user_id, account.document())
    tx.create("ledger", entry.entry_id, entry.document())
    return account
