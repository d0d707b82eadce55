"""The message of a task, the same on every task queue: its id, body, headers and target."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass

from taskreel.ports import Task


@dataclass(frozen=True, slots=True)
class TaskTarget:
    """The task processor that every task calls: its base URL, and the key that it requires."""

    base_url: str
    internal_key: str

    @property
    def url(self) -> str:
        """The URL that a task is posted to."""
        return f"{self.base_url.rstrip('/')}/tasks/process"

    @property
    def audience(self) -> str:
        """The audience of an OIDC token for the task processor."""
        return self.base_url.rstrip("/")

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of every task."""
        return {"Content-Type": "application/json", "X-Internal-Api-Key": self.internal_key}


def task_id(task: Task) -> str:
    """The id of a task on its queue, the same for the same job and delivery.

    So a task that is enqueued twice is one task. It is a hash, because Cloud Tasks becomes slow
    when the ids of a queue are in sequence.
    """
    return hashlib.blake2b(f"{task.job_id}/{task.delivery}".encode(), digest_size=16).hexdigest()


def task_body(task: Task) -> bytes:
    """The JSON that is posted: ids only, since the payload is in the store."""
    return json.dumps({"jobId": task.job_id, "delivery": task.delivery}).encode()


async def await_all(calls: Iterable[Awaitable[None]]) -> None:
    """Run `calls` concurrently to their end, then raise the first error of any.

    One task that is refused must not stop the others of its batch.
    """
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
