"""Requests that another job answered than that of their key, stored under the id of that job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.value import StoredValue
from taskreel.ports import Collection, Store, Transaction
from taskreel.store_collections import JOBS

#: In the place of a job's type.
ANSWERED = "answered-request"


class AnsweredRequest(StoredValue):
    """A request that another job answered than that of its key's id.

    It names no user, and in place of a job type one that no job has: no query for jobs finds it.
    """

    #: SQLite's clean-up finds it by these two, of which jobs have an index. Earlier releases stored
    #: neither.
    job_type: str = ANSWERED
    updated_at: datetime | None = None
    #: The job that answered.
    job_id: str
    request_hash: str
    expire_at: datetime


def _encode(value: Job | AnsweredRequest) -> Mapping[str, Any]:
    return value.document()


def _decode(data: Mapping[str, Any]) -> Job | AnsweredRequest:
    if "createdAt" in data:
        return Job.model_validate(data)
    return AnsweredRequest.model_validate(data)


#: The documents of jobs, read by the fixed id of a key.
KEYED: Collection[Job | AnsweredRequest] = Collection(JOBS.name, _encode, _decode)


async def is_answered_request(reader: Store | Transaction, id_: str) -> bool:
    """True if what is stored under the id is no job, but such a request. One read."""
    try:
        found = await reader.get(KEYED, id_)
    except UnreadableDocumentError:
        return False
    return isinstance(found, AnsweredRequest)
