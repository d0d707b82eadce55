"""Marks in a job by which its removal and what takes over its work see each other."""

from __future__ import annotations

from datetime import datetime, timedelta

from taskreel.app.jobs.job_store import load_job
from taskreel.domain.errors import NotFoundError
from taskreel.domain.job import Job
from taskreel.ports import Transaction
from taskreel.store_collections import JOBS


async def take_from_original(tx: Transaction, original_id: str, now: datetime) -> None:
    """Within the transaction that stores a replay, or a cached step: write the job it takes from.

    A removal of that job that has searched for replays before is refused then (`jobs.remove`), and
    once a removal has begun there is nothing to take: NotFoundError. A read alone is not part of
    what a commit is checked against.
    """
    original = await load_job(tx, original_id)
    if original is None or original.is_being_removed:
        raise NotFoundError(f"There is no job {original_id} any more: it has just been deleted.")
    tx.update(JOBS, original_id, {"updatedAt": find_next_update(original, now)})


def find_next_update(job: Job, now: datetime) -> datetime:
    """A time of change that differs from the stored one, also within one tick of the clock."""
    return max(now, job.updated_at + timedelta(microseconds=1))
