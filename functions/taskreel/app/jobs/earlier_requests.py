"""The job that answers a request of an Idempotency-Key which was used before.

The key's fixed id is that of the job which its request has made. A request that the result cache
answered made none: what is stored under that id then names the job that answered, with the digest
of the request. So a key that was used once is found by the read, or the failed creation, that finds
a job; a request without a key, and a plain one with a new key, cost nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from taskreel.app.caller import Caller
from taskreel.app.jobs.answered_requests import KEYED, AnsweredRequest
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.result_cache import CacheLookup, look_up_result
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, IdempotencyMismatchError
from taskreel.domain.ids import keyed_job_id
from taskreel.domain.job import Job
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Store, Transaction


class KeyedRequest(Protocol):
    """The parts of a request, as `submit.JobRequest` has them, that decide about its answer."""

    @property
    def idempotency_key(self) -> str | None:
        """The header's value."""

    @property
    def job_type(self) -> JobType[Any]:
        """The type of the job."""

    @property
    def submission(self) -> Submission:
        """The validated body."""

    @property
    def cache(self) -> CacheLookup | None:
        """The cache's answer about the request, once it was asked."""

    @property
    def body_hash(self) -> str:
        """A digest that is equal for equal requests."""


@dataclass(frozen=True, slots=True)
class EarlierAnswer:
    """The job that answers: `repeated` for an earlier request of the key.

    `cached` where a request without that key had made the job.
    """

    job: Job
    repeated: bool
    cached: bool


async def ask_cache(
    services: Services, caller: Caller, request: KeyedRequest, payload: Mapping[str, Any]
) -> EarlierAnswer | CacheLookup:
    """The earlier job that answers, or the key in the cache and the id of the job to create.

    What the request's Idempotency-Key has made answers before an equal job does: a key means one
    request.
    """
    if request.idempotency_key is not None:
        earlier = await find_keyed_answer(services, caller, request)
        if earlier is not None:
            return earlier
    job_type = request.job_type.name
    found = await look_up_result(services, caller, job_type, request.submission, payload)
    if found.hit is None:
        return found
    if request.idempotency_key is not None:
        return await _remember_answer(services, caller, request, found.hit)
    return EarlierAnswer(found.hit, repeated=False, cached=True)


async def find_keyed_answer(
    services: Services, caller: Caller, request: KeyedRequest
) -> EarlierAnswer | None:
    """The answer to the first request of the key, or None if there was none.

    One read, and another for a request that the cache answered. A key whose job was removed means
    nothing any more. Raises IdempotencyMismatchError for another request under the same key, and
    ConflictError while the job that it has made is being removed.
    """
    found = await services.store.get(KEYED, _key_id(caller, request))
    if found is None:
        return None
    if isinstance(found, Job):
        _require_not_removed(found)
        _require_equal(request, found, found.request_hash)
        return EarlierAnswer(found, repeated=True, cached=False)
    answering = await _load_answering(services.store, found)
    if answering is None:
        return None
    _require_equal(request, answering, found.request_hash)
    return EarlierAnswer(answering, repeated=True, cached=True)


async def find_rival_job(
    services: Services, caller: Caller, request: KeyedRequest, job_id: str
) -> EarlierAnswer | None:
    """The job that a request of the same key, or an equal one, has made under that id.

    Such a job has a fixed id: the first request may have created it, and taken the credits. Raises
    ConflictError for one that is being removed.
    """
    if request.idempotency_key is not None:
        return await find_keyed_answer(services, caller, request)
    existing = None if request.cache is None else await load_job(services.store, job_id)
    if existing is None:
        return None
    _require_not_removed(existing)
    return EarlierAnswer(existing, repeated=False, cached=True)


async def release_key(services: Services, caller: Caller, request: KeyedRequest) -> bool:
    """Forget a request whose answering job was removed; True if its key is free again by that."""
    id_ = _key_id(caller, request)

    async def write(tx: Transaction) -> bool:
        found = await tx.get(KEYED, id_)
        if not await _is_left_over(tx, found):
            return False
        tx.delete(KEYED, id_)
        return True

    return request.idempotency_key is not None and await services.store.transaction(write)


async def _remember_answer(
    services: Services, caller: Caller, request: KeyedRequest, job: Job
) -> EarlierAnswer:
    """Store that `job` answers the key, unless an equal request has had an answer meanwhile.

    Raises IdempotencyMismatchError for a key that means another request by now.
    """
    id_ = _key_id(caller, request)
    now = services.clock.now()
    answered = AnsweredRequest(
        updated_at=now,
        job_id=job.job_id,
        request_hash=request.body_hash,
        expire_at=job.expire_at or now + services.rules.retention.longest,
    )

    async def write(tx: Transaction) -> bool:
        found = await tx.get(KEYED, id_)
        if found is not None and not await _is_left_over(tx, found):
            return False
        tx.set(KEYED, id_, answered)
        return True

    if not await services.store.transaction(write):
        earlier = await find_keyed_answer(services, caller, request)
        if earlier is not None:
            return earlier
    return EarlierAnswer(job, repeated=False, cached=True)


async def _is_left_over(tx: Transaction, found: Job | AnsweredRequest | None) -> bool:
    if not isinstance(found, AnsweredRequest):
        return False
    return await _load_answering(tx, found) is None


async def _load_answering(reader: Store | Transaction, answered: AnsweredRequest) -> Job | None:
    """The job that answered; None if it was removed, or its removal has begun."""
    job = await load_job(reader, answered.job_id)
    return None if job is None or job.is_being_removed else job


def _require_not_removed(job: Job) -> None:
    """Raise ConflictError for a job whose removal has begun: its files may be gone.

    It has its id until it is gone itself.
    """
    if job.is_being_removed:
        raise ConflictError(
            "An equal request has made a job before that is being removed. Send this one again in "
            "a few minutes: then it makes a new job.",
            jobId=job.job_id,
        )


def _key_id(caller: Caller, request: KeyedRequest) -> str:
    return keyed_job_id(caller.user_id, request.idempotency_key or "")


def _require_equal(request: KeyedRequest, job: Job, request_hash: str | None) -> None:
    if request_hash != request.body_hash or job.job_type != request.job_type.name:
        raise IdempotencyMismatchError(
            "This Idempotency-Key was used before with another request. "
            "Use a new key for a new request.",
            jobId=job.job_id,
        )
