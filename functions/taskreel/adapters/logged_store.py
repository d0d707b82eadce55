"""A store that logs each change of a job's status, once its transaction has run: one line a change.

Before its first use it has the key of the store checked: an encrypted store is neither read nor
written without its key.

Every write of a job passes a transaction, whichever part makes it: this place sees them all.
On Firestore the change is committed then. The SQLite store commits some milliseconds later: the
last lines of a process that died may tell of changes that were lost with it, as no answer and no
purchase ever is (`adapters.external_synchrony`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from contextvars import Context, copy_context
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Changes, Collection, Query, Row, Store, Transaction
from taskreel.store_collections import JOBS

log = logging.getLogger(__name__)

T = TypeVar("T")
V = TypeVar("V")
_MILLISECOND = timedelta(milliseconds=1)


class LoggedStore:
    """`Store` that logs; all else is done by `inner`.

    Until `check_key` has once returned, it is called before each use; what it raises ends the use.
    """

    def __init__(
        self,
        inner: Store,
        observers: Sequence[Callable[[Job | None, Job], None]] = (),
        check_key: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.inner = inner
        self._observers = observers
        #: None once it has returned: a store is encrypted from one deployment to the next.
        self._check_key = check_key
        self._one_check_at_a_time = asyncio.Lock()
        #: The changes of this turn of the event loop, each with the request that made it.
        self._unlogged: list[tuple[Context, Job | None, Job]] = []

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        """Read one value."""
        if self._check_key is not None:
            await self._require_key()
        return await self.inner.get(collection, id_)

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        """Read several values as they were at one moment."""
        if self._check_key is not None:
            await self._require_key()
        return await self.inner.get_all(collection, ids)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        """Run the transaction; then log the changes of its last try."""
        if self._check_key is not None:
            await self._require_key()
        watched: _WatchedTransaction | None = None

        def watch(tx: Transaction) -> Awaitable[T]:
            nonlocal watched
            watched = _WatchedTransaction(tx)
            return fn(watched)

        result = await self.inner.transaction(watch)
        if watched is not None:
            self._report_changes(watched)
        return result

    def _report_changes(self, watched: _WatchedTransaction) -> None:
        """Tell the observers at once, and the log at the end of this turn of the event loop.

        Lines that are written at once take half of the time that they take one by one, between
        the other work of their jobs.
        """
        for id_, job in watched.written.items():
            before = watched.read.get(id_)
            for note_change in self._observers:
                note_change(before, job)
            if before is None or before.status != job.status:
                if not self._unlogged:
                    asyncio.get_running_loop().call_soon(self._log_changes)
                self._unlogged.append((copy_context(), before, job))

    def _log_changes(self) -> None:
        changes, self._unlogged = self._unlogged, []
        for context, before, job in changes:
            context.run(_log_status, before, job)

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        """Read the matching documents."""
        if self._check_key is not None:
            await self._require_key()
        return await self.inner.query(query)

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        """Compute sums over a query."""
        if self._check_key is not None:
            await self._require_key()
        return await self.inner.aggregate(query, total=total)

    def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        """Yield the value now and after each change."""
        if self._check_key is not None:
            return self._watch_with_key(lambda: self.inner.watch(collection, id_))
        return self.inner.watch(collection, id_)

    async def durable(self) -> None:
        """Return when all writes are safe."""
        await self.inner.durable()

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        """Yield the documents with that value, then changes."""
        if self._check_key is not None:
            return self._watch_with_key(
                lambda: self.inner.watch_changes(collection, field, value, since=since)
            )
        return self.inner.watch_changes(collection, field, value, since=since)

    async def _watch_with_key(self, watch: Callable[[], AsyncIterator[T]]) -> AsyncIterator[T]:
        await self._require_key()
        # The port says iterator; every store's is a generator, which is closed at once.
        async with aclosing(cast("Any", watch())) as values:
            async for value in values:
                yield value

    async def _require_key(self) -> None:
        """Check the key, once for all callers that wait. Raises StoreError."""
        async with self._one_check_at_a_time:
            if self._check_key is not None:
                await self._check_key()
                self._check_key = None

    async def close(self) -> None:
        """Disconnect."""
        self._log_changes()
        await self.inner.close()


class _WatchedTransaction:
    """A transaction that remembers the jobs that it read and wrote."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.read: dict[str, Job] = {}
        self.written: dict[str, Job] = {}

    def get(self, collection: Collection[V], id_: str, /) -> Coroutine[Any, Any, V | None]:
        reading = self._tx.get(collection, id_)
        return self._note_read(id_, reading) if collection is JOBS else reading

    async def _note_read(self, id_: str, reading: Coroutine[Any, Any, V | None]) -> V | None:
        value = await reading
        if isinstance(value, Job):
            self.read[id_] = value
        return value

    def create(
        self, collection: Collection[V], id_: str, value: V, /, *, is_new: bool = False
    ) -> None:
        if isinstance(value, Job):
            self.written[id_] = value
        self._tx.create(collection, id_, value, is_new=is_new)

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        if isinstance(value, Job):
            self.written[id_] = value
        self._tx.set(collection, id_, value)

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        self._tx.update(collection, id_, changes)

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        if collection is JOBS:
            self.written.pop(id_, None)
        self._tx.delete(collection, id_)


def _log_status(before: Job | None, job: Job) -> None:
    status, error = job.status, job.error
    level = logging.WARNING if status is Status.FAILED else logging.INFO
    if not log.isEnabledFor(level):
        return
    fields: dict[str, object] = {
        "action": "job_status",
        "job_id": job.job_id,
        "user_id": job.user_id,
        "job_type": job.job_type,
        "status": str(status),
        "attempt": job.attempt or None,
        "step": job.step,
        "parent_id": job.parent_id,
        "waited_ms": _measure_wait(before, job) if status is Status.PROCESSING else None,
        "run_ms": _measure_run(before, job),
        "provider": job.served_by,
        "cost_usd": job.cost_usd,
        "credits": job.credits.captured or None,
        # In this literal, of which the table of log events is made.
        "code": error and error.code,
        "error": error and error.message,
    }
    # As `log.log` does with `extra`, which checks each name for one that every record has.
    build = logging.getLogRecordFactory()
    record = build(log.name, level, "", 0, f"{job.job_type} {status}", (), None)
    vars(record).update({name: value for name, value in fields.items() if value is not None})
    log.handle(record)


def _measure_wait(before: Job | None, job: Job) -> int | None:
    """The time from the status before to the start of a run, which it has just begun."""
    if before is None:
        return None
    since = before.next_attempt_at or before.status_at.get(before.status)
    return _count_milliseconds(since, job.status_at.get(job.status))


def _measure_run(before: Job | None, job: Job) -> int | None:
    """The time in PROCESSING that ends with this status."""
    if before is None or before.status is not Status.PROCESSING:
        return None
    return _count_milliseconds(before.status_at.get(before.status), job.status_at.get(job.status))


def _count_milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else max(0, round((end - start) / _MILLISECOND))
