"""fal's queue API under `/fal`, and its proxy at `/fal/proxy`.

Python: `FAL_QUEUE_RUN_HOST={host}/fal` and, for `run`, `FAL_RUN_HOST={host}/fal/run`; the client
speaks HTTPS only. JavaScript, whose client has no setting of the host:
`fal.config({proxyUrl: {url: "{url}/fal/proxy", when: "always"}})`.

The clients send a submission whose answer was lost again, and nothing tells it from another one
with the same input: send an `Idempotency-Key` where that matters.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fastapi.sse import format_sse_event
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from taskreel.app.jobs.cancel import cancel_job
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError, TaskreelError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.webhook_events import MessageForm
from taskreel.web.auth import AuthenticatedRequest
from taskreel.web.other_apis import fal_files
from taskreel.web.other_apis.client_requests import (
    ClientWebhook,
    SubmittedModel,
    authenticate_client,
    read_object,
    submit_model,
)
from taskreel.web.other_apis.fal_request import (
    RUNNING,
    build_result,
    build_status,
    describe_failure,
)
from taskreel.web.other_apis.followed_jobs import FollowedJobs
from taskreel.web.other_apis.model_names import find_model
from taskreel.web.problems import answer_crash, find_headers, find_status, log_server_fault
from taskreel.web.wait_for_end import wait_for_end

#: An unchanged status is held so long: the clients ask again at once.
_HOLD_SECONDS = 1.0
#: `run` is answered by then; the job goes on.
_LONGEST_RUN = 600.0
_PROXY = "/fal/proxy"
#: The hosts that a proxied request may mean; it is served here, and never forwarded.
_HOSTS = {
    "queue.fal.run": "/fal",
    "fal.run": "/fal/run",
    "rest.fal.ai": "/fal/rest",
    "v3.fal.media": "/fal/cdn",
}
_PRIORITIES = frozenset({"high", "low"})
_REQUEST = "/fal/{owner}/{alias}/requests/{job_id}"


def build_app() -> ASGIApp:
    """The application."""
    api = _FalApi()
    app = Starlette(
        routes=[
            Route(f"{_REQUEST}/status/stream", api.stream_status, methods=["GET"]),
            Route(f"{_REQUEST}/status", api.read_status, methods=["GET"]),
            Route(f"{_REQUEST}/cancel", api.cancel, methods=["PUT"]),
            Route(_REQUEST, api.read_result, methods=["GET"]),
            *fal_files.list_routes(),
            Route("/fal/run/{model:path}", api.run, methods=["POST"]),
            Route("/fal/{model:path}", api.submit, methods=["POST"]),
        ]
    )
    app.add_exception_handler(TaskreelError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_crash)
    return _Proxy(app)


class _Proxy:
    """Serves a request to the proxy as one to the URL that its header names."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == _PROXY:
            target = Request(scope).headers.get("x-fal-target-url", "")
            url = urlsplit(target)
            if url.scheme != "https" or url.hostname not in _HOSTS:
                message = "x-fal-target-url must be a URL of https://queue.fal.run or its like"
                response = _respond({"detail": f"{message}."}, HTTPStatus.BAD_REQUEST)
                await response(scope, receive, send)
                return
            path = f"{_HOSTS[url.hostname]}{url.path}"
            changes = {"raw_path": path.encode(), "query_string": url.query.encode()}
            scope = {**scope, "path": path, **changes}
        await self._app(scope, receive, send)


