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
  that member comes back on its own. After `_SLOW_SECONDS` the next group starts beside a slow one;
  the conditions keep that correct. Every member gets an answer, whatever happens here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.api_core.exceptions import GoogleAPICallError

from taskreel.adapters.gcp.firestore.buffer import (
    BufferedTransaction,
    Document,
    Key,
    Write,
    version_of,
)
from taskreel.adapters.gcp.firestore.codec import decode_fields
from taskreel.adapters.gcp.firestore.database import CommitRefusedError, Database
from taskreel.adapters.gcp.firestore.overlay import (
    EncodedWrite,
    KnownResult,
    Overlay,
    PostponedError,
    UnreadError,
)
from taskreel.adapters.gcp.google_client import is_temporary
from taskreel.domain.errors import StoreError
from taskreel.ports import Increment, Transaction

T = TypeVar("T")
TransactionFunction = Callable[[Transaction], Awaitable[T]]
IsLeased = Callable[[str, Mapping[str, Any]], bool]

#: The time after which the next group does not wait any longer for this one.
_SLOW_SECONDS = 1.0
#: How often a commit is sent again that was refused although every condition holds.
_UNEXPLAINED_REFUSALS = 3
_UNEXPLAINED_WAIT_SECONDS = 0.05
_CLOSE_SECONDS = 2.0

#: The most documents that are remembered, and the largest.
_MOST_REMEMBERED = 500
_LARGEST_REMEMBERED_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """A transaction is committed; the value is what its function returned."""

    value: T


@dataclass(frozen=True, slots=True)
class Contended:
    """Others changed the document `key` first. The next try should read all of `keys` at once."""

    key: Key
    keys: frozenset[Key]


class RecentDocuments:
    """The documents that this process has leased, as it wrote them last.

    A run writes its job again and again, and normally nobody else does: with the version that each
    commit returns, its next write needs no read.
    """

    def __init__(self, is_leased: IsLeased) -> None:
        self._is_leased = is_leased
        self._results: dict[Key, KnownResult] = {}

    def recall(self, key: Key) -> Document | None:
        """The document, if it is remembered."""
        result = self._results.get(key)
        return None if result is None else result.decode()

    def remember(self, key: Key, result: KnownResult | None) -> None:
        """Replace what is remembered of a document. The least recently written is dropped."""
        self._results.pop(key, None)
        if result is None or result.encoded.bytes > _LARGEST_REMEMBERED_BYTES:
            return
        if self._is_leased(key[0], result.fields):
            self._results[key] = result
            while len(self._results) > _MOST_REMEMBERED:
                del self._results[next(iter(self._results))]

    def forget(self, keys: Iterable[Key]) -> None:
        """Remember nothing of these documents."""
        for key in keys:
            self._results.pop(key, None)


@dataclass(eq=False, slots=True)
class _Member:
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


