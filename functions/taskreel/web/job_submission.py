"""Creating a job, or with `validateOnly` quoting it: the handler and its parts, without FastAPI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import Field
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.caller import Caller
from taskreel.app.jobs.dependencies import refers_to_jobs
from taskreel.app.jobs.submit import JobQuote, JobRequest, quote_job, submit_job
from taskreel.domain.errors import NotFoundError, UnknownJobTypeError
from taskreel.domain.validation_messages import suggest_name
from taskreel.jobtypes import JOB_TYPES, find_job_type
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import DeferredSubmission, Submission
from taskreel.web.auth import AuthenticatedRequest, authenticate
from taskreel.web.http import (
    JsonResponse,
    parse_idempotency_key,
    parse_model,
    parse_validate_only,
    parse_wait_seconds,
    read_body,
)
from taskreel.web.job_events import wait_for_end
from taskreel.web.responses import (
    JobView,
    View,
    build_job_view,
)


class AffordableView(View):
    """The caller's balance, and whether it covers the cost."""

    available: int
    sufficient: bool


class StepQuoteView(View):
    """A step's providers and estimated price in US dollars."""

    served_by: str | None
    usd: float | None


class QuoteView(View):
    """The answer to `validateOnly=true`: the valid request's cost in credits; no job is created."""

    valid: bool = True
    cost: int
    credits: AffordableView
    served_by: str | None
    usd: float | None
    steps: dict[str, StepQuoteView] = Field(exclude_if=lambda steps: not steps)


async def post_job(request: Request) -> Response:
    """Create a job of the type in the path."""
    name = request.path_params["job_type"]
    try:
        job_type = find_job_type(name)
    except UnknownJobTypeError:
        raise NotFoundError(
            f"There is no job type {name!r}{suggest_name(name, list(JOB_TYPES))}. "
            f"There are: {', '.join(JOB_TYPES)}.",
            jobTypes=list(JOB_TYPES),
        ) from None
    submitter = await read_submitter(request)
    submission = await read_submission(request, job_type)
    wanted = JobRequest(
        job_type=job_type,
        submission=submission,
        idempotency_key=submitter.idempotency_key,
    )
    return await respond_with_job(submitter, submitter.context.caller, wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """The authenticated request that creates a job, with its headers and query parameters."""

    context: AuthenticatedRequest
    idempotency_key: str | None
    wait_seconds: float
    validate_only: bool


async def read_submitter(request: Request) -> Submitter:
    """Read them strictly: a misspelled `validateOnly` must not create a job.

    `openapi.document_submission` describes them.
    """
    context = await authenticate(request)
    headers = request.headers
    return Submitter(
        context=context,
        idempotency_key=parse_idempotency_key(headers.get("idempotency-key")),
        wait_seconds=parse_wait_seconds(headers.get("prefer")),
        validate_only=parse_validate_only(request),
    )


async def read_submission(request: Request, job_type: JobType[Any]) -> Submission:
    """The body as the type's request; deferred if it refers to jobs that it depends on."""
    raw = await read_body(request)
    model = DeferredSubmission if _refers_to_jobs(raw) else job_type.submission
    submission: Submission = parse_model(raw, model)
    return submission


def _refers_to_jobs(raw: bytes) -> bool:
    # Nearly every body is decided by this search alone, and parsed once.
    if b"{{" not in raw or b"depends" not in raw:
        return False
    try:
        payload = from_json(raw)
    except ValueError:
        return False
    return isinstance(payload, dict) and refers_to_jobs(payload)


async def respond_with_job(
    submitter: Submitter,
    owner: Caller,
    request: JobRequest,
    extend: Callable[[JobView], JobView] = lambda view: view,
) -> Response:
    """Create the job for `owner` and show it, or quote it if the caller only validates.

    `extend` adds the fields of a route that shows more than the job. The status is 202, or 200 if
    the job ended while the caller waited.
    """
    services = submitter.context.services
    if submitter.validate_only:
        return JsonResponse(_build_quote_view(await quote_job(services, owner, request)))
    submitted = await submit_job(services, owner, request)
    job = submitted.job
    if submitter.wait_seconds:
        job = await wait_for_end(services, job, submitter.wait_seconds)
    view = extend(await build_job_view(services, job, submitter.context.base_url))
    headers = {"Location": view.urls.self}
    if submitted.repeated:
        headers["Idempotency-Replayed"] = "true"
    if submitter.wait_seconds:
        headers["Preference-Applied"] = f"wait={submitter.wait_seconds:g}"
    status = HTTPStatus.OK if job.status.final else HTTPStatus.ACCEPTED
    return JsonResponse(view, status, headers)


def _build_quote_view(found: JobQuote) -> QuoteView:
    available = found.account.available
    steps = {
        name: StepQuoteView(served_by=plan.served_by, usd=plan.usd)
        for name, plan in found.plan.steps.items()
    }
    return QuoteView(
        cost=found.cost,
        credits=AffordableView(available=available, sufficient=found.cost <= available),
        served_by=found.plan.served_by,
        usd=found.plan.usd,
        steps=steps,
    )
