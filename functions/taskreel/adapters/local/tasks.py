"""The task queue of the dev stack: the local Cloud Tasks, called through Cloud Tasks' REST API."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from taskreel.adapters.task_target import TaskTarget, await_all
from taskreel.domain.errors import QueueError
from taskreel.ports import QueueStats, Task

if TYPE_CHECKING:
    from aiohttp import ClientSession

#: The location of the queues, unless the API's URL has a path that names another.
PARENT = "projects/taskreel-local/locations/us-central1"

#: Cloud Tasks takes no more tasks in one `BatchCreateTasks`.
_BATCH_SIZE = 100
#: The gRPC status number of a task whose id exists, which is the same task.
_ALREADY_EXISTS = 6

#: Sends a verb, a URL and a JSON body; returns the status and the content. Raises OSError or
#: TimeoutError.
SendRequest = Callable[[str, str, Mapping[str, Any] | None], Awaitable[tuple[int, bytes]]]

#: A task's creation request, and the future of the caller that waits for it.
_WaitingTask = tuple[dict[str, Any], asyncio.Future[None]]


@dataclass(slots=True)
class _QueueBuffer:
    """The tasks of one queue that wait for its next call, and the task that sends them."""

    waiting: list[_WaitingTask] = field(default_factory=list)
    sender: asyncio.Task[None] | None = None


class EmbeddedTasks:
    """`TaskQueue` over the REST API at `api_url`.

    One call a queue is under way at a time; tasks that are enqueued meanwhile share the next, up to
    a hundred of them in `tasks:batchCreate`. A busy server pays for a tenth of a call a task, and
    on an idle one no task waits. `send_request` replaces the HTTP client in tests.
    """

    def __init__(
        self,
        api_url: str,
        *,
        target_url: str,
        internal_key: str,
        send_request: SendRequest | None = None,
    ) -> None:
        parts = urlsplit(api_url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._parent = parts.path.strip("/") or PARENT
        target = TaskTarget(target_url, internal_key)
        #: The part that is the same in every task.
        self._http_request = {"url": target.url, "headers": target.headers}
        self._send_request = send_request
        self._session: ClientSession | None = None
        self._buffers: dict[str, _QueueBuffer] = {}
        self._closed = False

    async def enqueue(self, task: Task, /) -> None:
        if self._closed:
            raise QueueError("The task queue is closed: this server is stopping.")
        buffer = self._buffers.setdefault(task.queue, _QueueBuffer())
        created = asyncio.get_running_loop().create_future()
        buffer.waiting.append((self._create_request(task), created))
        if buffer.sender is None:
            buffer.sender = asyncio.create_task(self._send_waiting(task.queue, buffer))
        await created

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put many tasks on their queues; those of one queue share calls.

        Raises the first QueueError, after all were tried.
        """
        await await_all(map(self.enqueue, tasks))

    async def pause(self, queue: str, /) -> None:
        await self._call_api("POST", f"/v2/{self._queue_name(queue)}:pause", {})

    async def resume(self, queue: str, /) -> None:
        await self._call_api("POST", f"/v2/{self._queue_name(queue)}:resume", {})

    async def purge(self, queue: str, /) -> None:
        await self._call_api("POST", f"/v2/{self._queue_name(queue)}:purge", {})

    async def stats(self, queue: str, /) -> QueueStats:
        """Read the queue's statistics, which version v2 of the API does not have."""
        path = f"/v2beta3/{self._queue_name(queue)}?readMask=state,stats"
        found = await self._call_api("GET", path)
        stats = found.get("stats", {})
        oldest = stats.get("oldestEstimatedArrivalTime")
        return QueueStats(
            queue=queue,
            paused=found.get("state") == "PAUSED",
            depth=int(stats.get("tasksCount", 0)),
            oldest_at=datetime.fromisoformat(oldest) if oldest else None,
        )

    async def close(self) -> None:
        """Send the tasks that wait, then disconnect. Tasks enqueued from now on are refused."""
        self._closed = True
        senders = [buffer.sender for buffer in self._buffers.values() if buffer.sender is not None]
        await asyncio.gather(*senders, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send_waiting(self, queue: str, buffer: _QueueBuffer) -> None:
        """Send batches until no task of the queue waits.

        Every caller gets an answer, whatever happens here: one that waited for ever would hold its
        request until the server is killed.
        """
        batch: list[_WaitingTask] = []
        try:
            while buffer.waiting:
                batch = buffer.waiting[:_BATCH_SIZE]
                buffer.waiting = buffer.waiting[_BATCH_SIZE:]
                await self._send_batch(queue, batch)
        finally:
            buffer.sender = None
            abandoned, buffer.waiting = [*batch, *buffer.waiting], []
            for _, created in abandoned:
                _resolve(created, {"message": "the call was not completed"})

    async def _send_batch(self, queue: str, batch: list[_WaitingTask]) -> None:
        """Create the tasks of one call. A failed call fails each of them, and no other task."""
        path = f"/v2/{self._queue_name(queue)}/tasks:batchCreate"
        body = {"requests": [request for request, _ in batch]}
        failed: Mapping[str, Any]
        try:
            operation = await self._call_api("POST", path, body)
        except QueueError as error:
            failed = {str(position): {"message": error.message} for position in range(len(batch))}
        else:
            failed = operation.get("metadata", {}).get("failedRequests", {})
        for position, (_, created) in enumerate(batch):
            _resolve(created, failed.get(str(position)))

    def _create_request(self, task: Task) -> dict[str, Any]:
        queue_name = self._queue_name(task.queue)
        fields: dict[str, Any] = {
            "name": f"{queue_name}/tasks/{task.id}",
            "httpRequest": {
                **self._http_request,
                "body": base64.b64encode(task.body).decode(),
            },
            "dispatchDeadline": f"{task.deadline.total_seconds():.3f}s",
        }
        if task.at is not None:
            fields["scheduleTime"] = task.at.isoformat()
        return {"parent": queue_name, "task": fields}

    async def _call_api(
        self, verb: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Call the API and return its JSON. Raises QueueError for any failure."""
        try:
            status, content = await self._open_client()(verb, f"{self._base}{path}", body)
            answer: dict[str, Any] = json.loads(content)
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            # RuntimeError: aiohttp's session is closed.
            raise QueueError(
                f"The local Cloud Tasks at {self._base} cannot be reached ({error!r}). "
                "Start it with `scripts/dev`, and check TASKS_URL."
            ) from error
        if status != HTTPStatus.OK:
            raise QueueError(
                f"The local Cloud Tasks at {self._base} refused {verb} {path}: "
                f"{answer.get('error', {}).get('message')}"
            )
        return answer

    def _queue_name(self, queue: str) -> str:
        return f"{self._parent}/queues/{queue}"

    def _open_client(self) -> SendRequest:
        """Build the HTTP client on first use, since the web server forks before."""
        if self._send_request is None:
            self._session, self._send_request = _open_aiohttp()
        return self._send_request


def _open_aiohttp() -> tuple[ClientSession, SendRequest]:
    """Open a session of aiohttp: a call costs a third of httpx's, and every job makes one."""
    import aiohttp

    # Shorter than the server's, so that it does not close a connection that we are about to use.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=5)
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10))

    async def send_request(
        verb: str, url: str, body: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        try:
            async with session.request(verb, url, json=body) as response:
                return response.status, await response.read()
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error

    return session, send_request


def _resolve(created: asyncio.Future[None], refusal: Mapping[str, Any] | None) -> None:
    """Tell the waiting caller if its task exists now."""
    if created.done():  # its caller was cancelled
        return
    if refusal is None or refusal.get("code") == _ALREADY_EXISTS:
        created.set_result(None)
    else:
        created.set_exception(
            QueueError(f"The local Cloud Tasks refused a task: {refusal.get('message')}")
        )
