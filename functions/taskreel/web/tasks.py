"""The task processor and the sweep, called by Cloud Tasks and Cloud Scheduler."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from taskreel.app.services import Services
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.processor import Processor
from taskreel.domain.errors import TaskreelError, UnauthenticatedError
from taskreel.domain.task_signature import SIGNATURE_PREFIX, sign_task
from taskreel.domain.value import Value
from taskreel.web.http import JsonResponse, read_body, read_model, read_trace
from taskreel.web.problems import answer_error, build_problem

if TYPE_CHECKING:
    from taskreel.web.task_tokens import TaskTokenRules, TaskTokens

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]

#: Cloud Tasks repeats anything but 2xx; never 429 or 503, which slow the whole queue.
_STATUS = {Answer.FINISHED: HTTPStatus.OK, Answer.BUSY: HTTPStatus.CONFLICT}


class InternalKeys:
    """The keys of the processor's callers: one, or two while it is being rotated."""

    def __init__(self, keys: Sequence[str]) -> None:
        # An empty key would be matched by a request without the header.
        self._keys = [key.encode() for key in keys if key]

    def check(self, given: str | None) -> None:
        """Raise UnauthenticatedError for an unknown key, after the same time for any of them."""
        sent = (given or "").encode()
        matches = [hmac.compare_digest(sent, key) for key in self._keys]
        if not any(matches):
            raise _wrong_key_error()

    def check_signature(self, given: str, path: str, body: bytes) -> None:
        """Raise UnauthenticatedError unless one of the keys has signed this body for the path."""
        expected = [sign_task(key.decode(), path, body).encode() for key in self._keys]
        matches = [hmac.compare_digest(given.encode(), one) for one in expected]
        if not any(matches):
            raise _wrong_key_error()


def _wrong_key_error() -> UnauthenticatedError:
    return UnauthenticatedError("X-Internal-Api-Key is missing or wrong.")


class TaskBody(Value):
    """A task: it carries ids, never the payload.

    A newer revision may have sent it: fields that this one does not know are ignored.
    """

    model_config = ConfigDict(extra="ignore")

    job_id: str = Field(min_length=1, max_length=100)
    delivery: int = 1


class TaskAnswer(Value):
    """The outcome of a delivery."""

    answer: str


class SweepAnswer(Value):
    """The number of jobs that the sweep handled, by kind."""

    swept: dict[str, int]


class AuditOrder(Value):
    """An audit: `files` compares artifacts with the bucket, `repair` repairs what can be."""

    files: bool = False
    repair: bool = False


class AuditAnswer(Value):
    """The numbers of documents that were read, each broken rule, and each repair.

    `unowned_files` is the number of files without a document, where files were compared.
    """

    users: int
    jobs: int
    entries: int
    unowned_files: int | None
    violations: list[str]
    repaired: list[str]


class InternalApp:
    """An ASGI application with a few POST routes behind the internal key, or a task's OIDC token.

    Every task passes here; without a framework's layers it takes a third of the time.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        keys: InternalKeys,
        token_rules: TaskTokenRules | None = None,
    ) -> None:
        self._handlers = handlers
        self._keys = keys
        self._token_rules = token_rules
        self._tokens: TaskTokens | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        read_trace(dict(scope["headers"]))
        request = Request(scope, receive)
        response = await self._respond(request)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path = request.url.path
        handle = self._handlers.get(path)
        if handle is None:
            known = " and ".join(self._handlers)
            return build_problem(
                HTTPStatus.NOT_FOUND, "not_found", f"There is only POST {known} here."
            )
        if request.method != "POST":
            return build_problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "method_not_allowed",
                f"{path} takes POST only.",
            )
        try:
            return await handle(await self._authenticate(request))
        except TaskreelError as error:
            return await _answer_task_error(request, error)
        except Exception:
            log.exception("task crashed", extra={"action": "task_crashed"})
            return build_problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal_error",
                "The delivery crashed; Cloud Tasks will repeat it.",
            )

    async def _authenticate(self, request: Request) -> Request:
        """Accept the internal key, its signature or, without either, a token that rules let in.

        Returns the request that the handler reads.
        """
        authorization = request.headers.get("authorization")
        given = request.headers.get("x-internal-api-key")
        try:
            if given is not None and given.startswith(SIGNATURE_PREFIX):
                body = await read_body(request)
                # Before the check: where the token lets it in, the handler reads the body too.
                request = _repeat_body(request, body)
                self._keys.check_signature(given, request.url.path, body)
            else:
                self._keys.check(given)
        except UnauthenticatedError:
            if self._token_rules is None or authorization is None:
                raise
        else:
            return request
        if self._tokens is None:
            from taskreel.web.task_tokens import TaskTokens  # on first use: cold start

            self._tokens = TaskTokens(self._token_rules)
        await self._tokens.check(authorization)
        return request


def _repeat_body(request: Request, body: bytes) -> Request:
    """The request with a body that has been read already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)


def build_processor_app(
    keys: InternalKeys, processor: Processor, token_rules: TaskTokenRules | None = None
) -> InternalApp:
    """The application of `/tasks/process`: one delivery of a job's task."""

    async def handle(request: Request) -> Response:
        task = await read_model(request, TaskBody)
        outcome = await processor.process_task(task.job_id)
        return JsonResponse(TaskAnswer(answer=outcome.name.lower()), _STATUS[outcome])

    return InternalApp({"/tasks/process": handle}, keys, token_rules)


async def process_delivery(processor: Processor, job_id: str) -> int:
    """Process a delivery of a queue in this process; the status that the queue is answered."""
    try:
        return _STATUS[await processor.process_task(job_id)]
    except TaskreelError as error:
        log.warning(
            "a delivery failed; the queue repeats it",
            extra={"action": "delivery_failed", "job_id": job_id, "error": error.message},
        )
        return HTTPStatus.INTERNAL_SERVER_ERROR


def build_maintenance_app(keys: InternalKeys, services: Services) -> InternalApp:
    """The application of `/tasks/sweep`, which wakes every job that is due, and `/tasks/audit`."""

    async def sweep(_request: Request) -> Response:
        from taskreel.app.worker.sweep import sweep_jobs  # not in the task processor: cold start

        # Between requests the instance may have no processor, and no timer runs.
        try:
            swept = await sweep_jobs(services)
            await services.flush_records()
        finally:
            # Also of a sweep that could not use the store, which is what its message says.
            if services.alerts is not None:
                await services.alerts.finish_sends()
        return JsonResponse(SweepAnswer(swept=dict(swept)))

    async def audit(request: Request) -> Response:
        from taskreel.app.audit.store_audit import audit_store

        order = await read_model(request, AuditOrder)
        report = await audit_store(services, with_files=order.files, with_repair=order.repair)
        answer = AuditAnswer(
            users=report.users,
            jobs=report.jobs,
            entries=report.entries,
            unowned_files=report.unowned_files,
            violations=[str(one) for one in report.violations],
            repaired=report.repaired,
        )
        return JsonResponse(answer)

    return InternalApp({"/tasks/sweep": sweep, "/tasks/audit": audit}, keys)


async def _answer_task_error(request: Request, error: TaskreelError) -> Response:
    """The error's problem, with status 500 for 503: a 503 slows the whole queue."""
    response = await answer_error(request, error)
    if response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
        response.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
    return response
