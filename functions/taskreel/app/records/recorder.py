"""Collect the metrics and failures of this process, and store them now and then.

A job's own transactions pay nothing for statistics: each committed change of a status is counted in
memory, and the numbers of half a minute are stored at once. A process that is killed loses that
much of its counts; the jobs themselves are not affected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from taskreel.domain.credits import name_day
from taskreel.domain.errors import StoreError, UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.job_metrics import (
    ATTEMPTS,
    SWEPT,
    DailyMetrics,
    EtaOutcome,
    MetricsTally,
    count_ambiguous,
    count_change,
    count_eta,
)
from taskreel.domain.job_status import Status
from taskreel.ports import Clock, Store, Timer, Transaction
from taskreel.store_collections import DEAD_LETTERS, METRICS

if TYPE_CHECKING:
    from taskreel.domain.dead_letters import DeadLetterGroup

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 30.0
#: Processes write to different documents, so that each takes about a write a second at most.
SHARDS = 4
#: Metrics are removed after that time.
METRICS_RETENTION = timedelta(days=400)
#: Kinds of failures between two writes; a flood of others is counted in the metrics alone.
_MOST_GROUPS = 200

#: Changes are counted so many at a time: that takes half of the time that each takes by itself,
#: between the other work of its job.
_CHANGES_AT_A_TIME = 100

_Tallies = dict[tuple[str, str], MetricsTally]


class Recorder:
    """The numbers of this process that are not stored yet."""

    def __init__(self, store: Store, clock: Clock, shard: int) -> None:
        self._store = store
        self._clock = clock
        self._shard = shard % SHARDS
        #: Committed changes that are not counted yet.
        self._changes: list[tuple[Job | None, Job]] = []
        self._tallies: _Tallies = {}
        self._groups: dict[str, DeadLetterGroup] = {}
        self._timer: Timer | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._storing: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()

    def note_change(self, before: Job | None, job: Job) -> None:
        """Count a committed change of a job, before the next numbers are stored."""
        self._changes.append((before, job))
        if self._timer is None:
            self._set_timer()
        if len(self._changes) >= _CHANGES_AT_A_TIME:
            self._count_changes()

    def _count_changes(self) -> None:
        changes, self._changes = self._changes, []
        for before, job in changes:
            self._count_change(before, job)

    def _count_change(self, before: Job | None, job: Job) -> None:
        if job.status.final and job.error is not None:
            count_ambiguous(self._open_tally(job.job_type, job.updated_at), before, job)
        has_entered = before is None or before.status != job.status
        # Also a run that follows one whose process has died.
        has_begun = before is not None and job.attempt > before.attempt
        if not has_entered and not has_begun:
            return
        at = job.status_at[job.status] if has_entered else job.updated_at
        tally = self._open_tally(job.job_type, at)
        if has_entered:
            count_change(tally, before, job)
        if has_begun:
            tally.counts[ATTEMPTS] += 1
        if has_entered and job.status is Status.FAILED:
            self._note_failure(job)

    def count_eta(self, job_type: str, outcome: EtaOutcome, at: datetime) -> None:
        """Count an estimated start that was checked."""
        count_eta(self._open_tally(job_type, at), outcome)

    def count_sweep(self, job: Job, action: str, at: datetime) -> None:
        """Count an act of the sweep on a job, by the status in which it was found."""
        self._open_tally(job.job_type, at).count(f"{SWEPT}.{action}.{job.status}", at)

    def count_event(self, job_type: str, name: str, at: datetime) -> None:
        """Count an event that belongs to a job, and to no change of it."""
        self._open_tally(job_type, at).count(name, at)

    def _open_tally(self, job_type: str, at: datetime) -> MetricsTally:
        """The numbers of a type and day, which are stored before long."""
        key = (job_type, name_day(at))
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = MetricsTally()
        if self._timer is None:
            self._set_timer()
        return tally

    def _set_timer(self) -> None:
        self._timer = self._clock.call_later(_FLUSH_SECONDS, self._start_flush)

    async def flush(self) -> None:
        """Store what has been counted. What cannot be stored now is stored with the next.

        A caller that is cancelled, as a reader by its time limit, does not end it: it could not
        be known if the numbers under way were stored.
        """
        self._count_changes()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        storing = asyncio.create_task(self._store_numbers())
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)
        await asyncio.shield(storing)

    async def _store_numbers(self) -> None:
        async with self._one_at_a_time:
            tallies, self._tallies = self._tallies, {}
            groups, self._groups = self._groups, {}
            try:
                while tallies:
                    key = next(iter(tallies))
                    await self._add(partial(self._add_metrics, key, tallies[key]))
                    del tallies[key]
                while groups:
                    fingerprint = next(iter(groups))
                    await self._add(partial(_add_group, groups[fingerprint]))
                    del groups[fingerprint]
            except StoreError as error:
                log.warning(
                    "statistics cannot be stored; they are stored with the next",
                    extra={"action": "statistics_unstored", "error": error.message},
                )
                self._restore(tallies, groups)

    async def _add(self, add: Callable[[Transaction], Awaitable[None]]) -> None:
        """Add to one stored document; to one that cannot be read nothing can be added."""
        try:
            await self._store.transaction(add)
        except UnreadableDocumentError:
            log.exception(
                "a stored statistic cannot be read: what belongs to it is not counted",
                extra={"action": "document_unreadable"},
            )

    def _note_failure(self, job: Job) -> None:
        from taskreel.domain.dead_letters import DeadLetterGroup  # of failures alone: cold start

        group = DeadLetterGroup.of(job)
        if group is None:
            return
        known = self._groups.get(group.fingerprint)
        if known is not None:
            self._groups[group.fingerprint] = known.plus(group)
        elif len(self._groups) < _MOST_GROUPS:
            self._groups[group.fingerprint] = group

    def _start_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self.flush())

    def _restore(self, tallies: _Tallies, groups: Mapping[str, DeadLetterGroup]) -> None:
        """Put numbers that could not be stored back before what was counted meanwhile."""
        for key, tally in tallies.items():
            later = self._tallies.get(key)
            if later is not None:
                tally.merge(later)
            self._tallies[key] = tally
        for fingerprint, group in groups.items():
            newer = self._groups.get(fingerprint)
            self._groups[fingerprint] = group if newer is None else group.plus(newer)
        if self._timer is None:
            self._set_timer()

    async def _add_metrics(
        self, key: tuple[str, str], tally: MetricsTally, tx: Transaction
    ) -> None:
        job_type, day = key
        id_ = f"{job_type}.{day}.{self._shard}"
        stored = await tx.get(METRICS, id_)
        if stored is None:
            expire_at = datetime.fromisoformat(day).replace(tzinfo=UTC) + METRICS_RETENTION
            stored = DailyMetrics(job_type=job_type, day=day, expire_at=expire_at)
        tx.set(METRICS, id_, stored.plus(tally))


async def _add_group(group: DeadLetterGroup, tx: Transaction) -> None:
    stored = await tx.get(DEAD_LETTERS, group.fingerprint)
    tx.set(DEAD_LETTERS, group.fingerprint, group if stored is None else stored.plus(group))
