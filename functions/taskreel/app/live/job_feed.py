"""Watching jobs for all readers of this process: one watch of the store for each source.

A reader gets the changes that are committed after it joined. Earlier ones it reads from the store,
which has them all: nothing is remembered here, so any instance can serve any reader.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, cast

from taskreel.app.live.job_scope import Source
from taskreel.app.services import Services
from taskreel.domain.errors import StoreError, UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.stream_position import StreamPosition
from taskreel.ports import COMMIT_DELAY, Changes, Row
from taskreel.store_collections import JOBS

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
#: A watch goes on for so long without a reader. A client that asks again and again is a reader for
#: a moment each time, and a new watch reads every job that changed within COMMIT_DELAY.
LINGER_SECONDS = 5.0
#: Unfinished jobs of one source of which a digest is remembered.
_MOST_SHOWN = 1024


@dataclass(frozen=True, slots=True)
class JobChange:
    """A job as one commit wrote it, and the place of that commit.

    `is_snapshot` says that changes before it were not sent one by one: this is the job's state now.
    `is_reset` says so of a reader's whole stream, which could not go on from its position.
    """

    job: Job
    position: StreamPosition
    is_snapshot: bool = False
    is_reset: bool = False


class Reader(Protocol):
    """A receiver of a source's changes. Both methods return at once."""

    def push(self, source: Source, changes: Iterable[JobChange]) -> None:
        """Take changes in the order of their commits."""

    def fall_behind(self) -> None:
        """Note that changes may have been missed: only the store has them."""

    def end(self) -> None:
        """Note that the process stops."""


class _Channel:
    """The watch of one source, and its readers."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.readers: set[Reader] = set()
        #: Every commit up to here has been pushed, or was made before the watch began.
        self.position = 0
        #: A digest of what was last shown of each unfinished job.
        self.shown: OrderedDict[str, int] = OrderedDict()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        #: Ends the watch, once the last reader has left.
        self.end_timer: asyncio.TimerHandle | None = None

    def stop_timer(self) -> None:
        """Let the watch go on: it has a reader, or is ended at once."""
        if self.end_timer is not None:
            self.end_timer.cancel()
            self.end_timer = None

    @property
    def is_watching(self) -> bool:
        """True once its watch has begun."""
        return self.ready.done() and self.ready.exception() is None

    def note_shown(self, job: Job) -> bool:
        """False for a write that changed nothing for a reader, such as a lease's renewal."""
        digest = digest_visible(job)
        if self.shown.pop(job.job_id, None) == digest:
            self.shown[job.job_id] = digest
            return False
        if not job.status.final:
            self.shown[job.job_id] = digest
            if len(self.shown) > _MOST_SHOWN:
                self.shown.popitem(last=False)
        return True


def digest_visible(job: Job) -> int:
    """A number that differs after a change that a reader of the job can see."""
    units = [(unit.state, unit.error, len(unit.artifacts)) for unit in job.units]
    return hash(
        repr(
            (
                *(job.status, job.status_at, job.progress, job.progress_message),
                *(job.attempt, job.next_attempt_at, job.error, job.served_by, job.tried),
                *(job.credits, job.steps, units),
            )
        )
    )