class TransactionGroups:
    """Runs the transactions of one process in groups, one group at a time."""

    def __init__(self, database: Database, is_leased: IsLeased) -> None:
        self._database = database
        self._recent = RecentDocuments(is_leased)
        self._waiting: list[_Member] = []
        self._runner: asyncio.Task[None] | None = None
        self._groups: set[asyncio.Task[None]] = set()

    async def run(
        self, fn: TransactionFunction[T], prefetch: Collection[Key]
    ) -> Ended[T] | Contended:
        """Run `fn` in the next group. `prefetch` are documents that it will read."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._enqueue([*self._waiting, _Member(fn, answer, prefetch)])
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

    def _enqueue(self, waiting: list[_Member]) -> None:
        self._waiting = waiting
        if waiting and self._runner is None:
            self._runner = asyncio.create_task(self._run_groups())

    async def _run_groups(self) -> None:
        """Run groups until no transaction waits. A single one waits for no other."""
        try:
            await asyncio.sleep(0)  # the callers that are ready now share the first group
            while self._waiting:
                members, self._waiting = self._waiting, []
                group = asyncio.create_task(self._run_group(members))
                self._groups.add(group)
                group.add_done_callback(self._groups.discard)
                await asyncio.wait({group}, timeout=_SLOW_SECONDS)
        finally:
            self._runner = None
            _fail_all(self._waiting, _closed_error())

    async def _run_group(self, members: list[_Member]) -> None:
        parts = [members]
        try:
            while parts:
                group = _Group(self._database, self._recent)
                await group.run(parts.pop())
                parts += group.parts
                # First in line, so that no member is postponed twice for the same reason.
                self._enqueue([*group.postponed, *self._waiting])
        except asyncio.CancelledError:
            _fail_all(members, _closed_error())
            raise
        except Exception as error:  # noqa: BLE001 - every caller must get an answer
            _fail_all(members, error)


class _Group:
    """One run of some members, and the commit of their writes."""

    def __init__(self, database: Database, recent: RecentDocuments) -> None:
        self._database = database
        self._recent = recent
        self._overlay = Overlay(database.root, recent.recall)
        #: The members that have run to their end, in this order.
        self._finished: list[_Member] = []
        #: Members that belong to the next group.
        self.postponed: list[_Member] = []
        #: Members that run again in groups of their own, because Firestore refused the content of
        #: one of them.
        self.parts: list[list[_Member]] = []

    async def run(self, members: Sequence[_Member]) -> None:
        """Run the members, commit their writes, and give each of their callers an answer."""
        missing = {key for member in members for key in member.prefetch}
        remaining = list(members)
        while remaining:
            await self._read_documents(missing)
            missing, unfinished = set(), []
            for member in remaining:
                if member.answer.done():  # its caller was cancelled
                    continue
                unread = await self._run_member(member)
                if unread:
                    missing |= unread
                    unfinished.append(member)
            remaining = unfinished
        for member in self._finished:
            if not member.needs_commit:
                member.deliver()
        await self._commit()
        for member in self._finished:
            member.deliver()

    async def _run_member(self, member: _Member) -> set[Key]:
        """Run a member over the overlay; return the documents that it needs and are not read."""
        unread: set[Key] = set()

        async def read(key: Key) -> Document | None:
            try:
                return await self._overlay.read(key)
            except UnreadError:
                unread.add(key)
                raise

        transaction = BufferedTransaction(read)
        member.error, member.writes = None, ()
        try:
            member.result = await member.fn(transaction)
        except UnreadError:
            return unread
        except Exception as error:  # noqa: BLE001 - it is raised at the member's caller
            member.error = error
        member.reads = frozenset(transaction.reads)
        writes = transaction.writes if member.error is None else []
        return unread or self._add_writes(member, writes)

    def _add_writes(self, member: _Member, writes: Sequence[Write]) -> set[Key]:
        """Add what a member wrote; return the documents that it must read afresh instead."""
        overlay = self._overlay
        proving = {write.key for write in writes if write.is_carried_out_once}
        unproved = overlay.list_unproved(member.reads, proving)
        if unproved:
            overlay.forget(unproved)
            return set(unproved)
        touched = member.reads.union(write.key for write in writes)
        member.depends_on_commit = overlay.depends_on_commit(touched)
        try:
            overlay.add_writes(writes, has_read=member.reads)
        except PostponedError:
            self.postponed.append(member)
            return set()
        except Exception as error:  # noqa: BLE001 - it is raised at the member's caller
            # Without its writes, nothing proves what it read from memory.
            member.error = error
            return self._add_writes(member, ())
        member.writes = writes
        self._finished.append(member)
        return set()

    async def _read_documents(self, keys: Collection[Key]) -> None:
        """Read documents; the error of reading one is raised at the members that need it."""
        if not keys:
            return
        found: dict[Key, Document | StoreError | None] = {}
        try:
            documents = await self._database.get_documents(list(keys))
            found = {key: documents.get(key) for key in keys}
        except StoreError as error:
            if _is_outage(error) or len(keys) == 1:
                found = dict.fromkeys(keys, error)
            else:
                # One of the names is refused: it must not fail those who need the others.
                for key in keys:
                    await self._read_documents([key])
                return
        self._set_aside(self._overlay.add_reads(found))

    # ── Commit ───────────────────────────────────────────────────────────────────────────────────

    async def _commit(self) -> None:
        """Commit the writes of the members that have run; set aside those that cannot be."""
        unexplained = 0
        while writes := self._overlay.writes:
            try:
                self._remember(writes, await self._database.commit(writes))
            except CommitRefusedError as refusal:
                self._recent.forget(one.write.key for one in writes)
                try:
                    if await self._handle_refusal(writes, maybe_ours=refusal.maybe_ours):
                        return
                except StoreError as error:
                    self._fail_writers(error)
                    return
                if len(self._overlay.writes) < len(writes):
                    continue
                unexplained += 1
                if unexplained > _UNEXPLAINED_REFUSALS:
                    self._set_aside([one.write.key for one in writes])
                await asyncio.sleep(random.uniform(0, _UNEXPLAINED_WAIT_SECONDS))  # noqa: S311 - jitter
            except StoreError as error:
                self._recent.forget(one.write.key for one in writes)
                if _is_outage(error) or not self._halve():
                    self._fail_writers(error)
                    return
            else:
                return

    def _remember(self, writes: Sequence[EncodedWrite], versions: Sequence[str]) -> None:
        for encoded, version in zip(writes, versions, strict=True):
            result = self._overlay.describe_result(encoded, version)
            self._recent.remember(encoded.write.key, result)

    async def _handle_refusal(self, writes: Sequence[EncodedWrite], *, maybe_ours: bool) -> bool:
        """Find the cause of a refused commit by reading the documents that have a condition.

        Firestore's status does not name the document, and not reliably the cause. Returns True if
        an earlier try, whose response was lost, carried out the commit after all. Otherwise the
        members that a changed document concerns are set aside.
        """
        keys = [one.write.key for one in writes if one.write.condition is not None]
        now = await self._database.get_documents(keys)
        if maybe_ours and self._was_carried_out(writes, now):
            return True
        self._set_aside(
            [one.write.key for one in writes if not _is_true(one.write, now.get(one.write.key))]
        )
        return False

    def _was_carried_out(self, writes: Sequence[EncodedWrite], now: Mapping[Key, Document]) -> bool:
        """True if some member's documents prove it. That of all is proved by one: it is atomic."""
        proofs = {
            one.write.key: _is_carried_out(one, now.get(one.write.key))
            for one in writes
            if one.write.is_carried_out_once
        }
        return any(
            all(proofs[key] for key in proving)
            for member in self._finished
            if (proving := [one.key for one in member.writes if one.key in proofs])
        )

    def _set_aside(self, changed: Sequence[Key]) -> None:
        """Take out the members that these documents concern, and those that depend on them."""
        if not changed:
            return
        tainted = set(changed)
        finished, self._finished = self._finished, []
        self._overlay = self._overlay.without_writes()
        for member in finished:
            concerned = member.keys & tainted
            if member.needs_commit and concerned:
                tainted.update(write.key for write in member.writes)
                member.repeat(next((key for key in changed if key in concerned), min(concerned)))
            else:
                self._keep(member)

    def _keep(self, member: _Member) -> None:
        """Add a member that has run to the overlay, over others than those it ran over.

        No member that was taken out wrote a document of it, so its run is still right.
        """
        self._overlay.add_writes(member.writes, has_read=member.reads)
        self._finished.append(member)

    def _halve(self) -> bool:
        """Leave the first half of the members here and the rest for later; False for a single one.

        The first half ran before the rest and so does not depend on it.
        """
        concerned = [member for member in self._finished if member.needs_commit]
        if len(concerned) == 1:
            return False
        first_of_rest = self._finished.index(concerned[len(concerned) // 2])
        finished, self._finished = self._finished, []
        self._overlay = self._overlay.without_writes()
        for member in finished[:first_of_rest]:
            self._keep(member)
        self.parts.append(finished[first_of_rest:])
        return True

    def _fail_writers(self, error: StoreError) -> None:
        """Fail the members whose writes were not stored, and those that read them."""
        for member in self._finished:
            if member.needs_commit:
                failed = type(error)(error.message)
                failed.__cause__ = error
                member.fail(failed)


def _is_outage(error: StoreError) -> bool:
    """True if Firestore could not be reached, false if it refused what it was sent."""
    cause = error.__cause__
    return not isinstance(cause, GoogleAPICallError) or is_temporary(cause)


def _is_true(write: Write, now: Document | None) -> bool:
    """True if the write's precondition is met by the document as it is now."""
    if isinstance(write.condition, str):
        return version_of(now) == write.condition
    return write.condition is None or write.condition == (now is not None)


def _is_carried_out(encoded: EncodedWrite, now: Document | None) -> bool:
    """True if the document has changed, to what this write makes of it.

    Increments are not compared. A document that is as it was before proves nothing, even if the
    write would not change it.
    """
    write = encoded.write
    if _is_true(write, now):
        return False
    if write.kind == "delete" or now is None:
        return write.kind == "delete" and now is None
    expected = decode_fields(encoded.message.update.fields)
    increments = {name for name, value in write.data.items() if isinstance(value, Increment)}
    return all(
        now.data.get(name) == value for name, value in expected.items() if name not in increments
    )


def _fail_all(members: Iterable[_Member], error: Exception) -> None:
    for member in members:
        member.fail(error)


def _closed_error() -> StoreError:
    return StoreError("The Firestore store was closed before the transaction was committed.")
