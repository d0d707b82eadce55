"""A reader of live updates: changes in the order of their commits, each once, in bounded memory.

The store has every job's newest state and the number of the commit that wrote it. So a reader that
was cut off, or too slow, reads the jobs that were committed after its position, and goes on with
what is pushed. A job that changed several times meanwhile is sent once, in its newest state.

A reader of several sources has a position in each: one source may be reported a little later than
another. A change is news unless a source of its job is already past it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import TracebackType
from typing import Self

from taskreel.app.jobs.job_store import load_job
from taskreel.app.live.job_feed import JobChange, JobFeed, decode_rows, digest_visible
from taskreel.app.live.job_scope import OpenScope, ScopeKind, Source
from taskreel.domain.job import Job
from taskreel.domain.stream_position import StreamPosition
from taskreel.ports import COMMIT_DELAY, Query, Row
from taskreel.store_collections import JOBS

#: Changes that wait for a slow reader; with one more, all are dropped, and it reads the store.
MOST_WAITING = 64
#: A reader that was away longer, or missed more jobs, gets a snapshot of the newest jobs.
LONGEST_ABSENCE = timedelta(hours=24)
MOST_MISSED = 500
SNAPSHOT_JOBS = 50
#: Jobs are read in pages, for most of a busy minute may have been sent before.
_PAGE = 200
_MOST_PAGES = 10


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A change that was not read yet; `is_due` also if it is not news."""

    source: Source
    change: JobChange
    is_due: bool = False


