"""Watching documents: one Listen stream for all that this process watches, one target a document.

The client library would hold a stream and two threads for each watched document, and its asynchronous client cannot
watch at all; a server connection carries about a hundred streams.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from google.cloud.firestore_v1.types import firestore

from taskreel.adapters.gcp.firestore.buffer import Key, version_of
from taskreel.adapters.gcp.firestore.codec import key_of, read_document
from taskreel.adapters.gcp.firestore.rpc import ENDS_A_STREAM, FirestoreRpc
from taskreel.domain.errors import StoreError
from taskreel.ports import Document

_Change = firestore.TargetChange.TargetChangeType
#: Between two streams, so that one which ends at once is not opened without end.
_PAUSE_SECONDS = 0.1


class _Target:
    """One watched document as last heard of. `serial` counts what was heard."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.watchers = 0
        self.serial = 0
        self.document: Document | None = None
        self.error: StoreError | None = None
        #: Whether the present stream has said anything of the document.
        self.answered = False
        self._changed = asyncio.Event()

    def tell(self, document: Document | None) -> None:
        self.answered = True
        if self.serial == 0 or version_of(document) != version_of(self.document):
            self.document = document
            self.serial += 1
            self._wake()

    def fail(self, error: StoreError) -> None:
        self.error = error
        self._wake()

    async def after(self, serial: int) -> int:
        """The serial once it is greater; raises what ended the watching."""
        while self.serial <= serial and self.error is None:
            await self._changed.wait()
        if self.error is not None:
            raise self.error
        return self.serial

    def _wake(self) -> None:
        event, self._changed = self._changed, asyncio.Event()
        event.set()


class Listener:
    """All watches of one process; the stream is open while anybody watches."""

    def __init__(self, rpc: FirestoreRpc) -> None:
        self._rpc = rpc
        self._targets: dict[Key, _Target] = {}
        self._numbers = itertools.count(1)
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._stream: asyncio.Task[None] | None = None

    async def watch(self, key: Key) -> AsyncIterator[Document | None]:
        """The document now, then after each change; a slow reader gets the newest only."""
        target = self._join(key)
        try:
            serial = 0
            while True:
                serial = await target.after(serial)
                yield target.document
        finally:
            self._leave(key, target)

    async def close(self) -> None:
        """End every watch."""
        self._end(StoreError("The store is closed."))
        if self._stream is not None:
            self._stream.cancel()
            await asyncio.gather(self._stream, return_exceptions=True)
            self._stream = None

    def _join(self, key: Key) -> _Target:
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = _Target(next(self._numbers))
            if self._stream is None or self._stream.done():
                self._stream = asyncio.create_task(self._run())
            else:
                self._requests.put_nowait(self._rpc.added(target.number, key))
        target.watchers += 1
        return target

    def _leave(self, key: Key, target: _Target) -> None:
        target.watchers -= 1
        if target.watchers or self._targets.get(key) is not target:
            return
        del self._targets[key]
        if self._targets:
            self._requests.put_nowait(self._rpc.removed(target.number))
        elif self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def _end(self, error: StoreError) -> None:
        targets, self._targets = self._targets, {}
        for target in targets.values():
            target.fail(error)

    async def _run(self) -> None:
        """Keep a stream open; give up when several in a row do not say a word."""
        try:
            while True:
                await self._rpc.reopened(self._follow)
                await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - jitter
        except StoreError as error:
            self._end(error)
        except Exception:
            self._end(StoreError("Watching broke; the log of this process says why."))
            raise

    async def _follow(self, _seconds: float) -> None:
        """Follow one stream to its end; raises what broke it before it had said anything."""
        heard = False
        try:
            async for answer in self._answers():
                heard = True
                if answer is None:
                    # What gRPC gives for a message that cannot be read: Google's emulator garbles one now and then.
                    return
                self._take(answer)
        except grpc.aio.AioRpcError as error:
            if not heard or error.code() not in ENDS_A_STREAM:
                raise
        if not heard:
            raise StoreError("Firestore ends every watch.")

    async def _answers(self) -> AsyncIterator[Any]:
        """One stream's answers. It begins by naming everything that is watched now."""
        self._requests = asyncio.Queue()
        for key, target in self._targets.items():
            target.answered = False
            self._requests.put_nowait(self._rpc.added(target.number, key))
        stream = self._rpc.listen(self._asked(self._requests))
        try:
            async for answer in stream:
                yield answer
        finally:
            stream.cancel()

    @staticmethod
    async def _asked(requests: asyncio.Queue[Any]) -> AsyncIterator[Any]:
        while True:
            yield await requests.get()

    def _take(self, answer: Any) -> None:
        kind = answer.WhichOneof("response_type")
        if kind == "target_change":
            self._take_change(answer.target_change)
        elif kind == "document_change" and answer.document_change.target_ids:
            document = read_document(answer.document_change.document)
            self._tell((document.collection, document.id), document)
        elif kind == "document_change":
            self._tell(key_of(answer.document_change.document.name), None)
        elif kind in {"document_delete", "document_remove"}:
            self._tell(key_of(getattr(answer, kind).document), None)
        elif kind == "filter" and answer.filter.count == 0:
            for target in self._numbered([answer.filter.target_id]):
                target.tell(None)

    def _take_change(self, change: Any) -> None:
        for target in self._numbered(change.target_ids):
            if change.target_change_type == _Change.CURRENT and not target.answered:
                # All there is has been sent: a document not heard of does not exist.
                target.tell(None)
            elif change.target_change_type == _Change.RESET:
                target.answered = False
            elif change.target_change_type == _Change.REMOVE and change.cause.code:
                target.fail(
                    StoreError(
                        f"Firestore ended a watch: {change.cause.message}. Run `scripts/doctor`."
                    )
                )

    def _tell(self, key: Key, document: Document | None) -> None:
        target = self._targets.get(key)
        if target is not None:
            target.tell(document)

    def _numbered(self, numbers: Iterable[int]) -> list[_Target]:
        wanted = set(numbers)
        return [target for target in self._targets.values() if target.number in wanted]
