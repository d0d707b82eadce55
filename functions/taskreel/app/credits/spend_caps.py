"""Caps on the credits that a user may spend in a day and in a month, set by administrators."""

from __future__ import annotations

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.credits.balances import open_account
from taskreel.app.credits.grants import check_user_id
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.errors import ConflictError
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, AUDIT


async def set_spend_caps(
    services: Services,
    caller: Caller,
    user_id: str,
    *,
    daily: int | None,
    monthly: int | None,
    reason: str,
) -> Account:
    """Limit the credits of a user's holds in a day and in a month (UTC); None is no limit.

    What is spent already counts. A cap below it stops new holds, and no job that has one. A raised
    cap has its alert again in the same period. Recorded in the audit log. Raises InvalidError for a
    text that cannot be a user's id, and ConflictError for a sharded account.
    """
    check_user_id(user_id)
    action = f"spend caps set: daily {_name_cap(daily)}, monthly {_name_cap(monthly)}"
    entry = build_audit_entry(services, caller.user_id, action, subject=user_id, reason=reason)

    async def write(tx: Transaction) -> Account:
        account = await open_account(services, tx, user_id, entry.at)
        if account.shard_documents and (daily, monthly) != (None, None):
            raise ConflictError(
                "The account is sharded, and no document of it knows what all spend: its credits "
                "are the limit. Set its shards to 1 first, and again once its last jobs there have "
                "ended."
            )
        account = account.model_copy(update={"daily_cap": daily, "monthly_cap": monthly})
        account = account.without_stale_alerts(entry.at)
        tx.set(ACCOUNTS, user_id, account)
        tx.create(AUDIT, entry.entry_id, entry)
        return account

    return await services.store.transaction(write)


def _name_cap(limit: int | None) -> str:
    return "none" if limit is None else str(limit)