class JobReader:
    """The changes of the scopes that are added; within `async with`."""

    def __init__(self, feed: JobFeed) -> None:
        self._feed = feed
        self._scopes: list[OpenScope] = []
        #: Behind what was read last from each source.
        self._positions: dict[Source, StreamPosition] = {}
        self._waiting: list[_Waiting] = []
        #: The digest of a job's first state, until its first change.
        self._shown: dict[str, int] = {}
        #: True when it could not go on from a position, and gets the newest jobs instead.
        self.was_reset = False
        self._is_behind = False
        self._has_ended = False
        self._woken = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._feed.add_reader(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._feed.remove_reader(self)

    @property
    def scopes(self) -> Sequence[OpenScope]:
        """The scopes that were added, in that order."""
        return self._scopes

    @property
    def positions(self) -> Mapping[Source, StreamPosition]:
        """The position in each source: a later reader goes on from there."""
        return self._positions

    async def add(
        self,
        opened: OpenScope,
        position: StreamPosition | None = None,
        *,
        with_current: bool = False,
    ) -> None:
        """Read a scope from the position on, without one from now on.

        `with_current` sends the state of a single job first.
        Raises StoreError if the store cannot be read.
        """
        source = opened.source
        self._scopes.append(opened)
        try:
            number = await self._feed.join(source, self)
            joined = StreamPosition(number, "", self._feed.services.clock.now())
            # What is pushed from here on is taken; what was committed before is in the store.
            self._positions.setdefault(source, position or joined)
            if position is not None:
                self._queue(source, await self._read_missed(source, position))
            elif with_current:
                await self._read_current(opened)
        except BaseException:
            self.remove(opened)
            raise

    def remove(self, opened: OpenScope) -> None:
        """Read a scope no more, nor what waits of it alone."""
        self._scopes.remove(opened)
        self._waiting = [
            one for one in self._waiting if self._is_wanted(one.source, one.change.job)
        ]
        if all(other.source != opened.source for other in self._scopes):
            self._positions.pop(opened.source, None)
            self._feed.leave(opened.source, self)

    async def read(self) -> JobChange | None:
        """Wait for the next change; None once the process stops.

        `positions` are then behind it. Raises StoreError when missed changes cannot be read.
        """
        while not self._has_ended:
            if self._is_behind:
                await self._catch_up()
            taken = self._take()
            if taken is not None:
                return taken
            self._woken.clear()
            if not (self._is_behind or self._has_ended):
                await self._woken.wait()
        return None

    def read_waiting(self) -> JobChange | None:
        """The next change if it is there already."""
        return self._take()

    # ── Called by the feed ───────────────────────────────────────────────────────────────────────

    def push(self, source: Source, changes: Iterable[JobChange]) -> None:
        """Take changes in the order of their commits; too many are dropped, and read again."""
        if self._is_behind or source not in self._positions:
            # Then the store is read afterwards, which has them.
            return
        self._queue(source, changes)
        if len(self._waiting) > MOST_WAITING:
            self._waiting.clear()
            self.fall_behind()

    def fall_behind(self) -> None:
        """Read the store next, from `positions` on."""
        self._is_behind = True
        self._woken.set()

    def end(self) -> None:
        """Return None from `read`, now and from now on."""
        self._has_ended = True
        self._woken.set()

    # ── Waiting changes ──────────────────────────────────────────────────────────────────────────

    def _queue(self, source: Source, changes: Iterable[JobChange], *, is_due: bool = False) -> None:
        added = [
            _Waiting(source, change, is_due=is_due or change.is_reset)
            for change in changes
            if self._is_wanted(source, change.job)
        ]
        if added:
            self._waiting += added
            self._waiting.sort(key=lambda one: one.change.position)
            self._woken.set()

    def _is_wanted(self, source: Source, job: Job) -> bool:
        return any(one.source == source and one.includes(job) for one in self._scopes)

    def _take(self) -> JobChange | None:
        """The first waiting change that is news, with the position of its source behind it."""
        while self._waiting:
            first = self._waiting.pop(0)
            position, source = first.change.position, first.source
            if source not in self._positions:
                continue  # its scope was removed
            is_news = all(
                position > known
                for one, known in self._positions.items()
                if one.covers(first.change.job)
            )
            self._positions[source] = max(self._positions[source], position)
            if first.is_due or (is_news and self._is_visible(first.change.job)):
                return first.change
        return None

    def _is_visible(self, job: Job) -> bool:
        """False for what the state at which the job's scope began had already."""
        return self._shown.pop(job.job_id, None) != digest_visible(job)

    # ── Missed changes ───────────────────────────────────────────────────────────────────────────

    async def _catch_up(self) -> None:
        """Read what was missed. What is pushed from here on is taken again."""
        self._is_behind = False
        try:
            for source, position in list(self._positions.items()):
                missed = await self._read_missed(source, position)
                self._queue(source, [replace(change, is_snapshot=True) for change in missed])
        except BaseException:
            self._is_behind = True
            raise

    async def _read_current(self, opened: OpenScope) -> None:
        """Begin with the job of a scope as it is now; pushed changes that it has are omitted."""
        if opened.scope.kind is not ScopeKind.JOB:
            return
        job = await load_job(self._feed.services.store, opened.scope.name)
        if job is not None:
            self._shown[job.job_id] = digest_visible(job)
            self._waiting.insert(
                0,
                _Waiting(
                    opened.source,
                    JobChange(job, self._positions[opened.source]),
                    is_due=True,
                ),
            )
            self._woken.set()

    async def _read_missed(self, source: Source, position: StreamPosition) -> list[JobChange]:
        """The jobs that were committed after the position, each in its newest state."""
        age = self._feed.services.clock.now() - position.updated_at
        rows = await self._query_missed(source, position) if age < LONGEST_ABSENCE else None
        if rows is not None:
            return list(decode_rows(rows))
        self.was_reset = True
        newest = decode_rows(await self._query_newest(source))
        return [replace(change, is_snapshot=True, is_reset=True) for change in newest]

    async def _query_missed(
        self, source: Source, position: StreamPosition
    ) -> list[Row[Job]] | None:
        """The documents that were committed after the position; None if they are too many.

        One that was committed after it may have been given its `updatedAt` a little before.
        """
        since = position.updated_at - COMMIT_DELAY
        place = (position.commit_number, position.job_id)
        missed: list[Row[Job]] = []
        query = Query(
            collection=JOBS,
            where=((source.field, "==", source.value), ("updatedAt", ">=", since)),
            order=(("updatedAt", "asc"),),
            limit=_PAGE,
            committed_from=position.commit_number,
        )
        for _ in range(_MOST_PAGES):
            rows = await self._feed.services.store.query(query)
            missed += [row for row in rows if (row.commit_number, row.id) > place]
            if len(missed) > MOST_MISSED:
                return None
            if len(rows) < _PAGE:
                return missed
            query = query.behind(rows[-1])
        return None

    async def _query_newest(self, source: Source) -> list[Row[Job]]:
        query = Query(
            collection=JOBS,
            where=((source.field, "==", source.value),),
            order=(("createdAt", "desc"),),
            limit=SNAPSHOT_JOBS,
        )
        return await self._feed.services.store.query(query)
