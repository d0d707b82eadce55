"""Grants: an administrator gives a user credits, which may have an end or an order of their own."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.credits.balances import (
    load_account,
    open_account,
    read_account,
    write_expiry,
)
from taskreel.app.query_pages import build_due_query, read_pages
from taskreel.app.services import Services
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.credits import Account, CreditGrant, EntryKind, LedgerEntry, grant_movement
from taskreel.domain.errors import (
    ConflictError,
    IdempotencyMismatchError,
    InvalidError,
    TaskreelError,
)
from taskreel.domain.grants import DEFAULT_PRIORITY, is_ordinary, open_grant, plan_expiry
from taskreel.domain.ids import USER_ID, is_owner_id, is_user_id, keyed_grant_id, random_id
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, AUDIT, LEDGER

log = logging.getLogger(__name__)

#: They are parts of the account's document, which every hold reads and writes.
MOST_OPEN_GRANTS = 50
_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantOrder:
    """A grant that an administrator gives: its amount and reason, its priority and end."""

    amount: int
    reason: str | None
    granted_by: str
    idempotency_key: str | None = None
    priority: int = DEFAULT_PRIORITY
    expires_at: datetime | None = None


async def grant_credits(services: Services, user_id: str, order: GrantOrder) -> Account:
    """Add credits to a user's account, with a ledger entry of the giver and the reason.

    Credits of a smaller `priority` are spent first, then those that expire first, then the oldest.
    A second grant of the same giver with the same idempotency key adds nothing. Raises InvalidError
    when `user_id` cannot be a user's id or the grant would have expired, ConflictError for an
    account with too many open grants of their own order, and IdempotencyMismatchError when the key
    was used for another grant.
    """
    check_user_id(user_id)
    entry = build_grant_entry(services, user_id, order)
    action = f"credits granted: {order.amount}"
    record = build_grant_record(services, user_id, action, order)

    async def write(tx: Transaction) -> Account:
        account, _ = await write_grant(services, tx, entry, record)
        return account

    account = await services.store.transaction(write)
    return await load_account(services, user_id) if account.shard_documents else account


def build_grant_entry(services: Services, account_id: str, order: GrantOrder) -> LedgerEntry:
    """The ledger entry of a grant to a user's or a project's account."""
    if order.idempotency_key is None:
        grant_id = random_id(services.random)
    else:
        grant_id = keyed_grant_id(order.granted_by, order.idempotency_key)
    return LedgerEntry(
        entry_id=f"grant.{grant_id}",
        user_id=account_id,
        kind=EntryKind.GRANT,
        amount=order.amount,
        reason=order.reason,
        granted_by=order.granted_by,
        priority=None if order.priority == DEFAULT_PRIORITY else order.priority,
        expires_at=order.expires_at,
        created_at=services.clock.now(),
    )


def build_grant_record(
    services: Services, subject: str, action: str, order: GrantOrder
) -> AuditEntry:
    """The entry of the audit log for a grant to the user or the project that is its `subject`."""
    reason = order.reason or ""
    return build_audit_entry(services, order.granted_by, action, subject=subject, reason=reason)


def check_user_id(user_id: str) -> None:
    """Raise InvalidError for a text that cannot be a user's id."""
    if not is_user_id(user_id):
        message = f"must be {USER_ID}"
        raise InvalidError.at("userId", message, text=f"userId {message}")


def check_owner_id(user_id: str) -> None:
    """Raise InvalidError for a text that can be neither a user's id nor an API key's."""
    if not is_owner_id(user_id):
        check_user_id(user_id)


async def write_grant(
    services: Services, tx: Transaction, entry: LedgerEntry, record: AuditEntry
) -> tuple[Account, bool]:
    """Write a grant's entry, its account and its record in the audit log; True with the account.

    A grant that is repeated by its idempotency key is none: the account as it is, and False.
    """
    # The entry's fixed id makes a repeated grant find the first.
    earlier = await tx.get(LEDGER, entry.entry_id)
    if earlier is not None:
        if _describe_grant(earlier) != _describe_grant(entry):
            raise IdempotencyMismatchError(
                "This Idempotency-Key was used before for another grant. "
                "Use a new key for a new grant.",
                entryId=earlier.entry_id,
            )
        return await read_account(services, tx, entry.user_id), False
    before = await open_account(services, tx, entry.user_id, entry.created_at)
    account = before.apply(grant_movement(entry.amount))
    priority = DEFAULT_PRIORITY if entry.priority is None else entry.priority
    if not is_ordinary(priority, entry.expires_at):
        account = _open_grant(services, account, entry, priority)
    tx.set(ACCOUNTS, entry.user_id, account)
    tx.create(LEDGER, entry.entry_id, entry)
    tx.create(AUDIT, record.entry_id, record)
    return account, True


def _open_grant(services: Services, account: Account, entry: LedgerEntry, priority: int) -> Account:
    if entry.expires_at is not None and entry.expires_at <= entry.created_at:
        raise InvalidError.at("expiresAt", "must be in the future")
    if account.shard_documents:
        raise ConflictError(
            "The account is sharded: the order and the end of a grant would be those of one "
            "document, whose jobs alone would use it up. Grant without either, or set its shards "
            "to 1 first."
        )
    if len(account.grants) >= MOST_OPEN_GRANTS:
        raise ConflictError(
            f"The account has {MOST_OPEN_GRANTS} open grants with a priority or an end of their "
            "own, which is the most. Grant without either, or wait until some are spent or expire."
        )
    grant = CreditGrant(
        grant_id=entry.entry_id.removeprefix("grant."),
        amount=entry.amount,
        priority=priority,
        expires_at=entry.expires_at,
        created_at=entry.created_at,
    )
    return open_grant(account, grant, services.random.randrange(services.rules.wake_shards))


def _describe_grant(entry: LedgerEntry) -> tuple[object, ...]:
    return entry.user_id, entry.amount, entry.reason, entry.priority, entry.expires_at


async def expire_due_grants(services: Services) -> dict[str, int]:
    """Expire the rest of grants that have ended; returns the number of accounts by action.

    No account stops the others.
    """
    now = services.clock.now()
    counts: Counter[str] = Counter()
    due = build_due_query(ACCOUNTS, now, page=_PAGE, shards=services.rules.wake_shards)
    async for rows in read_pages(services.store, due):
        for row in rows:
            try:
                await services.store.transaction(partial(_expire_in_account, row.id, now))
            except TaskreelError as error:
                log.warning(
                    "grants of an account could not expire; the next sweep tries again",
                    extra={"action": "expiry_unwritten", "user_id": row.id, "error": error.message},
                )
                counts["expiry_unwritten"] += 1
            else:
                counts["expired_grants"] += 1
    return dict(counts)


async def _expire_in_account(user_id: str, now: datetime, tx: Transaction) -> None:
    account = await tx.get(ACCOUNTS, user_id)
    if account is None or account.wake_at is None or account.wake_at > now:
        return
    tx.set(ACCOUNTS, user_id, plan_expiry(write_expiry(tx, account, now), now))
