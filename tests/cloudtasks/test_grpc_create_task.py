"""CreateTask over gRPC makes its response in a way of its own: the same one, and as created."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
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

Create = Callable[[Bench, Any], Awaitable[Any]]
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


async def create_in_a_paused_queue(create: Create, request: Any) -> Any:
    made = await make_bench(EngineConfig(seed=1))  # the same ids
    await made.engine.pause_queue(QUEUE)
    return await create(made, request)


def outcome(create: Create, request: Any) -> Any:
    try:
        return asyncio.run(create_in_a_paused_queue(create, request))
    except (ApiError, FieldValueError) as error:
        return type(error), str(error)


@settings(max_examples=20, deadline=None)
@given(request=REQUESTS, more=st.sampled_from([b"", *ODD]))
def test_the_response_is_that_of_the_general_way(request: CreateTaskRequest, more: bytes) -> None:
    sent = REQUEST(**message_codec.to_pb_fields(request))
    sent.task.http_request.MergeFromString(more)
    assert outcome(create_over_grpc, sent) == outcome(create_by_any_method, sent)


async def create_by_any_method(made: Bench, request: Any) -> Any:
    read = message_codec.from_pb(CreateTaskRequest, request)
    created = await ApiMethods(made.engine).call("CreateTask", read)
    return TASK(**message_codec.to_pb_fields(created))


async def create_over_grpc(made: Bench, request: Any) -> Any:
    return await create_http_task(made.engine, request, TASK)


@pytest.mark.parametrize("create", [create_by_any_method, create_over_grpc])
async def test_a_task_that_is_due_is_shown_as_created(create: Create, tmp_path: Path) -> None:
    made = await make_bench(journal=SqliteJournal(tmp_path / "tasks.db"))
    request = REQUEST(parent=QUEUE, task={"http_request": {"url": "http://worker.test/run"}})
    created = await create(made, request)
    await made.advance(1)
    assert len(made.worker.sent) == 1
    assert created.dispatch_count == 0
    assert not created.HasField("first_attempt")
    await made.engine.close(0)
