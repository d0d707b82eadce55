"""One transaction in a group, and the outcomes that its caller gets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from taskreel.adapters.gcp.firestore.buffer import Key, Write
from taskreel.ports import Transaction

T = TypeVar("T")
TransactionFunction = Callable[[Transaction], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """A transaction is committed; the value is what its function returned."""

    value: T


@dataclass(frozen=True, slots=True)
class Contended:
    """Others changed the document `key` first. The next try should read all of `keys` at once."""

    key: Key
    keys: frozenset[Key]


@dataclass(eq=False, slots=True)
class Member:
    """A transaction in a group. All but the first three fields describe its last run."""

    fn: TransactionFunction[Any]
    answer: asyncio.Future[Ended[Any] | Contended]
    prefetch: Collection[Key]
    result: Any = None
    error: Exception | None = None
    reads: frozenset[Key] = frozenset()
    writes: Sequence[Write] = ()
    #: True if it read what is stored only with the group's commit.
    depends_on_commit: bool = False

    @property
    def keys(self) -> frozenset[Key]:
        """The documents that it read or wrote."""
        return self.reads.union(write.key for write in self.writes)

    @property
    def needs_commit(self) -> bool:
        """True if the commit must succeed before its result may be delivered."""
        return bool(self.writes) or self.depends_on_commit

    def deliver(self) -> None:
        """Give its caller the result or the exception of its function."""
        if self.error is not None:
            self.fail(self.error)
        elif not self.answer.done():
            self.answer.set_result(Ended(self.result))

    def fail(self, error: Exception) -> None:
        """Raise `error` at its caller, unless that has gone."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def repeat(self, contended: Key) -> None:
        """Ask its caller to run it again, after others changed `contended`."""
        if not self.answer.done():
            self.answer.set_result(Contended(contended, self.keys))
