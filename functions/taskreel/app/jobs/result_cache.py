"""The result cache: an earlier job of the caller's that answers an equal request.

A request asks for it with `cacheSeconds`. The answer is the earlier job itself, so it costs no
credits, shares its files with no other job, and is gone when that job is removed. Nothing is stored
but the job's `cacheKey`, and only for requests that ask.

A step of a pipeline that asks for it takes over the finished work of an equal step, as a replay
does: it is a job of its own, with its files, and costs nothing. A job that has taken over work has
no `cacheKey`: it would answer for longer than its work is recent.

Equal requests at the same time make one job: its id follows from the key and from the newest job
that has it, and the second one to create it finds the first. That job may be there already and yet
not be the newest by its time: one that was made by a clock that is behind, or after a job whose
Idempotency-Key has made it again since its removal. It is asked for an answer then, and the next id
follows from it: else it would answer all later requests, however old, purged or failed it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from taskreel.app.caller import Caller
from taskreel.app.jobs.input_hashes import replace_own_files
from taskreel.app.jobs.job_store import load_job
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError
from taskreel.domain.ids import keyed_job_id
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.jobtypes.fields import ProviderWish
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Query
from taskreel.store_collections import JOBS

#: Fields that do not change what is made, but when, for whom, and how often it is tried.
_NOT_COMPARED = (
    "cacheSeconds",
    "skipCache",
    "priority",
    "maxUsd",
    "startWithinSeconds",
    "deadlineSeconds",
    "timeoutSeconds",
    "retry",
)


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """The key of a request, the job that answers it, and the id of the one that else would."""

    key: str
    hit: Job | None
    job_id: str


async def look_up_result(
    services: Services,
    caller: Caller,
    job_type: str,
    submission: Submission,
    payload: Mapping[str, Any],
) -> CacheLookup:
    """Find the caller's newest job of an equal request, if it may answer this one.

    One query, and a read of a job where it may not. Raises InvalidError for a request that waits
    for a time or for other jobs, or that wants webhooks: the earlier job has times and webhooks of
    its own.
    """
    _check_combination(submission)
    compared = await replace_own_files(services, caller, submission, payload)
    key = _build_key(caller.user_id, job_type, compared)
    last = await _find_newest(services, key)
    while True:
        job_id = keyed_job_id(caller.user_id, f"{key} after {last.job_id if last else ''}")
        if last is not None and await _may_answer(services, last, submission):
            return CacheLookup(key, last, job_id)
        last = await load_job(services.store, job_id)
        if last is None:
            return CacheLookup(key, None, job_id)


async def look_up_step(
    services: Services,
    parent: Job,
    job_type: str,
    submission: Submission,
    provider: ProviderWish | None,
) -> tuple[str, Job | None]:
    """The key of a pipeline's step, and the newest completed job of an equal step of its owner.

    `provider` is that of the pipeline, which a step without one of its own has.
    """
    given = {"provider": provider, **submission.payload(), "projectId": parent.project_id}
    owner = Caller(user_id=parent.user_id)
    compared = await replace_own_files(services, owner, submission, given)
    # No job of its own answers for a step, nor the reverse: each is shown, and deleted, by itself.
    key = _build_key(parent.user_id, f"step {job_type}", compared)
    newest = await _find_newest(services, key)
    if newest is None or newest.status is not Status.COMPLETED:
        return key, None
    return key, newest if await _may_answer(services, newest, submission) else None


async def _find_newest(services: Services, key: str) -> Job | None:
    query = Query(
        collection=JOBS, where=(("cacheKey", "==", key),), order=(("createdAt", "desc"),), limit=1
    )
    rows = await services.store.query(query)
    return rows[0].value if rows else None


def _check_combination(submission: Submission) -> None:
    for path, given in (
        ("scheduleAt", submission.schedule_at),
        ("dependsOn", submission.depends_on),
        ("webhookUrl", submission.webhook_url),
    ):
        if given:
            raise InvalidError.at(path, "must not be combined with cacheSeconds")


async def _may_answer(services: Services, job: Job, submission: Submission) -> bool:
    """True for a job of that key that the request takes, and that no purge has excluded."""
    if submission.skip_cache or not _is_recent(job, submission, services.clock.now()):
        return False
    from taskreel.app.jobs.purge_cache import is_purged  # of hits alone

    return not await is_purged(services, job)


def _is_recent(job: Job, submission: Submission, now: datetime) -> bool:
    """True for a job that is still under way, or was completed so lately and is retained."""
    if job.status is not Status.COMPLETED:
        return not job.status.final and job.ending is None
    if job.is_being_removed or (job.expire_at is not None and job.expire_at <= now):
        return False
    longest = timedelta(seconds=submission.cache_seconds or 0)
    # A job that was retried may show units that were done in its first round.
    made_at = job.created_at if job.round > 1 else job.status_at[Status.COMPLETED]
    return now - made_at <= longest


def _build_key(user_id: str, job_type: str, payload: Mapping[str, Any]) -> str:
    compared = {name: value for name, value in payload.items() if name not in _NOT_COMPARED}
    text = json.dumps([user_id, job_type, compared], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
