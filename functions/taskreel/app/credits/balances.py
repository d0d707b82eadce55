"""Credit accounts: the balance of a user, and the initial grant of a new one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from taskreel.app.services import Services
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.domain.errors import UnfitShardError
from taskreel.domain.ids import is_project_account, key_of_user
from taskreel.domain.job import Job
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, LEDGER

if TYPE_CHECKING:  # with shards alone: cold start
    from taskreel.app.credits.account_shards import JobNeeds, ShardChoice

T = TypeVar("T")


async def load_account(services: Services, user_id: str) -> Account:
    """Read a user's account; a user without one has the initial grant.

    One read, and of a sharded account one more for each of its documents, which are added up.
    """
    account = await services.store.get(ACCOUNTS, user_id)
    if account is None:
        return _new_account(services, user_id)
    if account.shard_documents:
        from taskreel.app.credits.account_shards import load_shards  # of few accounts: cold start
        from taskreel.domain.account_shards import merge_shards

        shards = await load_shards(services, user_id, account.shard_documents)
        return merge_shards(shards) if shards else _new_account(services, user_id)
    return account


async def read_account(services: Services, tx: Transaction, user_id: str) -> Account:
    """Read a user's account in a transaction, the first document of a sharded one. One read."""
    account = await tx.get(ACCOUNTS, user_id)
    return account or _new_account(services, user_id)


async def open_job_account(services: Services, tx: Transaction, job: Job) -> tuple[Account, Job]:
    """Read the document of the user's account that has the job's slot; the caller writes it.

    Returns the job, too, with the number of the document, should its own be gone by now: that is
    removed only while no job holds anything there.
    """
    if job.account_shard:
        shard = await tx.get(ACCOUNTS, job.own_account_id)
        if shard is not None:
            return shard, job
        job = job.with_changes(job.updated_at, account_shard=0)
    return await read_account(services, tx, job.limit_owner), job


async def run_on_any_shard(
    services: Services,
    job: Job,
    list_needs: Callable[[int], JobNeeds],
    run: Callable[[Transaction, ShardChoice | None], Awaitable[T]],
) -> T:
    """Run the transaction that holds a job's credits and takes its slot.

    It runs without a choice first; and where the account is sharded, and the job's own document of
    it cannot take the job, with one (`account_shards`). `list_needs` tells what a job of that cost
    needs.
    """
    try:
        return await services.store.transaction(lambda tx: run(tx, None))
    except UnfitShardError as unfit:
        from taskreel.app.credits.account_shards import run_on_fit_shard  # of few: cold start

        return await run_on_fit_shard(services, job, list_needs(unfit.cost), run)


async def open_account(services: Services, tx: Transaction, user_id: str, at: datetime) -> Account:
    """Read a user's account in order to change it; the caller writes the changed account.

    Of a sharded account it is the first document.

    For a user without one the ledger entry of the initial grant is created in the same transaction,
    so that the ledger always explains the balance; and so are those of grants that have ended.
    """
    stored = await tx.get(ACCOUNTS, user_id)
    if stored is not None:
        return write_expiry(tx, stored, at) if stored.grants else stored
    account = _new_account(services, user_id)
    if account.granted:
        entry = initial_grant(account, at)
        tx.create(LEDGER, entry.entry_id, entry)
    return account


def write_expiry(tx: Transaction, account: Account, at: datetime) -> Account:
    """Take the rest of ended grants out of the account, with ledger entries.

    The account, which the caller writes in `tx`, has nothing of them any more: it happens once.
    """
    from taskreel.domain.grants import expire_grants  # with such grants alone: cold start

    after, expired = expire_grants(account, at)
    for grant_id, amount in expired.items():
        entry = LedgerEntry(
            # A late release can return to a grant that has ended, and then expires by itself.
            entry_id=f"expiry.{grant_id}.{account.expired}",
            user_id=account.user_id,
            kind=EntryKind.EXPIRY,
            amount=amount,
            reason=f"grant.{grant_id}",
            created_at=at,
        )
        tx.create(LEDGER, entry.entry_id, entry)
    return after


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


def _new_account(services: Services, user_id: str) -> Account:
    # A project has what it is granted, and its keys nothing: each new one would be a source of
    # credits.
    has_none = is_project_account(user_id) or key_of_user(user_id) is not None
    initial = 0 if has_none else services.rules.initial_credits
    return Account(user_id=user_id, available=initial, granted=initial)
