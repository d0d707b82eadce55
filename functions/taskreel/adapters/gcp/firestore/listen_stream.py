"""Watching: one Listen stream a process; each watched document or query is one target of it.

The protocol, as far as it is used here:

* A request adds or removes a target, which we number. The stream begins with one request for each
  document that is watched at that time.
* The server then sends each target's document (`document_change`, or `document_delete` when there
  is none), and `CURRENT` when it has sent all there is. A target that is CURRENT and of which no
  document came has none.
* A change without targets, with a read time, says that all targets are complete up to that time.
* `RESET` announces that the server sends the target's state again; `REMOVE` with a cause ends it.
* The stream may break at any time. A new one is opened and sends every document again; a document
  whose version did not change is not reported a second time.

The high-level client would use a stream and two threads for each document, and its async variant
cannot watch at all. A connection to Firestore carries about a hundred streams.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, cast

from google.api_core.exceptions import GoogleAPICallError
from google.cloud.firestore_v1.types import firestore

from taskreel.adapters.gcp.firestore.buffer import Document, Key, version_of
from taskreel.adapters.gcp.firestore.codec import key_of, read_document
from taskreel.adapters.gcp.firestore.database import STREAM_END_CODES, Database
from taskreel.adapters.gcp.firestore.query_target import QueryTarget
from taskreel.domain.errors import StoreError
from taskreel.ports import Changes

_Change = firestore.TargetChange.TargetChangeType
#: The longest pause between two streams, so that one which ends at once is not opened in a loop.
_PAUSE_SECONDS = 0.1


class _Target:
    """One watched document in its last reported state; `serial` counts the states."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.watchers = 0
        self.serial = 0
        self.document: Document | None = None
        self.error: StoreError | None = None
        #: True once the current stream has sent the state of the document.
        self.is_known = False
        self._changed = asyncio.Event()

    def set_document(self, document: Document | None) -> None:
        """Report a state, unless it is the one that was reported last."""
        self.is_known = True
        if self.serial == 0 or version_of(document) != version_of(self.document):
            self.document = document
            self.serial += 1
            self._wake_watchers()

    def fail(self, error: StoreError) -> None:
        """End every watch of the document with `error`."""
        self.error = error
        self._wake_watchers()

    async def wait_after(self, serial: int) -> int:
        """Wait for a state later than `serial`; its number. Raises the error of a failed target."""
        while self.serial <= serial and self.error is None:
            await self._changed.wait()
        if self.error is not None:
            raise self.error
        return self.serial

    def _wake_watchers(self) -> None:
        event, self._changed = self._changed, asyncio.Event()
        event.set()


