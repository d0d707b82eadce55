"""The target of tasks, the same on every task queue: its URL and headers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass

from taskreel.domain.task_signature import sign_task
from taskreel.ports import Task

_PATH = "/tasks/process"


@dataclass(frozen=True, slots=True)
class TaskTarget:
    """The task processor that every task calls: its base URL, and the key that it requires."""

    base_url: str
    internal_key: str
    #: Send a signature with the key in place of the key: who may read tasks does not learn it.
    signs: bool = False

    @property
    def url(self) -> str:
        """The URL that a task is posted to."""
        return f"{self.base_url.rstrip('/')}{_PATH}"

    @property
    def audience(self) -> str:
        """The audience of an OIDC token for the task processor."""
        return self.base_url.rstrip("/")

    def build_headers(self, task: Task) -> Mapping[str, str]:
        """The headers of a task, with the trace of the request that made it (W3C).

        The log lines of its run are then found with those of the request. The flag says that no one
        has recorded the request, so that no trace is sampled only for it.
        """
        key = self.internal_key
        if self.signs:
            key = sign_task(key, _PATH, task.body)
        headers = {"Content-Type": "application/json", "X-Internal-Api-Key": key}
        if task.trace_id is not None:
            headers["traceparent"] = (
                task.trace_parent or f"00-{task.trace_id}-{secrets.token_hex(8)}-00"
            )
        return headers


async def await_all(calls: Iterable[Awaitable[None]]) -> None:
    """Run `calls` concurrently to their end, then raise the first error of any.

    One task that is refused must not stop the others of its batch.
    """
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