class JobFeed:
    """All watches of jobs in this process."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._channels: dict[Source, _Channel] = {}
        self._readers: set[Reader] = set()
        self.is_closed = False

    @property
    def has_watches(self) -> bool:
        """True while any source is watched."""
        return bool(self._channels)

    def add_reader(self, reader: Reader) -> None:
        """Tell the reader when the process stops."""
        self._readers.add(reader)
        if self.is_closed:
            reader.end()

    def remove_reader(self, reader: Reader) -> None:
        """Forget the reader, and leave its sources."""
        self._readers.discard(reader)
        for channel in list(self._channels.values()):
            self._leave(channel, reader)

    async def join(self, source: Source, reader: Reader) -> int:
        """Push the source's changes to the reader from now on.

        Returns the number of the commit after which they are pushed. Raises StoreError if the store
        cannot be watched.
        """
        channel = self._channels.get(source)
        if channel is None:
            channel = self._channels[source] = _Channel(source)
            channel.task = asyncio.create_task(self._run(channel))
        channel.readers.add(reader)
        channel.stop_timer()
        try:
            await asyncio.shield(channel.ready)
        except BaseException:
            self._leave(channel, reader)
            raise
        return channel.position

    def leave(self, source: Source, reader: Reader) -> None:
        """Push no more of the source's changes to the reader."""
        channel = self._channels.get(source)
        if channel is not None:
            self._leave(channel, reader)

    async def close(self) -> None:
        """End all readers and watches, as the process stops."""
        self.is_closed = True
        for reader in list(self._readers):
            reader.end()
        tasks = [channel.task for channel in self._channels.values() if channel.task is not None]
        for channel in self._channels.values():
            channel.stop_timer()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._channels.clear()

    def _leave(self, channel: _Channel, reader: Reader) -> None:
        channel.readers.discard(reader)
        if channel.readers or self._channels.get(channel.source) is not channel:
            return
        if channel.is_watching and not self.is_closed:
            channel.stop_timer()
            loop = asyncio.get_running_loop()
            channel.end_timer = loop.call_later(LINGER_SECONDS, self._end, channel)
        else:
            self._end(channel)

    def _end(self, channel: _Channel) -> None:
        if self._channels.get(channel.source) is channel:
            del self._channels[channel.source]
        if channel.task is not None:
            channel.task.cancel()

    async def _run(self, channel: _Channel) -> None:
        """Watch until the last reader has left. A watch that fails later on is begun again."""
        while True:
            try:
                async with aclosing(self._watch(channel.source)) as watched:
                    is_first = True
                    async for changes in watched:
                        self._report(channel, changes, is_first=is_first)
                        is_first = False
            except Exception as error:  # also of a client library, of which readers would wait
                if not channel.ready.done():
                    self._channels.pop(channel.source, None)
                    channel.ready.set_exception(_as_store_error(error))
                    channel.ready.exception()  # its readers may have left
                    return
                log.warning(
                    "the watch of jobs broke; it begins again",
                    exc_info=None if isinstance(error, StoreError) else error,
                    extra={"action": "watch_repeated", "error": str(error)},
                )
            await asyncio.sleep(_RESTART_SECONDS)

    def _report(self, channel: _Channel, changes: Changes[Job], *, is_first: bool) -> None:
        decoded = [
            change for change in decode_rows(changes.documents) if channel.note_shown(change.job)
        ]
        channel.position = max(channel.position, changes.position)
        if not channel.ready.done():
            channel.ready.set_result(None)
        elif is_first:
            # Changes were missed between two watches. Each reader knows from where on.
            for reader in list(channel.readers):
                reader.fall_behind()
        else:
            for reader in list(channel.readers):
                reader.push(channel.source, decoded)

    def _watch(self, source: Source) -> AsyncGenerator[Changes[Job]]:
        since = self.services.clock.now() - COMMIT_DELAY
        store = self.services.store
        changes = store.watch_changes(JOBS, source.field, source.value, since=since)
        return cast("AsyncGenerator[Changes[Job]]", changes)


def _as_store_error(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    log.error("jobs cannot be watched", exc_info=error, extra={"action": "watch_failed"})
    return StoreError("The store's changes cannot be watched; try again.")


def decode_rows(rows: Iterable[Row[Job]]) -> Iterator[JobChange]:
    """Yield the jobs; one that cannot be read is omitted and logged."""
    for row in rows:
        try:
            job = row.value
        except UnreadableDocumentError:
            log.exception(
                "a stored job cannot be read and is omitted from live updates",
                extra={"action": "document_unreadable", "document_id": row.id},
            )
            continue
        yield JobChange(job, StreamPosition(row.commit_number, job.job_id, job.updated_at))
