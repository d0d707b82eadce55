"""The emulator for tests of code that creates or handles tasks, in any test framework.

    with CloudTasksEmulator() as emulator:
        queue = emulator.create_queue("emails")
        send_invitation(emulator.client(), queue)       # the code under test
        emulator.advance(hours=1)
        emulator.assert_delivered(queue, url="https://example.com/send", json={"to": 7})

Under pytest the fixture `cloud_tasks_emulator` gives one, empty for each test.
"""

from __future__ import annotations

import asyncio
import inspect
import json as json_module
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from taskreel_cloud_tasks.delivery_history import Delivery, HandlerResponse, OutgoingRequest
from taskreel_cloud_tasks.faults import Faults
from taskreel_cloud_tasks.http_client import HttpClient, SendError
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

if TYPE_CHECKING:
    from google.cloud import tasks_v2

T = TypeVar("T")

PARENT = "projects/test-project/locations/us-central1"
_CALL_S = 60.0
_HANDLER_S = 10.0
"""Real seconds that virtual time waits for one handler."""


@dataclass(frozen=True, slots=True)
class DeliveredTask:
    """One attempt of a task, as its handler saw it, and the handler's answer."""

    queue: str
    """The queue's full name."""
    task: str
    """The task's id."""
    attempt: int
    """0 for the first attempt."""
    method: str
    url: str
    headers: dict[str, str]
    """Header names are lower case here."""
    body: bytes
    status: int | None
    """The handler's HTTP status; None if it could not be reached."""

    @property
    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json_module.loads(self.body)

    @property
    def succeeded(self) -> bool:
        """True if the handler answered 2xx."""
        return self.status is not None and 200 <= self.status < 300


Answer = int | HandlerResponse | None
"""A status, a whole response, or None for 200."""
Handler = Callable[[DeliveredTask], Answer | Awaitable[Answer]]


