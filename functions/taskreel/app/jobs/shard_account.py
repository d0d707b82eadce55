"""Divide a user's account into several documents, and unite it again, as an administrator."""

from __future__ import annotations

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.credits.account_shards import open_documents
from taskreel.app.credits.balances import load_account, open_account
from taskreel.app.credits.grants import check_user_id
from taskreel.app.jobs.enqueue import start_waiting_jobs
from taskreel.app.services import Services
from taskreel.domain.account_shards import divide_limit, resize_account
from taskreel.domain.credits import Account
from taskreel.domain.errors import ConflictError
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, AUDIT


async def set_account_shards(
    services: Services, caller: Caller, user_id: str, shards: int, reason: str
) -> Account:
    """Give a user's account `shards` documents for its new jobs; 1 is an account like any other.

    Documents above that run out: what running jobs hold there is settled there, and the next call
    merges those that have nothing any more. Recorded in the audit log. Returns the sums. Raises
    InvalidError for a text that cannot be a user's id, and ConflictError for an account that has
    spend caps, open grants of their own order, or no limit on active jobs of its own.
    """
    check_user_id(user_id)
    action = f"account shards set: {shards}"
    entry = build_audit_entry(services, caller.user_id, action, subject=user_id, reason=reason)

    async def write(tx: Transaction) -> None:
        first = await open_account(services, tx, user_id, entry.at)
        if shards > 1:
            _require_divisible(first)
        before = await open_documents(tx, first)
        if shards > 1 or len(before) > 1:
            resized, lost = resize_account(before, shards)
            for shard in resized:
                tx.set(ACCOUNTS, shard.document_id, shard)
            for id_ in lost:
                tx.delete(ACCOUNTS, id_)
        else:
            # Opening it has perhaps written ledger entries: of first credits, or of ended grants.
            tx.set(ACCOUNTS, first.document_id, first)
        tx.create(AUDIT, entry.entry_id, entry)

    await services.store.transaction(write)
    return await start_waiting_jobs(services, await load_account(services, user_id))


async def limit_shards(tx: Transaction, first: Account, active_jobs: int | None) -> None:
    """Divide another limit on active jobs among the documents. Raises ConflictError for none."""
    if active_jobs is None:
        raise ConflictError(
            "The account is sharded, and the limit of a tier, which each token names anew, cannot "
            "be divided. Give it another limit, or set its shards to 1 first."
        )
    for shard in divide_limit(await open_documents(tx, first), active_jobs):
        tx.set(ACCOUNTS, shard.document_id, shard)


def _require_divisible(account: Account) -> None:
    """Raise ConflictError, with what to do, for an account whose numbers cannot be divided."""
    if account.has_caps:
        raise ConflictError(
            "The account has a spend cap, and no shard knows what all spend. Remove its caps "
            "first: its credits are a limit, too."
        )
    if account.grants:
        raise ConflictError(
            "The account has open grants with a priority or an end of their own, and they would be "
            "those of one shard. Wait until they are spent or expire."
        )
    if account.max_active is None:
        raise ConflictError(
            "The account has the limit on active jobs of its tier, which each token names anew: "
            f"only a limit of its own can be divided. PUT /api/limits/{account.user_id} sets one."
        )
