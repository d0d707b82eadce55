"""Credit accounts: the balance of a user, and the initial grant of a new one."""

from __future__ import annotations

from datetime import datetime

from taskreel.app.services import Services
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.ports import Document, Store, Transaction


async def load_account(services: Services, reader: Store | Transaction, user_id: str) -> Account:
    """Read a user's account; a user without one has the initial grant. One read."""
    document = await reader.get("accounts", user_id)
    return _decode_account(services, user_id, document)


async def open_account(services: Services, tx: Transaction, user_id: str, at: datetime) -> Account:
    """Read a user's account in order to change it; the caller writes the changed account.

    For a user without one the ledger entry of the initial grant is created in the same transaction,
    so that the ledger always explains the balance.
    """
    document = await tx.get("accounts", user_id)
    account = _decode_account(services, user_id, document)
    if document is None and account.granted:
        entry = initial_grant(account, at)
        tx.create("ledger", entry.entry_id, entry.document())
    return account


def initial_grant(account: Account, at: datetime) -> LedgerEntry:
    """The ledger entry of a new user's first credits. Its id is fixed: there is one a user."""
    return LedgerEntry(
        entry_id=f"initial.{account.user_id}",
        user_id=account.user_id,
        kind=EntryKind.GRANT,
        amount=account.granted,
        reason="initial credits",
        created_at=at,
    )


def _decode_account(services: Services, user_id: str, document: Document | None) -> Account:
    if document is not None:
        return Account.model_validate(document.data)
    initial = services.rules.initial_credits
    return Account(user_id=user_id, available=initial, granted=initial)
