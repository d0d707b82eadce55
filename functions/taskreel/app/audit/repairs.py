"""The repairs of an audit, each in one transaction that checks again, and in the admins' record.

Repaired is what has one right answer that the store itself knows. What money moved wrongly, or
which file is gone, an operator decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from taskreel.app.audit.job_rules import Rule, Violation, has_right_wake_time
from taskreel.app.flow.account_counts import recount_account
from taskreel.app.jobs.finish_job import settle_hold
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.query_pages import read_pages
from taskreel.app.services import Services
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.errors import StoreConflictError
from taskreel.domain.ids import project_of_account, random_id, shard_account_id
from taskreel.domain.job import Job
from taskreel.ports import Query, Transaction
from taskreel.store_collections import ACCOUNTS, AUDIT, JOBS

_ACTOR = "taskreel audit"
_PAGE = 200


async def repair(services: Services, violation: Violation) -> str | None:
    """Repair what the violation names; one sentence on it, None where nothing was changed."""
    repairs: dict[Rule, Callable[[Services, Violation], Awaitable[str | None]]] = {
        Rule.SLOTS: _recount_slots,
        Rule.WAKE_TIME: _wake_job,
        Rule.NOTHING_HELD_AFTER_END: _settle_hold,
        Rule.HOLDS: _release_stale_hold,
    }
    repair = repairs.get(violation.rule)
    try:
        done = None if repair is None else await repair(services, violation)
    except StoreConflictError:
        done = None  # its settlement exists: an operator must examine both
    return None if done is None else f"{violation.rule}: {violation.subject}: {done}"


async def _recount_slots(services: Services, violation: Violation) -> str | None:
    changed = await recount_account(services, violation.user_id)
    return f"the slots of user {violation.user_id} were counted afresh" if changed else None


async def _wake_job(services: Services, violation: Violation) -> str | None:
    """Let the sweep check an open job that has no wake time; an ended one needs none."""

    async def write(tx: Transaction) -> str | None:
        job = await load_job(tx, _job_id(violation))
        now = services.clock.now()
        if job is None or job.has_unknown_state or has_right_wake_time(job):
            return None
        # Its last change stays as it was: that a task of it is waiting is known by that.
        wake_at = now if job.wake_at is None else None
        store_job(tx, job.with_changes(job.updated_at, wake_at=wake_at))
        _record(services, tx, violation)
        return "it needs no wake time" if wake_at is None else "the next sweep checks it"

    return await services.store.transaction(write)


async def _settle_hold(services: Services, violation: Violation) -> str | None:
    """Settle a job that has ended and still holds credits: its finished units are captured."""

    async def write(tx: Transaction) -> str | None:
        job = await load_job(tx, _job_id(violation))
        if job is None or not job.status.final or job.parent_id is not None:
            return None
        if not job.credits.held and job.slot_of is None:
            return None
        held, now = job.credits.held, services.clock.now()
        captured = min(held, _count_done(job))
        settled = job.credits.model_copy(
            update={
                "held": 0,
                "captured": job.credits.captured + captured,
                "released": job.credits.released + held - captured,
            }
        )
        store_job(tx, job.with_changes(job.updated_at, credits=settled, slot_of=None))
        # Its entry is create-only: a hold that was settled after all cannot be settled again.
        settle_hold(tx, job, now, held=held, captured=captured)
        _record(services, tx, violation)
        return f"{captured} of its {held} held credits were captured, the rest released"

    return await services.store.transaction(write)


def _count_done(job: Job) -> int:
    # `spent` has the work of a pipeline's child jobs too.
    return max(job.spent, sum(unit.credits for unit in job.done_units))


async def _release_stale_hold(services: Services, violation: Violation) -> str | None:
    """Release what an account holds for no job: the job is gone, so nothing else settles it."""
    store, user = services.store, violation.user_id
    shard = _shard_number(violation)
    account_id = shard_account_id(user, shard)
    before = await store.get(ACCOUNTS, account_id)
    by_jobs = 0
    # The jobs of a project's account are those of its members that it pays.
    project_id = project_of_account(user)
    field, owner = ("userId", user) if project_id is None else ("projectId", project_id)
    query: Query[Job] = Query(
        collection=JOBS,
        where=((field, "==", owner),),
        order=(("createdAt", "desc"),),
        limit=_PAGE,
    )
    async for rows in read_pages(store, query):
        by_jobs += sum(
            int(row.data.get("credits", {}).get("held", 0))
            for row in rows
            if row.data.get("paidBy") == (None if project_id is None else user)
            and (project_id is not None or row.data.get("accountShard", 0) == shard)
        )
    if before is None or before.held <= by_jobs:
        return None  # jobs that hold more than their account: the owner of the credits is unknown
    stale = before.held - by_jobs

    async def write(tx: Transaction) -> str | None:
        account = await tx.get(ACCOUNTS, account_id)
        # Every hold and settlement changes the account: what was counted is still so.
        if account != before:
            return None
        changes = {"held": account.held - stale, "available": account.available + stale}
        tx.set(ACCOUNTS, account_id, account.model_copy(update=changes))
        _record(services, tx, violation)
        return f"{stale} credits that no job holds were released"

    return await store.transaction(write)


def _shard_number(violation: Violation) -> int:
    """The number of the account's document that a violation of its books names."""
    number = violation.subject.removeprefix("account shard ")
    return int(number) if number.isdecimal() else 0


def _job_id(violation: Violation) -> str:
    return violation.subject.removeprefix("job ")


def _record(services: Services, tx: Transaction, violation: Violation) -> None:
    entry = AuditEntry(
        entry_id=random_id(services.random),
        at=services.clock.now(),
        user_id=_ACTOR,
        action=f"repair {violation.rule}",
        subject=violation.subject,
        reason=violation.text,
    )
    tx.create(AUDIT, entry.entry_id, entry)
