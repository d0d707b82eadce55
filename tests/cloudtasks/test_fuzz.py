"""Nothing that can be sent makes the service fall over, hang or answer with a fault of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudtasks.remote import Remote
from cloudtasks.strategies import TEXT, messages_of
from cloudtasks.worker import LOCATION, QUEUE, make_bench
from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError
from taskreel_cloud_tasks.api_methods import ApiMethods
from taskreel_cloud_tasks.grpc_server import _SERVICES
from taskreel_cloud_tasks.messages import HttpRequest, Queue, Task
from taskreel_cloud_tasks.method_messages import CreateTaskRequest

FUZZ = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
RESOURCES = [
    QUEUE,
    f"{QUEUE}/tasks/t",
    LOCATION,
    f"{LOCATION}/cmekConfig",
    f"{LOCATION}/operations/o",
    "projects/demo",
]
NAMES = st.sampled_from(RESOURCES) | TEXT
RPCS = [f"/{service}/{name}" for service, (_, methods) in _SERVICES.items() for name in methods]
FAULTS_OF_OURS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def likely(data: st.DataObject, request: type) -> Any:
    """A request with names that often exist, and any values in the other fields."""
    drawn = data.draw(messages_of(request))
    named = {"name", "parent", "resource"} & {
        field.attr for field in message_codec.fields_of(request)
    }
    return dataclasses.replace(drawn, **{name: data.draw(NAMES) for name in named})


async def survives(data: st.DataObject, rpc: str) -> None:
    made = await make_bench()
    api = ApiMethods(made.engine)
    await made.engine.pause_queue(QUEUE)
    await made.create(name=f"{QUEUE}/tasks/t")
    method = api.methods[rpc]
    with contextlib.suppress(ApiError):
        await method.call(likely(data, method.request))
    with contextlib.suppress(ApiError):  # DeleteQueue may have taken it
        await made.engine.resume_queue(QUEUE)
    await made.advance(1)
    await made.engine.close(0)


@pytest.mark.parametrize("path", RPCS)
@FUZZ
@given(data=st.data())
def test_any_message_is_answered_or_refused(path: str, data: st.DataObject) -> None:
    asyncio.run(survives(data, path.rpartition("/")[2]))


@FUZZ
@given(request=messages_of(HttpRequest), target=messages_of(Queue), task=messages_of(Task))
def test_any_task_that_is_let_in_can_be_dispatched(
    request: HttpRequest, target: Queue, task: Task
) -> None:
    async def run() -> None:
        made = await make_bench()
        api = ApiMethods(made.engine)
        request_ = dataclasses.replace(request, url="http://a.test/" + request.url[:50])
        wanted = dataclasses.replace(
            task,
            http_request=request_,
            app_engine_http_request=None,
            schedule_time=None,
            name="",
            retry_config=None,
        )
        try:
            await made.engine.update_queue(Queue(name=QUEUE, http_target=target.http_target))
            deadline = dataclasses.replace(wanted, dispatch_deadline=None)
            await api.methods["CreateTask"].call(CreateTaskRequest(parent=QUEUE, task=deadline))
        except ApiError:
            return
        await made.advance(1)
        assert made.worker.sent or made.engine.history.events[-1].detail
        await made.engine.close(0)

    asyncio.run(run())


@pytest.fixture(scope="module")
def channel(running: Remote) -> Any:
    with grpc.insecure_channel(f"127.0.0.1:{running.service.grpc_port}") as made:
        yield made


@FUZZ
@given(path=st.sampled_from(RPCS), data=st.binary(max_size=300))
def test_random_bytes_as_a_grpc_message_are_answered_or_refused(
    channel: Any, path: str, data: bytes
) -> None:
    call = channel.unary_unary(path, request_serializer=None, response_deserializer=None)
    answered = call.future(data, timeout=60)
    assert answered.code() not in FAULTS_OF_OURS


PATHS = [f"/v2/{name}" for name in RESOURCES] + [
    f"/v2/{QUEUE}/tasks",
    f"/v2/{QUEUE}/tasks:batchCreate",
    f"/v2/{QUEUE}/tasks:batchDelete",
    f"/v2/{QUEUE}/tasks:buffer",
    f"/v2/{QUEUE}:setIamPolicy",
    f"/v2/{LOCATION}/queues",
    "/control/faults",
    "/control/wait-empty",
]


@FUZZ
@given(
    verb=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE"]),
    path=st.sampled_from(PATHS),
    body=JSON,
)
def test_any_json_is_answered_or_refused(running: Remote, verb: str, path: str, body: Any) -> None:
    answer = running.control.request(verb, path, content=json.dumps(body).encode())
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize("server", ["rest", "grpc"])
@FUZZ
@given(chunks=st.lists(st.binary(max_size=200), min_size=1, max_size=3), as_http=st.booleans())
def test_random_bytes_on_a_port_leave_the_service_well(
    running: Remote, server: str, chunks: list[bytes], *, as_http: bool
) -> None:
    port = running.service.rest_port if server == "rest" else running.service.grpc_port
    with socket.create_connection(("127.0.0.1", port or 0), timeout=60) as connection:
        if as_http:
            connection.sendall(b"POST /v2/ HTTP/1.1\r\nHost: x\r\n")
        for chunk in chunks:
            try:
                connection.sendall(chunk)
            except OSError:
                break
    assert running.ask("GET", "time")["virtual"]
