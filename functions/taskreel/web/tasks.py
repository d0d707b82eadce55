"""The task processor and the sweep: called by Cloud Tasks and Cloud Scheduler, with the internal key."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from taskreel.app.services import Services
from taskreel.app.worker.processor import Answer, Processor
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.domain.errors import TaskreelError
from taskreel.domain.value import Value
from taskreel.web.auth import InternalKeys
from taskreel.web.http import answer, read_model
from taskreel.web.problems import answer_error, problem

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

#: Anything but 2xx is asked again; never 429 or 503, which slow the whole queue.
_STATUS = {Answer.FINISHED: HTTPStatus.OK, Answer.BUSY: HTTPStatus.CONFLICT}


class TaskBody(Value):
    """What a task carries: ids, never the payload."""

    job_id: str = Field(min_length=1, max_length=100)
    delivery: int = 1


class InternalApp:
    """An ASGI application of one POST route behind the internal key.

    Every task passes here: without a framework's layers it costs a third.
    """

    def __init__(self, path: str, keys: InternalKeys, handle: Handler) -> None:
        self._path = path
        self._keys = keys
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.url.path != self._path:
            return problem(HTTPStatus.NOT_FOUND, "not_found", f"There is only {self._path} here.")
        if request.method != "POST":
            return problem(
                HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", f"{self._path} takes POST."
            )
        try:
            self._keys.check(request.headers.get("x-internal-api-key"))
            return await self._handle(request)
        except TaskreelError as error:
            return await _told(request, error)
        except Exception:
            log.exception("task crashed", extra={"action": "task_crashed"})
            return problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal_error",
                "This delivery crashed; ask again.",
            )


def processing(keys: InternalKeys, processor: Processor) -> InternalApp:
    """`/tasks/process`: one delivery of a job's task."""

    async def handle(request: Request) -> Response:
        task = await read_model(request, TaskBody)
        outcome = await processor.process_task(task.job_id)
        return answer({"answer": outcome.name.lower()}, _STATUS[outcome])

    return InternalApp("/tasks/process", keys, handle)


def maintenance(keys: InternalKeys, services: Services) -> InternalApp:
    """`/tasks/sweep`: wake every job whose time has come."""

    async def handle(_request: Request) -> Response:
        return answer({"swept": await sweep_jobs(services)})

    return InternalApp("/tasks/sweep", keys, handle)


async def _told(request: Request, error: TaskreelError) -> Response:
    """The error's problem, with 500 for what a caller would be told with 503."""
    told = await answer_error(request, error)
    if told.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        told.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
    return told