class CloudTasksEmulator:
    """An emulator on a thread of its own, under a virtual clock unless told otherwise.

    Tasks are delivered to `handler`, a function (sync or async) that returns a status; None means
    200. Without one every task is answered 200. `deliver_over_http` calls the tasks' own URLs.
    """

    def __init__(self, *, virtual_clock: bool = True, parent: str = PARENT) -> None:
        self.parent = parent
        self.handler: Handler | None = None
        self._over_http = False
        self._virtual = virtual_clock
        self._http = HttpClient()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="cloud-tasks-emulator", daemon=True
        )
        self._service: LocalCloudTasks
        self._clients: list[Any] = []

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self._thread.start()
        config = ServiceConfig(
            grpc_port=0, virtual_clock=self._virtual, sender=_Deliverer(self), grace_s=0
        )
        self._service = LocalCloudTasks(config)
        self._run(self._service.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.transport.close()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        await self._service.__aexit__(None, None, None)
        await self._http.close()

    def reset(self) -> None:
        """Remove queues, tasks, reserved names, records and faults, and the handler."""
        self.handler = None
        self._over_http = False

        async def forget() -> None:
            await self._service.engine.reset()
            self._service.api.reset_state()

        self._run(forget())

    # ── connections ──────────────────────────────────────────────────────────────────────────

    @property
    def address(self) -> str:
        """`host:port` of the gRPC API, for Google's clients in any language."""
        return f"127.0.0.1:{self._service.grpc_port}"

    @property
    def rest_url(self) -> str:
        """The URL of the REST API."""
        return self._service.rest_url

    def client(self) -> tasks_v2.CloudTasksClient:
        """Return Google's synchronous client, connected; it is closed with the emulator."""
        from taskreel_cloud_tasks.clients import connect

        made: tasks_v2.CloudTasksClient = connect(self.address)
        self._clients.append(made)
        return made

    def async_client(self) -> tasks_v2.CloudTasksAsyncClient:
        """Return Google's asynchronous client, connected, for the running event loop."""
        from taskreel_cloud_tasks.clients import connect_async

        made: tasks_v2.CloudTasksAsyncClient = connect_async(self.address)
        return made

    # ── what a test does ─────────────────────────────────────────────────────────────────────

    def create_queue(self, queue_id: str, **settings: Any) -> str:
        """Create a queue and return its name; settings are fields of v2's JSON, in snake_case.

        Example: `create_queue("emails", retry_config={"max_attempts": 3, "min_backoff": "1s"})`.
        """
        from taskreel_cloud_tasks import message_codec

        queue = message_codec.from_json(
            Queue, {**settings, "name": f"{self.parent}/queues/{queue_id}"}
        )
        self._run(self._service.engine.create_queue(self.parent, queue))
        return queue.name

    def deliver_over_http(self) -> None:
        """Deliver tasks to their URLs from now on, until `reset`."""
        self._over_http = True

    def inject_faults(self, **faults: Any) -> None:
        """Inject faults from now on, until `reset`: see `faults.Faults` for their names."""
        chosen = Faults(**faults)

        async def assign() -> None:
            self._service.engine.faults = chosen

        self._run(assign())

    def advance(self, **by: float) -> None:
        """Move the virtual clock by a `timedelta`'s arguments: `advance(minutes=5)`.

        Everything that becomes due on the way is delivered, retries included, in order.
        """
        engine = self._service.engine
        self._run(engine.advance(timedelta(**by), grace_s=_HANDLER_S), timeout_s=None)

    def run_due_tasks(self) -> None:
        """Deliver what is due now, and wait for the handlers' answers."""
        self._run(self._service.engine.run_due_work(_HANDLER_S), timeout_s=None)

    def wait_until_empty(self, queue: str | None = None, timeout_s: float = 10) -> None:
        """Wait until no task waits or runs; needs the real clock if tasks are due later.

        Raises TimeoutError.
        """
        waiting = asyncio.wait_for(self._service.engine.wait_idle(queue), timeout_s)
        self._run(_await(waiting), timeout_s=timeout_s + _CALL_S)

    # ── what a test asks ─────────────────────────────────────────────────────────────────────

    def deliveries(self, queue: str | None = None, **expected: Any) -> list[DeliveredTask]:
        """Return the attempts so far, oldest first, that match every expectation.

        Expectations are attributes of DeliveredTask (`url`, `method`, `task`, `status`, `body`,
        `json`, `attempt`), and `headers`, of which those named must be equal. Due tasks are
        delivered first.
        """
        if self._virtual:
            self.run_due_tasks()
        return [
            each
            for each in map(_to_delivered, self._service.engine.history.deliveries)
            if (queue is None or queue in {each.queue, each.queue.rpartition("/")[2]})
            and _matches(each, expected)
        ]

    def assert_delivered(
        self, queue: str | None = None, *, times: int | None = None, **expected: Any
    ) -> list[DeliveredTask]:
        """Assert that attempts match (see `deliveries`): at least one, or exactly `times`."""
        found = self.deliveries(queue, **expected)
        if (times is None and not found) or (times is not None and len(found) != times):
            wanted = "at least one attempt" if times is None else f"{times} attempts"
            raise AssertionError(
                f"Expected {wanted} with {_describe(queue, expected)}, found {len(found)}. "
                + self._list_all()
            )
        return found

    def assert_not_delivered(self, queue: str | None = None, **expected: Any) -> None:
        """Assert that no attempt matches (see `deliveries`)."""
        self.assert_delivered(queue, times=0, **expected)

    def waiting_tasks(self, queue: str) -> list[str]:
        """Return the ids of the tasks that wait or run in a queue, in order of creation."""

        async def ask() -> list[str]:
            return [stored.id for stored in self._service.engine.list_tasks(queue)]

        return self._run(ask())

    def _list_all(self) -> str:
        shown = [
            f"  {each.queue.rpartition('/')[2]}: attempt {each.attempt} of {each.task}: "
            f"{each.method} {each.url} {each.body[:200]!r} -> {each.status}"
            for each in map(_to_delivered, self._service.engine.history.deliveries)
        ]
        return "All attempts:\n" + "\n".join(shown) if shown else "There was no attempt."

    def _run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = _CALL_S) -> T:
        """Run a coroutine on the emulator's loop; a refusal is raised as it is."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError(
                "An async handler runs on the emulator's own loop and cannot wait for it: make "
                "the handler a plain function, or use the async client."
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def answer(self, request: OutgoingRequest) -> HandlerResponse:
        """Answer one attempt: by HTTP, by the handler, or 200."""
        if self._over_http:
            return await self._http.send(request)
        if self.handler is None:
            return HandlerResponse(200, {})
        arrived = _to_arrived(request)
        if inspect.iscoroutinefunction(self.handler):
            answer = await self.handler(arrived)
        else:
            # On a thread: the handler may itself create tasks with the synchronous client.
            answer = await asyncio.to_thread(self.handler, arrived)
        if answer is None:
            return HandlerResponse(200, {})
        return HandlerResponse(answer, {}) if isinstance(answer, int) else answer


class _Deliverer:
    """The engine's sender: asks the emulator's handler."""

    def __init__(self, emulator: CloudTasksEmulator) -> None:
        self._emulator = emulator

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        """Answer one request; an exception in the handler is a 500, as in a web framework."""
        try:
            return await self._emulator.answer(request)
        except SendError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the handler raises
            return HandlerResponse(500, {}, f"{type(error).__name__}: {error}".encode())


async def _await(work: Awaitable[T]) -> T:
    return await work


def _to_delivered(done: Delivery) -> DeliveredTask:
    request = done.request
    return DeliveredTask(
        queue=done.queue,
        task=done.task,
        attempt=done.attempt,
        method=request.method,
        url=request.url,
        headers={key.lower(): value for key, value in request.headers},
        body=request.body,
        status=done.response.status if done.response is not None else None,
    )


def _to_arrived(request: OutgoingRequest) -> DeliveredTask:
    headers = {key.lower(): value for key, value in request.headers}
    prefix = "x-cloudtasks-" if "x-cloudtasks-taskname" in headers else "x-appengine-"
    return DeliveredTask(
        queue=headers[f"{prefix}queuename"],
        task=headers[f"{prefix}taskname"],
        attempt=int(headers[f"{prefix}taskretrycount"]),
        method=request.method,
        url=request.url,
        headers=headers,
        body=request.body,
        status=None,
    )


def _matches(each: DeliveredTask, expected: dict[str, Any]) -> bool:
    return all(_field_matches(each, name, value) for name, value in expected.items())


def _field_matches(each: DeliveredTask, name: str, value: Any) -> bool:
    if name == "headers":
        return all(each.headers.get(key.lower()) == text for key, text in value.items())
    if name == "json":
        try:
            return bool(each.json == value)
        except ValueError:
            return False
    return bool(getattr(each, name) == value)


def _describe(queue: str | None, expected: dict[str, Any]) -> str:
    wanted = {**({"queue": queue} if queue else {}), **expected}
    return ", ".join(f"{name}={value!r}" for name, value in wanted.items()) or "any content"
