"""The task processor and the sweep: called by Cloud Tasks and Cloud Scheduler, with the internal key."""

from __future__ import annotations

from http import HTTPStatus

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.process import Answer, Processor
from taskreel.app.sweep import sweep
from taskreel.domain.value import Value
from taskreel.web.auth import InternalKeys
from taskreel.web.problems import answer_error
from taskreel.web.request import answer, read_model, services_of

#: Anything but 2xx is asked again; never 429 or 503, which slow the whole queue.
_STATUS = {Answer.FINISHED: HTTPStatus.OK, Answer.BUSY: HTTPStatus.CONFLICT}


class TaskBody(Value):
    """What a task carries: ids, never the payload."""

    job_id: str = Field(min_length=1, max_length=100)
    delivery: int = 1


async def process(request: Request) -> Response:
    """One delivery of a job's task."""
    _check(request)
    task = await read_model(request, TaskBody)
    processor: Processor = request.app.state.processor
    outcome = await processor.process(task.job_id)
    return answer({"answer": outcome.name.lower()}, _STATUS[outcome])


async def run_sweep(request: Request) -> Response:
    """Wake every job whose time has come."""
    _check(request)
    return answer({"swept": await sweep(services_of(request))})


async def unavailable(request: Request, error: Exception) -> Response:
    """What a caller would be told with 503."""
    told = await answer_error(request, error)
    told.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
    return told


def _check(request: Request) -> None:
    keys: InternalKeys = request.app.state.internal_keys
    keys.check(request.headers.get("x-internal-api-key"))
