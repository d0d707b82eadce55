"""Grants: an administrator gives a user credits."""

from __future__ import annotations

from taskreel.app.credits.balances import load_account, open_account
from taskreel.app.services import Services
from taskreel.domain.credits import Account, EntryKind, LedgerEntry, grant_movement
from taskreel.domain.errors import IdempotencyMismatchError, InvalidError
from taskreel.domain.ids import USER_ID, is_user_id, keyed_grant_id, random_id
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, LEDGER


async def grant_credits(
    services: Services,
    user_id: str,
    amount: int,
    *,
    reason: str | None,
    granted_by: str,
    idempotency_key: str | None = None,
) -> Account:
    """Add `amount` credits to an account, with a ledger entry of the giver and the reason.

    A second grant of the same giver with the same idempotency key adds nothing. Raises InvalidError
    when `user_id` cannot be a user's id, and IdempotencyMismatchError when the key was used for
    another grant.
    """
    check_user_id(user_id)
    if idempotency_key is None:
        grant_id = random_id(services.random)
    else:
        grant_id = keyed_grant_id(granted_by, idempotency_key)
    entry = LedgerEntry(
        entry_id=f"grant.{grant_id}",
        user_id=user_id,
        kind=EntryKind.GRANT,
        amount=amount,
        reason=reason,
        granted_by=granted_by,
        created_at=services.clock.now(),
    )
    return await services.store.transaction(lambda tx: _write_grant(services, tx, entry))


def check_user_id(user_id: str) -> None:
    """Raise InvalidError for a text that cannot be a user's id."""
    if not is_user_id(user_id):
        message = f"must be {USER_ID}"
        raise InvalidError.at("userId", message, text=f"userId {message}")


async def _write_grant(services: Services, tx: Transaction, entry: LedgerEntry) -> Account:
    # The entry's fixed id makes a repeated grant find the first.
    earlier = await tx.get(LEDGER, entry.entry_id)
    if earlier is not None:
        if _describe_grant(earlier) != _describe_grant(entry):
            raise IdempotencyMismatchError(
                "This Idempotency-Key was used before for another grant. "
                "Use a new key for a new grant.",
                entryId=earlier.entry_id,
            )
        return await load_account(services, tx, entry.user_id)
    before = await open_account(services, tx, entry.user_id, entry.created_at)
    account = before.apply(grant_movement(entry.amount))
    tx.set(ACCOUNTS, entry.user_id, account)
    tx.create(LEDGER, entry.entry_id, entry)
    return account


def _describe_grant(entry: LedgerEntry) -> tuple[str, int, str | None]:
    return entry.user_id, entry.amount, entry.reason
