"""Nothing leaves the process before what it depends on is stored: the one place of that rule.

A store may hold writes in memory for some milliseconds (`adapters.local.sqlite`). A crash then
loses them, which harms nobody as long as nobody outside has heard of them. So everything that goes
out waits for `Store.durable()`:

* an answer to a request, and each part of one that is streamed: `DurableResponses`;
* work for a provider that is paid, and its cancellation: `DurableProvider`;
* tasks for a queue outside of this process: `DurableTasks`.

`wiring` puts these around the applications and the ports, so that no use case has to think of it.
A queue in this process needs nothing: its tasks are lost together with the writes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from taskreel.ports import Done, Generation, Pending, Provider, QueueStats, Store, Task, TaskQueue

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]


class DurableResponses:
    """An ASGI application whose messages are sent once everything written before is stored."""

    def __init__(self, app: _App, store: Store) -> None:
        self.app = app
        self._store = store

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send
    ) -> None:
        """Serve one request or connection."""

        async def send_when_stored(message: _Message) -> None:
            await self._store.durable()
            await send(message)

        await self.app(scope, receive, send_when_stored)


class DurableProvider:
    """A provider that is asked for work once everything written before is stored.

    What is stored then is that this work is about to be bought: a process that dies before it has
    an answer leaves a job that is not bought again.
    """

    def __init__(self, provider: Provider, store: Store) -> None:
        self._provider = provider
        self._store = store
        self.name = provider.name

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        await self._store.durable()
        return await self._provider.start(request, idempotency_key=idempotency_key)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        return await self._provider.poll(operation, request)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        await self._store.durable()
        await self._provider.cancel(operation)

    async def close(self) -> None:
        await self._provider.close()


class DurableTasks:
    """A queue outside of this process that gets tasks once their jobs are stored."""

    def __init__(self, tasks: TaskQueue, store: Store) -> None:
        self._tasks = tasks
        self._store = store

    async def enqueue(self, task: Task, /) -> None:
        await self._store.durable()
        await self._tasks.enqueue(task)

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        await self._store.durable()
        await self._tasks.enqueue_many(tasks)

    async def pause(self, queue: str, /) -> None:
        await self._tasks.pause(queue)

    async def resume(self, queue: str, /) -> None:
        await self._tasks.resume(queue)

    async def purge(self, queue: str, /) -> None:
        await self._tasks.purge(queue)

    async def stats(self, queue: str, /) -> QueueStats:
        return await self._tasks.stats(queue)

    async def close(self) -> None:
        await self._tasks.close()
