"""Creating a job from a request, or with `validateOnly` quoting it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from pydantic import Field
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.caller import Caller
from taskreel.app.jobs.dependencies import refers_to_jobs
from taskreel.app.jobs.submit import JobQuote, JobRequest, quote_job, submit_job
from taskreel.jobtypes.job_type import DeferredSubmission, JobType, Submission
from taskreel.web.dependencies import Submitter
from taskreel.web.http import JsonResponse, parse_model, read_body
from taskreel.web.job_events import wait_for_end
from taskreel.web.responses import JobView, View, build_job_view


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


async def create_job(
    submitter: Submitter, job_type: JobType[Any], submission: Submission
) -> Response:
    """The response with the new job of this request."""
    request = JobRequest(
        job_type=job_type,
        submission=submission,
        idempotency_key=submitter.idempotency_key,
    )
    return await respond_with_job(submitter, submitter.context.caller, request)


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
    job = await wait_for_end(services, submitted.job, submitter.wait_seconds)
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
