"""The circuit breakers of this process, shared with other processes through the store.

Only a breaker that has seen failures has a document. While everything works, one query in five
seconds reads them all and nothing is written.

Requests without an answer pause a provider for all only where several instances sent them. Until
then they pause it for this process alone, by a breaker of its own that is not stored.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from msgspec.structs import replace

from taskreel.domain.breaker import Breaker, BreakerRule, BreakerState
from taskreel.domain.errors import StoreError, UnreadableDocumentError
from taskreel.domain.record import Record
from taskreel.ports import Query, Row, Store, Transaction
from taskreel.store_collections import BREAKERS

log = logging.getLogger(__name__)

#: Greatest age of the view of other processes' results.
MAX_VIEW_AGE = timedelta(seconds=5)
#: A document takes about one write a second.
_WRITE_INTERVAL = timedelta(seconds=1)
_MAX_UNWRITTEN = 500
_NEVER = datetime.min.replace(tzinfo=UTC)


class _Result(Record):
    failed: bool
    begun_at: datetime
    ended_at: datetime
    #: The hash of the user whose input may have caused a failure.
    user: str | None
    #: This process where it got no answer, so that the failure may be its own.
    instance: str | None


def breaker_id(provider: str, model: str | None) -> str:
    """The document id of a model's breaker; a model's name may hold slashes, an id may not."""
    return f"{provider}.{quote(model or 'default', safe='')}"


class CircuitBreakers:
    """Breakers by id: the view of the store, and the results that are not written to it yet."""

    def __init__(self, store: Store, rule: BreakerRule | None = None) -> None:
        self._store = store
        self._rule = rule or BreakerRule()
        self._view: dict[str, Breaker] = {}
        self._unwritten: dict[str, deque[_Result]] = {}
        self._written_at: dict[str, datetime] = {}
        self._read_at = _NEVER
        self._instance = secrets.token_hex(4)
        #: The breakers of this process alone, by id: of requests that had no answer.
        self._own: dict[str, Breaker] = {}

    async def load_breakers(self, now: datetime) -> Mapping[str, Breaker]:
        """All breakers that have seen results, by id; at most MAX_VIEW_AGE old."""
        # In either direction: the clock may have gone back since.
        if abs(now - self._read_at) >= MAX_VIEW_AGE:
            self._read_at = now
            rows = await self._store.query(Query(collection=BREAKERS))
            self._view = dict(_read_breakers(rows))
            for id_ in self._unwritten:
                self._view[id_] = self._apply_unwritten(id_, self._view.get(id_, Breaker()), now)
        return self._view

    async def admit_work(self, id_: str, now: datetime) -> datetime | None:
        """Ask to start work; returns `now` when it may start, and then it counts as started.

        Otherwise the time at which to ask again, or None while an administrator holds the breaker
        open. A half-open breaker admits one probe, of whichever process asks first.
        """
        breaker = (await self.load_breakers(now)).get(id_, Breaker())
        own = self._own.get(id_, Breaker()) if breaker.forced is None else Breaker()
        for one in (breaker, own):
            ask_at = one.waits_until(now, self._rule)
            if ask_at is None or ask_at > now:
                return ask_at
        ask_at = await self._start_probe(id_, breaker, now)
        if ask_at is not None and ask_at <= now and id_ in self._own:
            self._own[id_] = self._own[id_].record_start(now, self._rule)
        return ask_at

    def waits_until(self, breaker: Breaker, now: datetime) -> datetime | None:
        """Time from which work may start, or at which to ask again; see `admit_work`."""
        return breaker.waits_until(now, self._rule)

    async def _start_probe(self, id_: str, breaker: Breaker, now: datetime) -> datetime | None:
        """Let work start that the view of the breaker admits; `now`, unless another was first."""
        if breaker.state_at(now) is not BreakerState.HALF_OPEN:
            return now

        async def start_probe(tx: Transaction) -> tuple[Breaker, datetime | None]:
            current = await tx.get(BREAKERS, id_) or Breaker()
            ask_at = current.waits_until(now, self._rule)
            if ask_at is None or ask_at > now:
                return current, ask_at
            probing = current.record_start(now, self._rule)
            tx.set(BREAKERS, id_, probing)
            return probing, now

        self._view[id_], ask_at = await self._store.transaction(start_probe)
        return ask_at

    async def record_result(
        self,
        id_: str,
        now: datetime,
        *,
        failed: bool,
        begun_at: datetime,
        user_id: str | None = None,
        unanswered: bool = False,
    ) -> None:
        """Count work that has succeeded, or has failed through the provider's fault.

        `user_id` is the owner of work whose input may be the cause of its failure. Only a hash of
        it is stored. `unanswered`: no answer came, which may be the fault of this process.
        A change of state is written at once, failures at most once a second, successes never.
        """
        before = (await self.load_breakers(now)).get(id_, Breaker())
        user = _hash_user(id_, user_id) if failed and user_id is not None else None
        instance = self._instance if unanswered else None
        result = _Result(failed, begun_at, now, user, instance)
        self._count_own_result(id_, result)
        after = self._apply_result(before, result, now)
        if after is before:
            return
        self._view[id_] = after
        unwritten = self._unwritten.setdefault(id_, deque(maxlen=_MAX_UNWRITTEN))
        unwritten.append(result)

        state_changed = after.state_at(now) is not before.state_at(now)
        if state_changed:
            # Each process that sees it says so; the store has one breaker for all.
            log.log(
                logging.WARNING if after.state_at(now) is BreakerState.OPEN else logging.INFO,
                "the circuit breaker %s is %s",
                id_,
                after.state_at(now),
                extra={"action": "breaker_changed", "breaker": id_, "state": after.state_at(now)},
            )
        may_write = abs(now - self._written_at.get(id_, _NEVER)) >= _WRITE_INTERVAL
        probe_ended = after.probe_until != before.probe_until
        if state_changed or probe_ended or (failed and may_write):
            await self._write_breaker(id_, now)

    async def free_probe(self, id_: str, now: datetime, *, begun_at: datetime) -> None:
        """Let another probe begin if this work was one, and ended without a word on the provider.

        Writes nothing for other work. A StoreError is logged, not raised: the next probe begins
        when this one is given up.
        """
        try:
            await self._free_probe(id_, now, begun_at)
        except StoreError as error:
            log.warning(
                "a probe of a provider was not ended",
                extra={"action": "result_uncounted", "breaker": id_, "error": error.message},
            )

    async def _free_probe(self, id_: str, now: datetime, begun_at: datetime) -> None:
        own = self._own.get(id_)
        if own is not None:
            self._own[id_] = own.free_probe(begun_at, now)
        breaker = (await self.load_breakers(now)).get(id_)
        if breaker is None or breaker.free_probe(begun_at, now) is breaker:
            return

        async def write(tx: Transaction) -> Breaker:
            stored = await tx.get(BREAKERS, id_) or Breaker()
            freed = stored.free_probe(begun_at, now)
            if freed is not stored:
                tx.set(BREAKERS, id_, freed)
            return freed

        self._view[id_] = await self._store.transaction(write)

    def _count_own_result(self, id_: str, result: _Result) -> None:
        """Count a result in the breaker of this process, which follows the missing answers alone.

        An answer of any kind says that this process reaches the provider.
        """
        is_unanswered = result.instance is not None
        if not is_unanswered and id_ not in self._own:
            return
        before = self._own.get(id_, Breaker())
        own = replace(result, failed=is_unanswered, instance=None)
        after = self._apply_result(before, own, result.ended_at)
        self._own[id_] = after
        state = after.state_at(result.ended_at)
        if state is not before.state_at(result.ended_at):
            log.warning(
                "the circuit breaker %s is %s for this instance alone",
                id_,
                state,
                extra={"action": "own_breaker_changed", "breaker": id_, "state": state},
            )

    async def force_state(
        self, tx: Transaction, id_: str, state: BreakerState | None, now: datetime
    ) -> Breaker:
        """Within a transaction: hold the breaker open or closed; None returns it to normal."""
        stored = await tx.get(BREAKERS, id_) or Breaker()
        breaker = stored.force(state, now).follow(stored, now)
        tx.set(BREAKERS, id_, breaker)
        self._unwritten.pop(id_, None)
        self._own.pop(id_, None)
        self._view[id_] = breaker
        return breaker

    async def _write_breaker(self, id_: str, now: datetime) -> None:
        async def merge_results(tx: Transaction) -> Breaker:
            stored = await tx.get(BREAKERS, id_) or Breaker()
            breaker = self._apply_unwritten(id_, stored, now).follow(stored, now)
            tx.set(BREAKERS, id_, breaker)
            return breaker

        self._written_at[id_] = now
        self._view[id_] = await self._store.transaction(merge_results)
        self._unwritten.pop(id_, None)

    def _apply_unwritten(self, id_: str, breaker: Breaker, now: datetime) -> Breaker:
        """The stored breaker with this process's results.

        They count as if they had ended now: at its own time, a result that ended before a stored
        step would remove that step from the window.
        """
        oldest = now - timedelta(seconds=self._rule.window_seconds)
        for result in self._unwritten.get(id_, ()):
            if result.ended_at > oldest:
                breaker = self._apply_result(breaker, result, now)
        return breaker

    def _apply_result(self, breaker: Breaker, result: _Result, now: datetime) -> Breaker:
        return breaker.record_result(
            failed=result.failed,
            begun_at=result.begun_at,
            now=now,
            rule=self._rule,
            user=result.user,
            instance=result.instance,
        )


def _hash_user(id_: str, user_id: str) -> str:
    """A short hash of the user, another one in each breaker."""
    return hashlib.sha256(f"{id_}\n{user_id}".encode()).hexdigest()[:8]


def _read_breakers(rows: Sequence[Row[Breaker]]) -> Iterator[tuple[str, Breaker]]:
    """Yield the breakers by id; one that cannot be read counts as closed."""
    for row in rows:
        try:
            yield row.id, row.value
        except UnreadableDocumentError:
            log.exception(
                "a stored circuit breaker cannot be read, and counts as closed",
                extra={"action": "document_unreadable", "document_id": row.id},
            )