class _FalApi:
    """The routes, and the jobs that clients poll."""

    def __init__(self) -> None:
        self._jobs: FollowedJobs | None = None

    def _follow(self, services: Services) -> FollowedJobs:
        if self._jobs is None:
            self._jobs = FollowedJobs(services)
        return self._jobs

    async def submit(self, request: Request) -> Response:
        context = await authenticate_client(request)
        made = await self._submit(request, context)
        job = made.submitted.job
        shown = await self._build_status(context, request.path_params["model"], job)
        return _respond(shown, HTTPStatus.OK, job.job_id, _list_ignored(made))

    async def run(self, request: Request) -> Response:
        """The result itself, as soon as there is one."""
        context = await authenticate_client(request)
        made = await self._submit(request, context)
        job = await wait_for_end(context.services, made.submitted.job, _LONGEST_RUN)
        if not job.status.final:
            detail = f"The job goes on. Read its result at requests/{job.job_id}."
            return _respond({"detail": detail}, HTTPStatus.GATEWAY_TIMEOUT, job.job_id)
        return await _respond_with_result(context, job, _list_ignored(made))

    async def _submit(self, request: Request, context: AuthenticatedRequest) -> SubmittedModel:
        named = find_model("fal", request.path_params["model"])
        given = {**await read_object(request), **_read_headers(request)}
        webhook = None
        if url := request.query_params.get("fal_webhook"):
            webhook = ClientWebhook(url, MessageForm.FAL, "fal_webhook")
        return await submit_model(request, context, named, given, at="", webhook=webhook)

    async def read_status(self, request: Request) -> Response:
        """Held for a second if nothing changes: the client would ask again at once."""
        context = await authenticate_client(request)
        job_id = request.path_params["job_id"]
        jobs = self._follow(context.services)
        job = await jobs.wait_for_change(context.caller, job_id, _HOLD_SECONDS)
        shown = await self._build_status(context, _name_app(request), job)
        status = HTTPStatus.OK if job.status.final else HTTPStatus.ACCEPTED
        return _respond(shown, status, job_id)

    async def stream_status(self, request: Request) -> Response:
        """Server-sent events of one status each, until the end."""
        context = await authenticate_client(request)
        job_id = request.path_params["job_id"]
        jobs = self._follow(context.services)
        await jobs.read(context.caller, job_id)  # a 404 before the stream begins

        async def send_events() -> AsyncIterator[bytes]:
            shown: Any = None
            async for job in jobs.watch(context.caller, job_id):
                status = await self._build_status(context, _name_app(request), job)
                if status != shown:
                    shown = status
                    yield format_sse_event(data_str=to_json(status).decode())

        return StreamingResponse(send_events(), media_type="text/event-stream")

    async def read_result(self, request: Request) -> Response:
        context = await authenticate_client(request)
        job_id = request.path_params["job_id"]
        job = await self._follow(context.services).read(context.caller, job_id)
        if not job.status.final:
            body = {"detail": "Request is still in progress"}
            return _respond(body, HTTPStatus.BAD_REQUEST, job_id)
        return await _respond_with_result(context, job)

    async def cancel(self, request: Request) -> Response:
        context = await authenticate_client(request)
        job_id = request.path_params["job_id"]
        found = await self._follow(context.services).read(context.caller, job_id)
        if found.status.final:
            return _respond({"status": "ALREADY_COMPLETED"}, HTTPStatus.BAD_REQUEST, job_id)
        job = await cancel_job(context.services, context.caller, job_id, found.job_type)
        cancelled = job.status is Status.CANCELLED
        word = "CANCELLATION_REQUESTED" if cancelled else "ALREADY_COMPLETED"
        return _respond({"status": word}, HTTPStatus.ACCEPTED, job_id)

    async def _build_status(
        self, context: AuthenticatedRequest, model: str, job: Job
    ) -> dict[str, Any]:
        waits = not job.status.final and job.status not in RUNNING
        position = await self._follow(context.services).count_ahead(job) if waits else 0
        return build_status(job, _build_urls(context, model, job.job_id), position)


def _name_app(request: Request) -> str:
    """The part of the model's name that the URLs of a request have."""
    return f"{request.path_params['owner']}/{request.path_params['alias']}"


def _read_headers(request: Request) -> dict[str, Any]:
    """The fields of the job that the clients send as headers."""
    fields: dict[str, Any] = {}
    priority = request.headers.get("x-fal-queue-priority", "")
    if priority in _PRIORITIES:
        fields["priority"] = priority
    seconds = request.headers.get("x-fal-request-timeout")
    if seconds is not None:
        try:
            fields["start_within_seconds"] = math.ceil(float(seconds))
        except (ValueError, OverflowError):
            message = "must be a number of seconds"
            raise InvalidError.at("x-fal-request-timeout", message) from None
    return fields


def _build_urls(context: AuthenticatedRequest, model: str, job_id: str) -> dict[str, str]:
    """The URLs of a request; as at fal, they have the first two parts of the model's name."""
    owner_and_alias = "/".join(model.split("/")[:2])
    url = f"{context.base_url}/fal/{owner_and_alias}/requests/{job_id}"
    return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def _list_ignored(made: SubmittedModel) -> dict[str, str]:
    return {"Taskreel-Ignored-Inputs": ", ".join(made.ignored)} if made.ignored else {}


# ── Responses ────────────────────────────────────────────────────────────────────────────────────


def _respond(
    body: dict[str, Any],
    status: HTTPStatus,
    job_id: str = "",
    headers: dict[str, str] | None = None,
) -> Response:
    """JSON; errors too: the JavaScript client reads no other type."""
    given = {"x-fal-request-id": job_id} if job_id else {}
    return Response(
        to_json(body), status.value, {**given, **(headers or {})}, media_type="application/json"
    )


async def _respond_with_result(
    context: AuthenticatedRequest, job: Job, headers: dict[str, str] | None = None
) -> Response:
    failure = describe_failure(job)
    if failure is None:
        result = await build_result(context.services, job)
        return _respond(result, HTTPStatus.OK, job.job_id, headers)
    status, code, message = failure
    body = {"detail": message, "error_type": code}
    return _respond(body, status, job.job_id, {"x-fal-error-type": code})


async def _answer_error(_request: Request, error: Exception) -> Response:
    """Fal's form of an error: `detail` is a sentence, or a list of the wrong fields."""
    assert isinstance(error, TaskreelError)  # noqa: S101 - it is registered for these alone
    status = find_status(error)
    message = log_server_fault(error, status) or error.message
    detail: Any = message
    if isinstance(error, InvalidError) and error.details.get("errors"):
        detail = [
            {
                "loc": ["body", *(one["path"].split(".") if one["path"] else [])],
                "msg": one["message"],
                "type": error.code,
            }
            for one in error.details["errors"]
        ]
    body = {"detail": detail, "message": message, "error_type": error.code}
    headers = {"x-fal-error-type": error.code, **find_headers(error)}
    return _respond(body, status, headers=headers)


async def _answer_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these alone
    status = HTTPStatus(error.status_code)
    return _respond({"detail": f"{error.detail}."}, status)


async def _answer_crash(request: Request, error: Exception) -> Response:
    response = await answer_crash(request, error)
    response.headers["content-type"] = "application/json"
    return response
