"""The messages of Firestore's Listen stream that its emulator does not send, or rarely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from google.cloud.firestore_v1.types import document, firestore, write

from taskreel.adapters.gcp.firestore.buffer import Document
from taskreel.adapters.gcp.firestore.database import Database
from taskreel.adapters.gcp.firestore.listen_stream import DocumentWatcher
from taskreel.adapters.gcp.firestore.store import FirestoreStore
from taskreel.domain.errors import StoreError
from taskreel.ports import Collection

NAME = "projects/p/databases/(default)/documents/rows/a"
ROW = document.Document(name=NAME, fields={}, update_time="2026-11-26T12:00:00Z")
State = firestore.TargetChange.TargetChangeType
Message = firestore.ListenResponse


#: In a script: wait until the test sets `proceed`; end the stream.
PAUSE, END = object(), object()


class ScriptedDatabase:
    """Sends `messages` on its stream, which then stays open; an exception breaks the stream."""

    def __init__(self, *messages: object) -> None:
        self._messages = list(messages)
        self.proceed = asyncio.Event()

    def watch_request(self, target: int, _key: object) -> int:
        return target

    async def run_stream(self, follow: Callable[[float], Awaitable[None]]) -> None:
        await follow(5.0)

    async def listen(self, _requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        while self._messages:
            message = self._messages.pop(0)
            if isinstance(message, Exception):
                raise message
            if message is END:
                return
            if message is PAUSE:
                await self.proceed.wait()
            else:
                yield Message.pb(message)
        await asyncio.Event().wait()


@asynccontextmanager
async def watch_row(database: ScriptedDatabase) -> AsyncIterator[AsyncIterator[Document | None]]:
    """Watch the row `rows/a`, which is target 1 of the stream."""
    watcher = DocumentWatcher(cast(Database, database))
    changes = watcher.watch(("rows", "a"))
    async with aclosing(changes):
        yield changes
    await watcher.close()


async def next_state(changes: AsyncIterator[Document | None]) -> Document | None:
    return await asyncio.wait_for(anext(changes), 60)


def change_target(kind: int, **fields: Any) -> Message:
    change = firestore.TargetChange(target_change_type=kind, target_ids=[1], **fields)
    return Message(target_change=change)


def change_row(target_ids: list[int]) -> Message:
    return Message(document_change=write.DocumentChange(document=ROW, target_ids=target_ids))


@pytest.mark.parametrize(
    "message",
    [
        change_row([]),
        Message(document_delete=write.DocumentDelete(document=NAME)),
        Message(document_remove=write.DocumentRemove(document=NAME, removed_target_ids=[1])),
        Message(filter=write.ExistenceFilter(target_id=1, count=0)),
    ],
    ids=["changed-without-target", "delete", "remove", "filter"],
)
async def test_each_message_for_a_document_that_is_gone_is_understood(message: Message) -> None:
    database = ScriptedDatabase(change_row([1]), PAUSE, message)
    async with watch_row(database) as changes:
        row = await next_state(changes)
        assert row is not None
        assert (row.id, row.data) == ("a", {})
        database.proceed.set()
        assert await next_state(changes) is None


async def test_a_target_that_is_sent_again_is_absent_only_once_it_is_current() -> None:
    messages = [change_row([1]), change_target(State.RESET), change_target(State.CURRENT)]
    async with watch_row(ScriptedDatabase(*messages)) as changes:
        assert await next_state(changes) is None


async def test_a_target_that_the_server_ends_with_a_cause_ends_the_watch() -> None:
    cause = {"code": 7, "message": "No access."}
    async with watch_row(ScriptedDatabase(change_target(State.REMOVE, cause=cause))) as changes:
        with pytest.raises(StoreError, match=r"Firestore ended .* No access\. .*scripts/doctor"):
            await next_state(changes)


async def test_a_stream_that_ends_before_its_first_message_ends_the_watch() -> None:
    async with watch_row(ScriptedDatabase(END)) as changes:
        with pytest.raises(StoreError, match=r"without sending a document.*scripts/doctor"):
            await next_state(changes)


async def test_an_error_of_this_program_ends_the_watch_instead_of_leaving_it_silent() -> None:
    async with watch_row(ScriptedDatabase(ValueError("a bug"))) as changes:
        with pytest.raises(StoreError, match="an error of this program"):
            await next_state(changes)


class GarblingServer(grpc.GenericRpcHandler):
    """Answers the first Listen stream with a message that is none, each later one with the row."""

    def __init__(self) -> None:
        self.streams = 0

    def service(self, _call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.stream_stream_rpc_method_handler(self._listen)

    async def _listen(self, requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        await anext(requests)
        self.streams += 1
        if self.streams == 1:
            yield Message.serialize(change_row([1])) + b"\xff\xff\xff"
        yield Message.serialize(change_row([1]))
        await asyncio.Event().wait()


async def test_after_a_message_that_grpc_cannot_read_another_stream_sends_the_document(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Google's emulator garbles one now and then; gRPC logs it, and the watch goes on."""
    garbling = GarblingServer()
    server = grpc.aio.server(handlers=[garbling])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    store = FirestoreStore("p", emulator=f"127.0.0.1:{port}")
    try:
        rows: Collection[Any] = Collection("rows", dict, dict)
        async with aclosing(cast("AsyncGenerator[Any]", store.watch(rows, "a"))) as changes:
            state: Any = await next_state(changes)
            assert state == {}
        assert garbling.streams == 2
        assert [one.name for one in caplog.records if one.exc_info] == ["grpc._common"]
    finally:
        await store.close()
        await server.stop(None)
