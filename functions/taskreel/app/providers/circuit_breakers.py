"""The circuit breakers of all instances: shared through the store, looked at without asking it each time.

Only a breaker that has seen failures has a document. While everything works there is one query in five seconds for
all of them, and no write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from taskreel.domain.breaker import Breaker, BreakerRule, BreakerState
from taskreel.ports import Document, Query, Store, Transaction

#: How old the view of other instances' findings may be.
FRESH = timedelta(seconds=5)
#: A document takes about one write a second.
_WRITE_EVERY = timedelta(seconds=1)
_REMEMBERED = 500
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Ended:
    failed: bool
    begun_at: datetime
    at: datetime


def breaker_id(provider: str, model: str | None) -> str:
    """The id of a model's breaker; a model's name may hold slashes."""
    return f"{provider}.{quote(model or 'default', safe='')}"


class Breakers:
    """This instance's view, and what it has seen that the store has not."""

    def __init__(self, rule: BreakerRule | None = None) -> None:
        self._rule = rule or BreakerRule()
        self._views: dict[str, Breaker] = {}
        self._seen: dict[str, deque[_Ended]] = {}
        self._written_at: dict[str, datetime] = {}
        self._read_at = _NEVER

    async def all(self, store: Store, now: datetime) -> Mapping[str, Breaker]:
        """Those that have seen anything, by id, at most five seconds old."""
        if now - self._read_at >= FRESH:
            self._read_at = now
            rows = await store.query(Query(collection="breakers"))
            self._views = {row.id: _breaker(row) for row in rows}
            for id_ in self._seen:
                self._views[id_] = self._with_seen(id_, self._views.get(id_, Breaker()), now)
        return self._views

    async def begin(self, store: Store, now: datetime, id_: str) -> datetime | None:
        """From when work may begin there: `now` when it may, and then it counts as begun.

        None while an admin keeps the breaker open. Half-open lets one probe through, whichever instance is first.
        """
        breaker = (await self.all(store, now)).get(id_, Breaker())
        at = breaker.admits_at(now)
        if at is None or at > now or breaker.state(now) is not BreakerState.HALF_OPEN:
            return at

        async def probe(tx: Transaction) -> tuple[Breaker, datetime | None]:
            current = _breaker(await tx.get("breakers", id_))
            admits_at = current.admits_at(now)
            if admits_at is None or admits_at > now:
                return current, admits_at
            begun = current.begun(now, self._rule)
            tx.set("breakers", id_, begun.document())
            return begun, now

        self._views[id_], at = await store.transaction(probe)
        return at

    async def ended(
        self, store: Store, now: datetime, id_: str, *, failed: bool, begun_at: datetime
    ) -> None:
        """Work there succeeded, or failed by the provider's doing.

        The store learns of it at once when the state changes, within a second when there are failures, else never.
        """
        before = (await self.all(store, now)).get(id_, Breaker())
        after = before.ended(failed=failed, begun_at=begun_at, now=now, rule=self._rule)
        if after is before:
            return
        self._views[id_] = after
        self._seen.setdefault(id_, deque(maxlen=_REMEMBERED)).append(_Ended(failed, begun_at, now))
        changed = after.state(now) is not before.state(now)
        if changed or (failed and now - self._written_at.get(id_, _NEVER) >= _WRITE_EVERY):
            await self._write(store, now, id_)

    def by_hand(
        self, tx: Transaction, now: datetime, id_: str, state: BreakerState | None
    ) -> Breaker:
        """In a transaction: an admin keeps it open or closed, or takes that back."""
        breaker = Breaker().by_hand(state, now)
        tx.set("breakers", id_, breaker.document())
        self._seen.pop(id_, None)
        self._views[id_] = breaker
        return breaker

    async def _write(self, store: Store, now: datetime, id_: str) -> None:
        async def write(tx: Transaction) -> Breaker:
            breaker = self._with_seen(id_, _breaker(await tx.get("breakers", id_)), now)
            tx.set("breakers", id_, breaker.document())
            return breaker

        self._written_at[id_] = now
        self._views[id_] = await store.transaction(write)
        self._seen.pop(id_, None)

    def _with_seen(self, id_: str, breaker: Breaker, now: datetime) -> Breaker:
        """As if all had ended now: what ended before a stored step would take that step out of the window."""
        oldest = now - timedelta(seconds=self._rule.window_seconds)
        for one in self._seen.get(id_, ()):
            if one.at > oldest:
                breaker = breaker.ended(
                    failed=one.failed, begun_at=one.begun_at, now=now, rule=self._rule
                )
        return breaker


def _breaker(document: Document | None) -> Breaker:
    return Breaker() if document is None else Breaker.model_validate(document.data)