class DocumentWatcher:
    """All watches of one process. The stream is open while there is at least one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._targets: dict[Key, _Target] = {}
        self._queries: dict[int, QueryTarget] = {}
        self._numbers = itertools.count(1)
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._stream: asyncio.Task[None] | None = None

    async def watch(self, key: Key) -> AsyncGenerator[Document | None]:
        """Yield the document now and after each change; a slow reader gets the newest state."""
        target = self._add_watcher(key)
        try:
            serial = 0
            while True:
                serial = await target.wait_after(serial)
                yield target.document
        finally:
            self._remove_watcher(key, target)

    async def watch_changes(self, target: QueryTarget) -> AsyncIterator[Changes[Any]]:
        """Yield the matching documents, then those that are written."""
        number = next(self._numbers)
        self._queries[number] = target
        self._request_target(self._database.watch_query_request(number, target.query))
        try:
            async with aclosing(cast("AsyncGenerator[Changes[Any]]", target.follow())) as changes:
                async for change in changes:
                    yield change
        finally:
            if self._queries.pop(number, None) is not None:
                self._drop_target(number)

    async def close(self) -> None:
        """End every watch with a StoreError."""
        self._fail_all(StoreError("The Firestore store was closed, which ends its watches."))
        if self._stream is not None:
            self._stream.cancel()
            await asyncio.gather(self._stream, return_exceptions=True)
            self._stream = None

    def _add_watcher(self, key: Key) -> _Target:
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = _Target(next(self._numbers))
            self._request_target(self._database.watch_request(target.number, key))
        target.watchers += 1
        return target

    def _request_target(self, request: Any) -> None:
        """Add a target to the stream; a stream that begins now asks for all of them itself."""
        if self._stream is None or self._stream.done():
            self._stream = asyncio.create_task(self._run_streams())
        else:
            self._requests.put_nowait(request)

    def _remove_watcher(self, key: Key, target: _Target) -> None:
        target.watchers -= 1
        if target.watchers or self._targets.get(key) is not target:
            return
        del self._targets[key]
        self._drop_target(target.number)

    def _drop_target(self, number: int) -> None:
        if self._targets or self._queries:
            self._requests.put_nowait(self._database.unwatch_request(number))
        elif self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def _fail_all(self, error: StoreError) -> None:
        targets, self._targets = self._targets, {}
        queries, self._queries = self._queries, {}
        for target in targets.values():
            target.fail(error)
        for query_target in queries.values():
            query_target.fail(error)

    async def _run_streams(self) -> None:
        """Open one stream after another; fail the watches when several in a row send nothing."""
        try:
            while True:
                await self._database.run_stream(self._follow_stream)
                await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 - jitter
        except StoreError as error:
            self._fail_all(error)
        except Exception:
            self._fail_all(
                StoreError(
                    "Watching Firestore documents failed by an error of this program; "
                    "its log has the traceback."
                )
            )
            raise

    async def _follow_stream(self, _seconds: float) -> None:
        """Follow one stream to its end. Raises what broke it if it had sent nothing before."""
        has_answered = False
        try:
            async with aclosing(self._open_stream()) as messages:
                async for message in messages:
                    has_answered = True
                    if message is None:
                        # gRPC could not read it: Google's emulator garbles a message now and then.
                        # The next stream sends every document again.
                        return
                    self._handle_message(message)
        except GoogleAPICallError as error:
            if not has_answered or error.grpc_status_code not in STREAM_END_CODES:
                raise
        if not has_answered:
            raise StoreError(
                "Firestore ends every watch without sending a document. Run `scripts/doctor`."
            )

    async def _open_stream(self) -> AsyncGenerator[Any, None]:
        """Open a stream for everything that is watched now; yield the server's messages."""
        self._requests = asyncio.Queue()
        for key, target in self._targets.items():
            target.is_known = False
            self._requests.put_nowait(self._database.watch_request(target.number, key))
        for number, query_target in self._queries.items():
            query_target.begin_stream()
            request = self._database.watch_query_request(number, query_target.query)
            self._requests.put_nowait(request)
        async with aclosing(self._database.listen(self._send_requests(self._requests))) as messages:
            async for message in messages:
                yield message

    @staticmethod
    async def _send_requests(requests: asyncio.Queue[Any]) -> AsyncIterator[Any]:
        while True:
            yield await requests.get()

    def _handle_message(self, message: Any) -> None:
        kind = message.WhichOneof("response_type")
        if kind == "target_change":
            self._handle_target_change(message.target_change)
        elif kind == "document_change" and message.document_change.target_ids:
            document = read_document(message.document_change.document)
            self._set_document((document.collection, document.id), document)
            for number in message.document_change.target_ids:
                if query_target := self._queries.get(number):
                    query_target.add(document)
        elif kind == "document_change":
            # It matches none of our targets any more: for a watch of a document it is gone.
            self._set_document(key_of(message.document_change.document.name), None)
        elif kind in {"document_delete", "document_remove"}:
            self._set_document(key_of(getattr(message, kind).document), None)
        elif kind == "filter" and message.filter.count == 0:
            for target in self._find_targets([message.filter.target_id]):
                target.set_document(None)

    def _handle_target_change(self, change: Any) -> None:
        self._handle_query_change(change)
        for target in self._find_targets(change.target_ids):
            if change.target_change_type == _Change.CURRENT and not target.is_known:
                # All there is has been sent, so a document that did not come does not exist.
                target.set_document(None)
            elif change.target_change_type == _Change.RESET:
                target.is_known = False
            elif change.target_change_type == _Change.REMOVE and change.cause.code:
                target.fail(
                    StoreError(
                        f"Firestore ended the watch of a document: {change.cause.message} "
                        "Run `scripts/doctor`."
                    )
                )

    def _handle_query_change(self, change: Any) -> None:
        numbers = change.target_ids or self._queries
        found = [self._queries[number] for number in numbers if number in self._queries]
        for target in found:
            if change.target_change_type == _Change.CURRENT:
                target.set_current()
            elif change.target_change_type == _Change.RESET:
                target.begin_stream()
            elif change.target_change_type == _Change.REMOVE and change.cause.code:
                target.fail(
                    StoreError(
                        f"Firestore ended the watch of a query: {change.cause.message} "
                        "Run `scripts/doctor`."
                    )
                )
        if not change.target_ids and change.HasField("read_time"):
            for target in found:
                target.report(change.read_time.seconds * 10**9 + change.read_time.nanos)

    def _set_document(self, key: Key, document: Document | None) -> None:
        target = self._targets.get(key)
        if target is not None:
            target.set_document(document)

    def _find_targets(self, numbers: Iterable[int]) -> list[_Target]:
        wanted = set(numbers)
        return [target for target in self._targets.values() if target.number in wanted]
