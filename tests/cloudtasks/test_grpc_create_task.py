"""CreateTask over gRPC makes its response in a way of its own: the same one, and as created."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.cloud import tasks_v2
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtasks.strategies import TEXT, messages_of
from cloudtasks.worker import QUEUE, Bench, make_bench
from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError
from taskreel_cloud_tasks.api_methods import ApiMethods
from taskreel_cloud_tasks.codec_field import FieldValueError
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.grpc_create_task import create_http_task
from taskreel_cloud_tasks.journal import SqliteJournal
from taskreel_cloud_tasks.messages import Attempt, HttpRequest, RetryConfig, Task, View
from taskreel_cloud_tasks.method_messages import CreateTaskRequest

TASK, REQUEST = tasks_v2.Task.pb(), tasks_v2.CreateTaskRequest.pb()
URLS = st.sampled_from(["http://worker.test/run", "HTTPS://worker.test/ä b"])
HEADERS = st.dictionaries(st.sampled_from(["user-AGENT", "User-Agent", "x-mine"]) | TEXT, TEXT)
NOW_S = 1_767_225_600  # the virtual clock's start
TIMES = st.none() | st.integers(NOW_S - 10, NOW_S + 10).map(lambda at: at * 1_000_000 + 1)
ODD = [b"\xfa\x3e\x01x", b"\x10\x63"]
"""Encoded fields: 1007, which no release has, and the HTTP method 99."""
DEADLINES = st.none() | st.integers(15_000_000, 60_000_000)


SENT = st.builds(
    replace, messages_of(HttpRequest), url=URLS, headers=HEADERS.map(lambda given: given or None)
)
TASKS = st.builds(
    Task,
    name=st.sampled_from(["", f"{QUEUE}/tasks/mine"]),
    http_request=SENT,
    schedule_time=TIMES,
    dispatch_deadline=DEADLINES,
    retry_config=st.none() | messages_of(RetryConfig),
    # A caller has no say in these.
    create_time=st.sampled_from([None, 1]),
    dispatch_count=st.sampled_from([0, 7]),
    last_attempt=st.sampled_from([None, Attempt(dispatch_time=1)]),
    view=st.sampled_from(View),
)
REQUESTS = st.builds(
    CreateTaskRequest, parent=st.just(QUEUE), task=TASKS, response_view=st.sampled_from(View)
)


async def bench_of_a_paused_queue() -> Bench:
    made = await make_bench(EngineConfig(seed=1))  # the same ids
    await made.engine.pause_queue(QUEUE)
    return made


async def in_the_general_way(request: Any) -> Any:
    made = await bench_of_a_paused_queue()
    read = message_codec.from_pb(CreateTaskRequest, request)
    created = await ApiMethods(made.engine).call("CreateTask", read)
    return TASK(**message_codec.to_pb_fields(created))


async def in_its_own_way(request: Any) -> Any:
    made = await bench_of_a_paused_queue()
    return await create_http_task(made.engine, request, TASK)


def outcome(made: Any) -> Any:
    try:
        return asyncio.run(made)
    except (ApiError, FieldValueError) as error:
        return type(error), str(error)


@settings(max_examples=20, deadline=None)
@given(request=REQUESTS, more=st.sampled_from([b"", *ODD]))
def test_the_response_is_that_of_the_general_way(request: CreateTaskRequest, more: bytes) -> None:
    sent = REQUEST(**message_codec.to_pb_fields(request))
    sent.task.http_request.MergeFromString(more)
    assert outcome(in_its_own_way(sent)) == outcome(in_the_general_way(sent))


async def test_a_task_that_is_due_is_shown_as_created(tmp_path: Path) -> None:
    made = await make_bench(journal=SqliteJournal(tmp_path / "tasks.db"))
    request = REQUEST(parent=QUEUE, task={"http_request": {"url": "http://worker.test/run"}})
    created = await create_http_task(made.engine, request, TASK)
    await made.advance(1)
    assert len(made.worker.sent) == 1
    assert created.dispatch_count == 0
    assert not created.HasField("first_attempt")
    await made.engine.close(0)
