"""One group of transactions: its run over an overlay, its commit, and what a refusal leads to.

`transaction_groups` says why this is correct.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Collection, Mapping, Sequence

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
from taskreel.adapters.gcp.firestore.group_member import Member
from taskreel.adapters.gcp.firestore.group_overlay import (
    EncodedWrite,
    Overlay,
    PostponedError,
    UnreadError,
)
from taskreel.adapters.gcp.firestore.recent_documents import RecentDocuments
from taskreel.adapters.gcp.google_client import is_temporary
from taskreel.domain.errors import StoreError
from taskreel.ports import Increment

#: How often a commit is sent again that was refused although every condition holds.
_UNEXPLAINED_REFUSALS = 3
_UNEXPLAINED_WAIT_SECONDS = 0.05
#: The rounds of reading after which the members that are done wait for no other.
_MOST_ROUNDS = 3


class Group:
    """One run of some members, and the commit of their writes."""

    def __init__(self, database: Database, recent: RecentDocuments) -> None:
        self._database = database
        self._recent = recent
        self._overlay = Overlay(database.root, recent.recall)
        #: The members that have run to their end, in this order.
        self._finished: list[Member] = []
        #: Members that belong to the next group.
        self.postponed: list[Member] = []
        #: Members that run again in groups of their own, because Firestore refused the content of
        #: one of them.
        self.parts: list[list[Member]] = []
        #: Members that read one document after another: they go on without those that wait.
        self.slow: list[Member] = []

    async def run(self, members: Sequence[Member]) -> None:
        """Run the members, commit their writes, and give each of their callers an answer."""
        missing = {key for member in members for key in member.prefetch}
        remaining = list(members)
        for rounds in itertools.count():
            if rounds > _MOST_ROUNDS and self._finished:
                self.slow, remaining = remaining, []
            if not remaining:
                break
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

    async def _run_member(self, member: Member) -> set[Key]:
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
            member.prefetch = transaction.reads | unread
            return unread
        except Exception as error:  # noqa: BLE001 - it is raised at the member's caller
            member.error = error
        member.reads = frozenset(transaction.reads)
        writes = transaction.writes if member.error is None else []
        return unread or self._add_writes(member, writes)

    def _add_writes(self, member: Member, writes: Sequence[Write]) -> set[Key]:
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
                pause = random.uniform(0, _UNEXPLAINED_WAIT_SECONDS)  # noqa: S311 - jitter
                await asyncio.sleep(pause)
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
                self._finish_member(member)

    def _finish_member(self, member: Member) -> None:
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
            self._finish_member(member)
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
