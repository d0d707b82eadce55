"""The task queue of the dev stack: the local Cloud Tasks, spoken to in Cloud Tasks' own REST form."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from taskreel.domain.errors import QueueError
from taskreel.ports import LaneStats, Task

PARENT = "projects/taskreel-local/locations/us-central1"
"""Where the queues are, unless the door's URL has a path that says otherwise."""

_MOST_AT_ONCE = 100
_ALREADY_EXISTS = 6


if TYPE_CHECKING:
    from aiohttp import ClientSession

#: Sends a verb, a URL and a JSON body; status and content come back. Raises OSError or TimeoutError.
Door = Callable[[str, str, Mapping[str, Any] | None], Awaitable[tuple[int, bytes]]]


@dataclass(slots=True)
class _Lane:
    """What waits to be sent to one queue while a call is under way."""

    waiting: list[tuple[dict[str, Any], asyncio.Future[None]]] = field(default_factory=list)
    sender: asyncio.Task[None] | None = None


class EmbeddedTasks:
    """`TaskQueue` over the REST door at `door`.

    A queue has one call under way; what is enqueued meanwhile goes into the next, up to a hundred tasks in
    `tasks:batchCreate`. So a busy server pays for a tenth of a call per task, and an idle one waits for nothing.
    """

    def __init__(
        self, door: str, *, target_url: str, internal_key: str, through: Door | None = None
    ) -> None:
        parts = urlsplit(door)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._parent = parts.path.strip("/") or PARENT
        self._url = f"{target_url.rstrip('/')}/tasks/process"
        self._headers = {"Content-Type": "application/json", "X-Internal-Api-Key": internal_key}
        self._through = through
        self._session: ClientSession | None = None
        self._lanes: dict[str, _Lane] = {}

    async def enqueue(self, task: Task, /) -> None:
        """Put one task on its lane; repeating it is harmless."""
        await self._put(task)

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put many; those of one lane share calls. Raises the first lane's QueueError, after all were tried."""
        for result in await asyncio.gather(*map(self._put, tasks), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def pause(self, lane: str, /) -> None:
        """Stop dispatching; tasks may still be added."""
        await self._call("POST", f"/v2/{self._queue(lane)}:pause", {})

    async def resume(self, lane: str, /) -> None:
        """Dispatch again."""
        await self._call("POST", f"/v2/{self._queue(lane)}:resume", {})

    async def purge(self, lane: str, /) -> None:
        """Delete all tasks created before now."""
        await self._call("POST", f"/v2/{self._queue(lane)}:purge", {})

    async def stats(self, lane: str, /) -> LaneStats:
        """How much waits on the lane: v2beta3 has statistics, v2 has none."""
        queue = await self._call("GET", f"/v2beta3/{self._queue(lane)}?readMask=state,stats")
        stats = queue.get("stats", {})
        oldest = stats.get("oldestEstimatedArrivalTime")
        return LaneStats(
            lane=lane,
            paused=queue.get("state") == "PAUSED",
            depth=int(stats.get("tasksCount", 0)),
            oldest_at=datetime.fromisoformat(oldest) if oldest else None,
        )

    async def _put(self, task: Task) -> None:
        lane = self._lanes.setdefault(task.lane, _Lane())
        sent = asyncio.get_running_loop().create_future()
        lane.waiting.append((self._request(task), sent))
        if lane.sender is None:
            lane.sender = asyncio.create_task(self._send(task.lane, lane))
        await sent

    async def _send(self, name: str, lane: _Lane) -> None:
        """Send until nothing waits. An error is that of each task in the call, and of no other."""
        try:
            while lane.waiting:
                batch, lane.waiting = lane.waiting[:_MOST_AT_ONCE], lane.waiting[_MOST_AT_ONCE:]
                await self._send_batch(name, batch)
        finally:
            lane.sender = None

    async def _send_batch(
        self, name: str, batch: list[tuple[dict[str, Any], asyncio.Future[None]]]
    ) -> None:
        path = f"/v2/{self._queue(name)}/tasks:batchCreate"
        try:
            operation = await self._call(
                "POST", path, {"requests": [request for request, _ in batch]}
            )
        except QueueError as error:
            failed: Mapping[str, Any] = {
                str(place): {"message": error.message} for place in range(len(batch))
            }
        else:
            failed = operation.get("metadata", {}).get("failedRequests", {})
        for place, (_, sent) in enumerate(batch):
            _settle(sent, failed.get(str(place)))

    def _request(self, task: Task) -> dict[str, Any]:
        queue = self._queue(task.lane)
        body = json.dumps({"jobId": task.job_id, "delivery": task.delivery}).encode()
        fields: dict[str, Any] = {
            "name": f"{queue}/tasks/{task_id(task)}",
            "httpRequest": {
                "url": self._url,
                "headers": self._headers,
                "body": base64.b64encode(body).decode(),
            },
            "dispatchDeadline": f"{task.deadline.total_seconds():.3f}s",
        }
        if task.at is not None:
            fields["scheduleTime"] = task.at.isoformat()
        return {"parent": queue, "task": fields}

    async def _call(
        self, verb: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            status, content = await self._door()(verb, f"{self._base}{path}", body)
            answer: dict[str, Any] = json.loads(content)
        except (OSError, TimeoutError, ValueError) as error:
            raise QueueError(
                f"The local Cloud Tasks at {self._base} cannot be reached: {error!r}"
            ) from error
        if status != HTTPStatus.OK:
            raise QueueError(
                f"The local Cloud Tasks refused: {answer.get('error', {}).get('message')}"
            )
        return answer

    def _queue(self, lane: str) -> str:
        return f"{self._parent}/queues/{lane}"

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _door(self) -> Door:
        """Made on first use, after the web server has forked."""
        if self._through is None:
            self._session, self._through = _over_http()
        return self._through


def _over_http() -> tuple[ClientSession, Door]:
    """aiohttp: a call costs a third of httpx's, and every job makes one."""
    import aiohttp

    # The door keeps idle connections longer than we do.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=5)
    session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10))

    async def call(verb: str, url: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        try:
            async with session.request(verb, url, json=body) as response:
                return response.status, await response.read()
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error

    return session, call


def task_id(task: Task) -> str:
    """The same for the same job and delivery, so that a doubled enqueue is one task; hashed, never in sequence."""
    return hashlib.blake2b(f"{task.job_id}/{task.delivery}".encode(), digest_size=16).hexdigest()


def _settle(sent: asyncio.Future[None], refusal: Mapping[str, Any] | None) -> None:
    if sent.done():  # whoever waited has gone
        return
    if refusal is None or refusal.get("code") == _ALREADY_EXISTS:
        sent.set_result(None)
    else:
        sent.set_exception(QueueError(str(refusal.get("message"))))
