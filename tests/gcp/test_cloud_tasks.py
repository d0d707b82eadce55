"""Cloud Tasks' own behaviour: lost responses, half-created batches, refusals with a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc.aio import UnaryUnaryClientInterceptor
from msgspec.structs import replace

from taskreel.adapters.gcp import task_queues
from taskreel.adapters.gcp.cloud_tasks import CloudTasks
from taskreel.app.messages.job_task import build_task
from taskreel.app.request_trace import trace_id
from taskreel.domain.errors import QueueError
from taskreel.domain.task_signature import sign_task
from taskreel.ports import Task
from taskreel.web.http import read_trace
from taskreel_cloud_tasks.delivery_history import HandlerResponse, OutgoingRequest
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig
from taskreel_local.emulators.google_emulators import free_port

from .calls import CountedUnaryCalls, LostCalls, method_name, rpc_error

PARENT = "projects/demo/locations/europe-central2"
QUEUE = "image-generation-queue"


class Deliveries:
    def __init__(self) -> None:
        self.requests: list[OutgoingRequest] = []

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        self.requests.append(request)
        return HandlerResponse(200, {})


@pytest.fixture
def deliveries() -> Deliveries:
    return Deliveries()


@pytest.fixture
async def service(deliveries: Deliveries) -> AsyncIterator[LocalCloudTasks]:
    queues = [Queue(name=f"{PARENT}/queues/{QUEUE}")]
    config = ServiceConfig(
        virtual_clock=True, rest_port=None, grpc_port=0, queues=queues, sender=deliveries
    )
    async with LocalCloudTasks(config) as running:
        yield running


@asynccontextmanager
async def connect(
    address: str, interceptors: Sequence[Any] = (), **options: Any
) -> AsyncIterator[CloudTasks]:
    given = {"project": "demo", "location": "europe-central2", "emulator": address, **options}
    queue = CloudTasks(
        target_url="https://processor.example/",
        internal_key="secret-key",
        interceptors=interceptors,
        **given,
    )
    yield queue
    await queue.close()


def address_of(service: LocalCloudTasks) -> str:
    return f"127.0.0.1:{service.grpc_port}"


def make_task(job_id: str = "job-1", **fields: Any) -> Task:
    return build_task(**{"queue": QUEUE, "job_id": job_id, "delivery": 1, **fields})


async def test_a_signed_task_carries_a_signature_and_not_the_key(
    service: LocalCloudTasks,
) -> None:
    counted = CountedUnaryCalls()
    async with connect(address_of(service), [counted], signs_tasks=True) as queue:
        await queue.enqueue(make_task())
    ((_, request),) = counted.calls
    sent = request.task.http_request
    expected = sign_task("secret-key", "/tasks/process", sent.body)
    assert sent.headers["X-Internal-Api-Key"] == expected
    assert "secret-key" not in str(request)


async def test_a_task_carries_ids_the_internal_key_and_a_token_for_the_invoker(
    service: LocalCloudTasks,
) -> None:
    counted = CountedUnaryCalls()
    async with connect(
        address_of(service), [counted], invoker="invoker@demo.iam.gserviceaccount.com"
    ) as queue:
        await queue.enqueue(make_task(delivery=3))
    ((method, request),) = counted.calls
    sent = request.task
    assert method == "CreateTask"
    assert sent.http_request.url == "https://processor.example/tasks/process"
    assert json.loads(sent.http_request.body) == {"jobId": "job-1", "delivery": 3}
    assert sent.http_request.headers["X-Internal-Api-Key"] == "secret-key"
    assert (
        sent.http_request.oidc_token.service_account_email == "invoker@demo.iam.gserviceaccount.com"
    )
    assert sent.http_request.oidc_token.audience == "https://processor.example"
    assert sent.name == f"{PARENT}/queues/{QUEUE}/tasks/{make_task(delivery=3).id}"


async def test_a_task_carries_the_trace_of_the_request_that_made_it(
    service: LocalCloudTasks,
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    counted = CountedUnaryCalls()
    async with connect(address_of(service), [counted]) as queue:
        read_trace({b"traceparent": f"00-{trace}-b7ad6b7169203331-01".encode()})
        await queue.enqueue(make_task("job-1"))
        read_trace({})
        await queue.enqueue(make_task("job-2"))
    traced, untraced = (request.task.http_request.headers for _, request in counted.calls)
    # The processor reads it as it reads that of any request.
    read_trace({b"traceparent": traced["traceparent"].encode()})
    assert trace_id.get() == trace
    assert "traceparent" not in untraced
    read_trace({})


async def test_work_on_media_goes_to_its_own_service(service: LocalCloudTasks) -> None:
    counted = CountedUnaryCalls()
    options = {"media_target_url": "https://media.example", "invoker": "i@demo.example"}
    async with connect(
        address_of(service), [counted], is_media_queue=lambda _: False, **options
    ) as providers:
        await providers.enqueue(make_task("job-1"))
    async with connect(address_of(service), [counted], is_media_queue=bool, **options) as media:
        await media.enqueue(make_task("job-2"))
        await media.enqueue_many([make_task("job-3"), make_task("job-4")])
    sent = [request for _, request in counted.calls]
    tasks = [sent[0].task, sent[1].task, *(each.task for each in sent[2].requests)]
    assert [task.http_request.url.partition("/tasks")[0] for task in tasks] == [
        "https://processor.example",
        *["https://media.example"] * 3,
    ]
    assert tasks[1].http_request.oidc_token.audience == "https://media.example"


@pytest.mark.parametrize(("asked", "sent"), [(1, 15), (600, 600), (7200, 1800)])
async def test_a_dispatch_deadline_is_limited_to_what_cloud_tasks_allows(
    service: LocalCloudTasks, asked: int, sent: int
) -> None:
    counted = CountedUnaryCalls()
    async with connect(address_of(service), [counted]) as queue:
        await queue.enqueue(make_task(deadline=timedelta(seconds=asked)))
    assert counted.calls[0][1].task.dispatch_deadline.seconds == sent


@pytest.mark.parametrize("code", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE])
@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_call_whose_response_is_lost_is_repeated_and_creates_one_task(
    service: LocalCloudTasks, deliveries: Deliveries, code: grpc.StatusCode, *, carried_out: bool
) -> None:
    losing = LostCalls("CreateTask", code, times=2, carried_out=carried_out)
    async with connect(address_of(service), [losing]) as queue:
        await queue.enqueue(make_task())
    await service.engine.advance(timedelta(seconds=1))
    assert (losing.seen, len(deliveries.requests)) == (2 if carried_out else 3, 1)


async def test_tries_are_bounded(service: LocalCloudTasks) -> None:
    losing = LostCalls("CreateTask", grpc.StatusCode.UNAVAILABLE, times=99, carried_out=False)
    async with connect(address_of(service), [losing]) as queue:
        with pytest.raises(QueueError, match="Start it"):
            await queue.enqueue(make_task())
    assert losing.seen == 4


async def test_a_fan_out_is_one_call_for_a_hundred_tasks(
    service: LocalCloudTasks, deliveries: Deliveries
) -> None:
    counted = CountedUnaryCalls()
    async with connect(address_of(service), [counted]) as queue:
        await queue.enqueue_many([make_task(f"job-{n}") for n in range(201)])
    await service.engine.advance(timedelta(seconds=5))
    assert sorted(name for name, _ in counted.calls) == [
        "BatchCreateTasks",
        "BatchCreateTasks",
        "CreateTask",
    ]
    assert len(deliveries.requests) == 201


async def test_a_fan_out_whose_response_was_lost_creates_each_task_once(
    service: LocalCloudTasks, deliveries: Deliveries
) -> None:
    losing = LostCalls(
        "BatchCreateTasks", grpc.StatusCode.DEADLINE_EXCEEDED, times=1, carried_out=True
    )
    async with connect(address_of(service), [losing]) as queue:
        await queue.enqueue_many([make_task(f"job-{n}") for n in range(20)])
    await service.engine.advance(timedelta(seconds=5))
    assert (losing.seen, len(deliveries.requests)) == (2, 20)


async def test_tasks_that_are_enqueued_at_once_share_a_call(
    service: LocalCloudTasks, deliveries: Deliveries
) -> None:
    counted = CountedUnaryCalls()
    async with connect(address_of(service), [counted]) as queue:
        await queue.enqueue(make_task("first"))
        await asyncio.gather(*(queue.enqueue(make_task(f"job-{n}")) for n in range(50)))
    await service.engine.advance(timedelta(seconds=5))
    assert [name for name, _ in counted.calls] == ["CreateTask", "BatchCreateTasks"]
    assert len(deliveries.requests) == 51


async def test_a_refused_task_fails_its_own_caller_only(service: LocalCloudTasks) -> None:
    async with connect(address_of(service)) as queue:
        tasks = [make_task("a"), make_task("b", queue="nope"), make_task("c")]
        tasks.insert(1, replace(make_task("x"), at=datetime(2099, 1, 1, tzinfo=UTC)))
        found = await asyncio.gather(*map(queue.enqueue, tasks), return_exceptions=True)
    assert [type(one) for one in found] == [type(None), QueueError, QueueError, type(None)]


class NoBatches(UnaryUnaryClientInterceptor):
    """Cloud Tasks without `BatchCreateTasks`."""

    def __init__(self) -> None:
        self.refused = 0

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if method_name(details) == "BatchCreateTasks":
            self.refused += 1
            raise rpc_error(grpc.StatusCode.UNIMPLEMENTED, "Method not found.")
        return await continuation(details, request)


async def test_where_cloud_tasks_has_no_batches_tasks_are_created_one_by_one(
    service: LocalCloudTasks, deliveries: Deliveries
) -> None:
    counted, without = CountedUnaryCalls(), NoBatches()
    async with connect(address_of(service), [counted, without]) as queue:
        await queue.enqueue_many([make_task(f"job-{n}") for n in range(5)])
        await queue.enqueue_many([make_task(f"job-{n}") for n in range(5, 10)])
        with pytest.raises(QueueError, match="There is no"):
            await queue.enqueue_many([make_task(f"x-{n}", queue="nope") for n in range(2)])
    await service.engine.advance(timedelta(seconds=5))
    assert [name for name, _ in counted.calls].count("CreateTask") == 12
    assert without.refused == 1
    assert len(deliveries.requests) == 10


async def test_a_call_that_hangs_holds_up_later_tasks_for_a_second_at_most(
    service: LocalCloudTasks,
) -> None:
    began, released = asyncio.Event(), asyncio.Event()

    class HangOnce(UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            if not began.is_set():
                began.set()
                await released.wait()
            return await continuation(details, request)

    async with connect(address_of(service), [HangOnce()]) as queue:
        first = asyncio.ensure_future(queue.enqueue(make_task("first")))
        await began.wait()
        async with asyncio.timeout(5):
            await queue.enqueue(make_task("second"))
        assert not first.done()
        released.set()
        await first


class ChangedOperation(UnaryUnaryClientInterceptor):
    """Changes the operation that creating a batch answers with, after it was carried out."""

    def __init__(self, change: Callable[[Any], None]) -> None:
        self._change = change

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        call = await continuation(details, request)
        if method_name(details) != "BatchCreateTasks":
            return call
        operation = await call
        self._change(operation)
        return operation


def mark_unfinished(operation: Any) -> None:
    operation.done = False


def mark_refused(operation: Any) -> None:
    operation.ClearField("metadata")
    operation.error.code, operation.error.message = 7, "No access."


async def test_a_batch_that_is_not_finished_at_once_is_polled(
    service: LocalCloudTasks, deliveries: Deliveries
) -> None:
    counted = CountedUnaryCalls()
    interceptors = [counted, ChangedOperation(mark_unfinished)]
    async with connect(address_of(service), interceptors) as queue:
        await queue.enqueue_many([make_task("a"), make_task("b")])
    await service.engine.advance(timedelta(seconds=1))
    assert [name for name, _ in counted.calls] == ["BatchCreateTasks", "GetOperation"]
    assert len(deliveries.requests) == 2


async def test_a_batch_that_does_not_finish_is_given_to_the_sweep(
    service: LocalCloudTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_queues, "_OPERATION_SECONDS", -1.0)
    async with connect(address_of(service), [ChangedOperation(mark_unfinished)]) as queue:
        with pytest.raises(QueueError, match=r"did not finish .* the sweep .*scripts/doctor"):
            await queue.enqueue_many([make_task("a"), make_task("b")])


async def test_a_batch_that_is_refused_as_a_whole_names_the_cause(
    service: LocalCloudTasks,
) -> None:
    async with connect(address_of(service), [ChangedOperation(mark_refused)]) as queue:
        with pytest.raises(QueueError, match=r"roles/cloudtasks\.enqueuer.*No access"):
            await queue.enqueue_many([make_task("a"), make_task("b")])


@pytest.mark.parametrize(
    ("queue_id", "location"), [("nope", "europe-central2"), (QUEUE, "europe-west9")]
)
async def test_a_missing_queue_is_named_with_its_location_and_the_script_that_makes_it(
    service: LocalCloudTasks, queue_id: str, location: str
) -> None:
    async with connect(address_of(service), location=location) as queue:
        for call in (
            queue.enqueue(make_task(queue=queue_id)),
            queue.enqueue_many([make_task("a", queue=queue_id), make_task("b", queue=queue_id)]),
        ):
            missing = f"There is no projects/demo/locations/{location}/queues/{queue_id}"
            with pytest.raises(
                QueueError, match=rf"{missing}.*scripts/setup-cloud-tasks-queues\.sh"
            ):
                await call


async def test_reading_statistics_again_adds_nothing_to_the_connection(
    service: LocalCloudTasks,
) -> None:
    async with connect(address_of(service)) as queue:
        await queue.stats(QUEUE)
        transport: Any = queue._connect()._client.transport
        channel = transport.grpc_channel
        before = len(channel._unary_unary_interceptors)
        for _ in range(3):
            await queue.stats(QUEUE)
        assert len(channel._unary_unary_interceptors) == before


async def test_a_refused_permission_names_the_roles(service: LocalCloudTasks) -> None:
    refusing = LostCalls(
        "CreateTask", grpc.StatusCode.PERMISSION_DENIED, times=9, carried_out=False
    )
    async with connect(address_of(service), [refusing]) as queue:
        with pytest.raises(QueueError, match=r"roles/cloudtasks\.enqueuer.*scripts/provision"):
            await queue.enqueue(make_task())
    assert refusing.seen == 1


async def test_a_queue_that_cannot_be_reached_raises_soon() -> None:
    async with connect(f"127.0.0.1:{free_port()}") as queue:
        for call in (queue.enqueue(make_task()), queue.stats(QUEUE)):
            with pytest.raises(QueueError, match="No Cloud Tasks emulator answers"):
                await call
