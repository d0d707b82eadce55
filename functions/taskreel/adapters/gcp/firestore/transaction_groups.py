"""Transactions in groups: one read and one commit for all that wait in this process.

A call to Firestore costs about 0.4 ms of CPU whatever it carries, and two commits that write the
same account refuse each other. So the transactions that wait form a group, and the group is one
optimistic transaction:

* Its members run one after another over an `Overlay`: each sees the documents as Firestore returned
  them, with the writes of the members before it. A member that needs a document which the group
  does not have is ended and runs again after the next read, which fetches all that are missing.
* Their writes become one commit, one write a document. Each write has the condition under which its
  document was read (its version, or its absence), or the one that an unread write needs.

Why this is correct:

* **Isolation.** If the commit succeeds, every condition held at one moment. Up to then no other
  writer changed a document that a member read and the group wrote, so the group's effect is that of
  its members carried out at that moment, one after another, in the order in which they ran. This is
  what the port promises of a transaction alone: a document that was read and not written may have
  changed, and a document whose reading must hold is also written.
* **Freshness.** What a member reads was read after its call began, with two exceptions. The pending
  write of an earlier member holds only if the commit does; so the member's result is delivered
  after the commit, and fails with it, even if the member wrote nothing. A remembered document (see
  `RecentDocuments`) may be old; so it serves only a member that writes it under the condition of
  its version. Any other member, one that raises included, runs again with the document read.
* **Failures.** An exception of a member's function, a false precondition or a value that cannot be
  stored is found before its writes are added, and is that member's alone. When Firestore refuses
  the commit, the conditional documents are read: the members that read or wrote a changed one, and
  those that depend on their writes, run again with fresh documents in a later group; the rest is
  committed again as it is. When Firestore refuses the content of a commit (a document too large, an
  index entry too long), the group is halved until the member is found.
* **Lost answers.** A commit is atomic: if all conditional documents of one member have changed to
  what this commit makes of them, the whole commit was carried out, and repeating it would charge or
  count twice. A condition that can hold only once makes it safe to send the commit again.
* **No endless wait.** A group does not wait for the back-off of a member that others contend with:
  that member comes back on its own. One that reads many documents in turn goes on in a group of
  its own. After `_SLOW_SECONDS` the next group starts beside a slow one;
  the conditions make that safe. Every member gets an answer, whatever happens here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from taskreel.adapters.gcp.firestore.buffer import Key
from taskreel.adapters.gcp.firestore.database import Database
from taskreel.adapters.gcp.firestore.group import Group
from taskreel.adapters.gcp.firestore.group_member import (
    Contended,
    Ended,
    Member,
    TransactionFunction,
)
from taskreel.adapters.gcp.firestore.recent_documents import IsLeased, RecentDocuments
from taskreel.domain.errors import StoreError

T = TypeVar("T")

#: The time after which the next group does not wait any longer for this one.
_SLOW_SECONDS = 1.0
_CLOSE_SECONDS = 2.0


class TransactionGroups:
    """Runs the transactions of one process in groups, one group at a time."""

    def __init__(self, database: Database, is_leased: IsLeased) -> None:
        self._database = database
        self._recent = RecentDocuments(is_leased)
        self._waiting: list[Member] = []
        self._runner: asyncio.Task[None] | None = None
        self._groups: set[asyncio.Task[None]] = set()

    async def run(
        self, fn: TransactionFunction[T], prefetch: Collection[Key]
    ) -> Ended[T] | Contended:
        """Run `fn` in the next group. `prefetch` are documents that it will read."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._enqueue([*self._waiting, Member(fn, answer, prefetch)])
        outcome: Ended[T] | Contended = await answer
        return outcome

    async def close(self) -> None:
        """Let the groups under way end, for a short time; then their callers get an error."""
        tasks = {*self._groups, *({self._runner} if self._runner else ())}
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _enqueue(self, waiting: list[Member]) -> None:
        self._waiting = waiting
        if waiting and self._runner is None:
            self._runner = asyncio.create_task(self._run_groups())

    async def _run_groups(self) -> None:
        """Run groups until no transaction waits. A single one waits for no other."""
        try:
            await asyncio.sleep(0)  # the callers that are ready now share the first group
            while self._waiting:
                members, self._waiting = self._waiting, []
                await asyncio.wait({self._start_group(members)}, timeout=_SLOW_SECONDS)
        finally:
            self._runner = None
            _fail_all(self._waiting, _closed_error())

    def _start_group(self, members: list[Member]) -> asyncio.Task[None]:
        group = asyncio.create_task(self._run_group(members))
        self._groups.add(group)
        group.add_done_callback(self._groups.discard)
        return group

    async def _run_group(self, members: list[Member]) -> None:
        parts = [members]
        try:
            while parts:
                group = Group(self._database, self._recent)
                await group.run(parts.pop())
                parts += group.parts
                if group.slow:
                    self._start_group(group.slow)
                # First in line, so that no member is postponed twice for the same reason.
                self._enqueue([*group.postponed, *self._waiting])
        except asyncio.CancelledError:
            _fail_all(members, _closed_error())
            raise
        except Exception as error:  # noqa: BLE001 - every caller must get an answer
            _fail_all(members, error)


def _fail_all(members: Iterable[Member], error: Exception) -> None:
    for member in members:
        member.fail(error)


def _closed_error() -> StoreError:
    return StoreError("The Firestore store was closed before the transaction was committed.")
