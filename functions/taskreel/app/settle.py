"""How a job ends: one commit of the job, its settlement in the ledger, and increments on the account."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskreel.domain.credits import EntryKind, LedgerEntry, settle
from taskreel.domain.job import Job, JobCredits, Status
from taskreel.ports import Increment, Transaction


def end(tx: Transaction, job: Job, status: Status, at: datetime, *, captured: int = 0, **changes: Any) -> Job:
    """Put `job`, as read in `tx`, into a final status and settle its hold.

    The fencing token grows, so that no run that still goes on can write; the ledger entry is create-only, one a round.
    """
    held = job.credits.held
    entry = LedgerEntry(
        entry_id=f"{job.job_id}.{job.round}",
        user_id=job.user_id,
        kind=EntryKind.CAPTURE if captured else EntryKind.RELEASE,
        amount=captured or held,
        held=held,
        job_id=job.job_id,
        created_at=at,
    )
    ended = job.to(
        status,
        at,
        credits=JobCredits(captured=captured, released=held - captured),
        fence=job.fence + 1,
        **changes,
    )
    tx.set("jobs", job.job_id, ended.document())
    tx.create("ledger", entry.entry_id, entry.document())
    movement = settle(held, captured).increments()
    if movement:
        tx.update("accounts", job.user_id, {name: Increment(amount) for name, amount in movement.items()})
    return ended
