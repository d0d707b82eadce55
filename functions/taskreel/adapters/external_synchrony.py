"""Nothing leaves the process before what it depends on is stored: the one place of that rule.

A store may hold writes in memory for some milliseconds (`adapters.local.sqlite`). A crash then
loses them, which does no harm while no client or service has heard of them. So everything that goes
out waits for `Store.durable()`:

* an answer to a request, and each part of one that is streamed: `DurableResponses`;
* work for a provider that is paid, and its cancellation: `DurableProvider`;
* tasks and orders for a queue outside of this process: `DurableTasks`;
* messages to the servers of users: `DurableWebhooks`;
* the deletion of files, which documents name until they are deleted themselves: `DurableBlobs`.

`wiring` puts these around the applications and the ports, so that no use case has to think of it.
A queue in this process needs nothing: its tasks are lost with the writes.
`tests/unit/adapters/test_external_synchrony.py` lists the calls of all ports, and says of each that
does not wait why it need not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskreel.ports import (
    BlobInfo,
    Blobs,
    Done,
    Generation,
    Pending,
    Provider,
    QueueStats,
    SendWebhook,
    Store,
    Task,
    TaskQueue,
    WebhookMessage,
)

if TYPE_CHECKING:
    from taskreel.domain.client_webhook import SigningKey, WebhookAnswer

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]


class DurableResponses:
    """An ASGI application whose messages are sent once everything written before is stored.

    The head of a response whose length is known goes with the first part of its body: both were
    made before either is sent, so they wait once.
    """

    def __init__(self, app: _App, store: Store) -> None:
        self.app = app
        self._store = store

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send
    ) -> None:
        """Serve one request or connection."""
        head: _Message | None = None

        async def send_when_stored(message: _Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and _has_length(message):
                head = message
                return
            await self._store.durable()
            if head is not None:
                first, head = head, None
                await send(first)
            await send(message)

        await self.app(scope, receive, send_when_stored)


def _has_length(head: _Message) -> bool:
    return any(name == b"content-length" for name, _ in head.get("headers", ()))


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
    """A queue outside of this process that gets tasks and orders once they are stored."""

    def __init__(self, tasks: TaskQueue, store: Store) -> None:
        self._tasks = tasks
        self._store = store

    def list_locations(self) -> Sequence[str]:
        return self._tasks.list_locations()

    async def enqueue(self, task: Task, /) -> None:
        await self._store.durable()
        await self._tasks.enqueue(task)

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        await self._store.durable()
        await self._tasks.enqueue_many(tasks)

    async def pause(self, queue: str, /) -> None:
        await self._store.durable()
        await self._tasks.pause(queue)

    async def resume(self, queue: str, /) -> None:
        await self._store.durable()
        await self._tasks.resume(queue)

    async def purge(self, queue: str, /) -> None:
        await self._store.durable()
        await self._tasks.purge(queue)

    async def stats(self, queue: str, /) -> QueueStats:
        return await self._tasks.stats(queue)

    async def close(self) -> None:
        await self._tasks.close()


class DurableWebhooks:
    """A sender of webhooks that sends once everything written before is stored.

    The message is part of that: it is the same in every try.
    """

    def __init__(self, webhooks: SendWebhook, store: Store) -> None:
        self._webhooks = webhooks
        self._store = store

    def check_url(self, url: str, path: str, /) -> None:
        self._webhooks.check_url(url, path)

    def public_key(self, key: SigningKey, /) -> str | None:
        return self._webhooks.public_key(key)

    async def send(self, message: WebhookMessage, /) -> WebhookAnswer:
        await self._store.durable()
        return await self._webhooks.send(message)

    async def close(self) -> None:
        await self._webhooks.close()


class DurableBlobs:
    """A bucket whose files are deleted once it is stored that no document names them."""

    def __init__(self, inner: Blobs, store: Store) -> None:
        self.inner = inner
        self._store = store

    async def put(
        self,
        path: str,
        source: Path | bytes,
        /,
        *,
        content_type: str,
        age_from: datetime | None = None,
    ) -> None:
        await self.inner.put(path, source, content_type=content_type, age_from=age_from)

    def read(self, path: str, /) -> AsyncIterator[bytes]:
        return self.inner.read(path)

    async def info(self, path: str, /) -> BlobInfo | None:
        return await self.inner.info(path)

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        return await self.inner.signed_url(path, expires_in=expires_in)

    async def open_upload(
        self,
        path: str,
        /,
        *,
        content_type: str,
        size: int,
        expires_in: timedelta,
        origin: str | None = None,
    ) -> str:
        return await self.inner.open_upload(
            path, content_type=content_type, size=size, expires_in=expires_in, origin=origin
        )

    async def renew(self, paths: Sequence[str], at: datetime, /) -> None:
        await self.inner.renew(paths, at)

    def list_paths(self, prefix: str, /) -> AsyncIterator[str]:
        return self.inner.list_paths(prefix)

    async def delete(self, prefix: str, /) -> int:
        await self._store.durable()
        return await self.inner.delete(prefix)

    async def close(self) -> None:
        await self.inner.close()
