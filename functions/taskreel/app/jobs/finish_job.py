"""How a job ends: one commit of the job, its settlement in the ledger, and increments on the account."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from taskreel.app.jobs.job_store import load_job
from taskreel.domain.credits import EntryKind, LedgerEntry, settle
from taskreel.domain.job import Job, JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.ports import Increment, Transaction

#: When the provider of a job that has ended is told again to stop, should the first time have come to nothing.
STOPPED_WITHIN = timedelta(minutes=2)

#: How long an ended job stays; the store's TTL policy on `expireAt` removes it then. The ledger stays.
KEPT = timedelta(days=90)


def end(
    tx: Transaction, job: Job, status: Status, at: datetime, *, captured: int = 0, **changes: Any
) -> Job:
    """Put `job`, as read in `tx`, into a final status and settle its hold.

    The fencing token grows, so that no run that still goes on can write; the ledger entry is create-only, one a round.
    A pipeline's job holds nothing: the pipeline settles once for all of them. What is left at a provider is stopped by
    one more delivery, which is the caller's to send.
    """
    held = job.credits.held
    spent = sum(
        unit.credits for unit in changes.get("units", job.units) if unit.state is UnitState.DONE
    )
    paid = captured if job.parent_id is None else 0
    moved = JobCredits(captured=paid, released=held - paid)
    ending = {
        "spent": captured or spent,
        "credits": moved,
        "fence": job.fence + 1,
        "expire_at": at + KEPT,
    }
    ended = job.enter_status(status, at, **{**ending, **changes})
    if ended.needs_clean_up:
        ended = ended.with_changes(at, delivery=ended.delivery + 1, wake_at=at + STOPPED_WITHIN)
    tx.set("jobs", job.job_id, ended.document())
    if job.parent_id is None:
        _settle(tx, ended, held, captured, at)
    return ended


async def finish_as_cancelled(tx: Transaction, job_id: str, at: datetime) -> Job | None:
    """Cancel the job unless it has ended; the job as it is then, None when there is none."""
    job = await load_job(tx, job_id)
    if job is None or job.status.final:
        return job
    return end(tx, job, Status.CANCELLED, at)


def _settle(tx: Transaction, job: Job, held: int, captured: int, at: datetime) -> None:
    entry = LedgerEntry(
        entry_id=f"{job.job_id}.{job.round}",
        user_id=job.user_id,
        kind=EntryKind.CAPTURE if captured else EntryKind.RELEASE,
        amount=captured or held,
        held=held,
        job_id=job.job_id,
        created_at=at,
    )
    tx.create("ledger", entry.entry_id, entry.document())
    movement = settle(held, captured).increments()
    if movement:
        tx.update(
            "accounts", job.user_id, {name: Increment(amount) for name, amount in movement.items()}
        )
