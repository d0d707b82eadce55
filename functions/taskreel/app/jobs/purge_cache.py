"""Purge the result cache: no job that was made before answers a request any more.

The cache is the jobs themselves, so nothing of it is deleted: the order is stored as those for
queues are, for all jobs, for one type or for one user, and a job that is about to answer is
compared with the three. They are read for a hit alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.credits.grants import check_owner_id
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.queue_control import QueueControl
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, AUDIT, QUEUE_CONTROLS

#: The document of the order for all jobs; those for a type and for a user begin with it.
_ALL = "result-cache"


async def purge_cache(
    services: Services,
    caller: Caller,
    *,
    job_type: str | None,
    user_id: str | None,
    reason: str,
) -> datetime:
    """Let no job made until now answer: of a type, of a user, or without either of anybody.

    Recorded in the audit log. Returns the time. Raises InvalidError for both at once, and
    NotFoundError for a user without an account: every user who has submitted a job has one.
    """
    if job_type is not None and user_id is not None:
        raise InvalidError.at("userId", "must not be combined with jobType: purge one, then both")
    if user_id is not None:
        check_owner_id(user_id)
        name, action = _name_user(user_id), "result cache of a user purged"
    else:
        name, action = _name_type(job_type) if job_type else _ALL, "result cache purged"
    subject = user_id or job_type or "all jobs"
    entry = build_audit_entry(services, caller.user_id, action, subject=subject, reason=reason)
    order = QueueControl(
        queue=name, paused=False, user_id=caller.user_id, at=entry.at, reason=reason
    )

    async def write(tx: Transaction) -> None:
        if user_id is not None and await tx.get(ACCOUNTS, user_id) is None:
            raise NotFoundError(
                f"There is no user {user_id}, so no cached result is theirs: check userId, letter "
                "by letter. GET /api/accounts lists the users.",
            )
        stored = await tx.get(QUEUE_CONTROLS, name)
        wanted = order if stored is None else stored.with_fields_of(order)
        tx.set(QUEUE_CONTROLS, name, wanted)
        tx.create(AUDIT, entry.entry_id, entry)

    await services.store.transaction(write)
    return entry.at


async def is_purged(services: Services, job: Job) -> bool:
    """True for a job that was made before the cache was purged. Three reads."""
    names = (_ALL, _name_type(job.job_type), _name_user(job.user_id))
    times = await asyncio.gather(*(_read_time(services, name) for name in names))
    return any(at is not None and job.created_at <= at for at in times)


async def _read_time(services: Services, name: str) -> datetime | None:
    order = await services.store.get(QUEUE_CONTROLS, name)
    return None if order is None else order.at


def _name_type(job_type: str) -> str:
    return f"{_ALL}.{job_type}"


def _name_user(user_id: str) -> str:
    # A digest: the document says nothing of the person, and any id makes a name.
    return f"{_ALL}.user.{hashlib.sha256(user_id.encode()).hexdigest()[:32]}"
