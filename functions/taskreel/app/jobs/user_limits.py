"""The limit on a user's active jobs: read it, and set it for one user as an administrator."""

from __future__ import annotations

from dataclasses import dataclass

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account, open_account
from taskreel.app.credits.grants import check_owner_id
from taskreel.app.flow.slots import active_limit
from taskreel.app.jobs.enqueue import start_waiting_jobs
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.ids import find_limit_owner
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, AUDIT


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLimit:
    """The limit on a user's active jobs, None without limits, and the jobs that count now."""

    account: Account
    active_jobs: int | None


async def read_user_limit(services: Services, user_id: str, tier: str | None = None) -> UserLimit:
    """The limit of a user; of one who has never submitted a job, by `tier`. One read.

    That of an API key is the one of all keys of its project.

    Raises InvalidError for a text that cannot be a user's id.
    """
    check_owner_id(user_id)
    account = await load_account(services, find_limit_owner(user_id))
    if account.tier is None:
        account = account.model_copy(update={"tier": tier})
    return _describe(services, account)


async def set_user_limit(
    services: Services, caller: Caller, user_id: str, active_jobs: int | None, reason: str
) -> UserLimit:
    """Give a user a limit instead of their tier's, or with None the tier's again.

    Recorded in the audit log. Waiting jobs for which it makes room start at once; running ones are
    not stopped. Raises InvalidError for a text that cannot be a user's id, and ConflictError for a
    sharded account, which must have a limit of its own.
    """
    check_owner_id(user_id)
    user_id = find_limit_owner(user_id)
    shown = "the tier's" if active_jobs is None else str(active_jobs)
    action = f"limit of active jobs set: {shown}"
    entry = build_audit_entry(services, caller.user_id, action, subject=user_id, reason=reason)

    async def write(tx: Transaction) -> Account:
        account = await open_account(services, tx, user_id, entry.at)
        if account.shard_documents:
            from taskreel.app.jobs.shard_account import limit_shards  # of few accounts: cold start

            await limit_shards(tx, account, active_jobs)
        else:
            account = account.model_copy(update={"max_active": active_jobs})
            tx.set(ACCOUNTS, user_id, account)
        tx.create(AUDIT, entry.entry_id, entry)
        return account

    account = await services.store.transaction(write)
    if account.shard_documents:
        account = await load_account(services, user_id)
    return _describe(services, await start_waiting_jobs(services, account))


def _describe(services: Services, account: Account) -> UserLimit:
    limits = services.rules.limits
    return UserLimit(
        account=account,
        active_jobs=None if limits is None else active_limit(limits, account),
    )
