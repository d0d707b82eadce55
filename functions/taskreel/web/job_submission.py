"""Creating a job, or with `validateOnly` quoting it: the handler and its parts, without FastAPI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from taskreel.app.caller import Caller
from taskreel.app.jobs.dependencies import refers_to_jobs
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError, UnknownJobTypeError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.rate_limit import WRITES
from taskreel.domain.record import Record
from taskreel.domain.validation_messages import suggest_name
from taskreel.jobtypes import JOB_TYPES, canonical_name, find_job_type
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import PLAIN, DeferredSubmission, Submission, is_plain
from taskreel.web.auth import AuthenticatedRequest, authenticate
from taskreel.web.http import (
    JsonResponse,
    find_header,
    parse_idempotency_key,
    parse_model,
    parse_validate_only,
    parse_wait_seconds,
    read_body,
    validate_fields,
)
from taskreel.web.request_rates import report_rate
from taskreel.web.responses import (
    JobView,
    View,
    build_job_view,
    is_absent,
)

if TYPE_CHECKING:
    from taskreel.app.jobs.quote import JobQuote

#: The object of a documented body whose fields become those of the request.
_MOVIE = "movieData"


class AffordableView(View):
    """The caller's balance; `sufficient` tells if it and the spend caps cover the cost.

    `reason` is the sentence with which the job would be refused.
    """

    available: int
    sufficient: bool
    reason: str | None = Field(default=None, exclude_if=is_absent)


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
    #: The given fields that have no effect.
    ignored_fields: list[str] | None = Field(default=None, exclude_if=is_absent)


class SubmissionBody(Record):
    """A request body: the validated submission, and the given fields that have no effect."""

    submission: Submission
    ignored: tuple[str, ...]


async def post_job(request: Request) -> Response:
    """Create a job of the type in the path."""
    job_type = find_requested_type(request.path_params["job_type"])
    submitter = await read_submitter(request)
    body = parse_submission(await read_body(request), job_type)
    wanted = build_request(submitter, job_type, body)
    return await respond_with_job(submitter, submitter.context.caller, wanted)


def find_requested_type(name: str) -> JobType[Any]:
    """The job type that a request names, in either spelling. Raises NotFoundError."""
    try:
        return find_job_type(name)
    except UnknownJobTypeError:
        return _find_type_in_other_spelling(name)


def _find_type_in_other_spelling(name: str) -> JobType[Any]:
    """The type that is meant by `IMAGE_UPSCALE`. Raises NotFoundError for an unknown one."""
    known = canonical_name(name)
    if known not in JOB_TYPES:
        raise NotFoundError(
            f"There is no job type {name!r}{suggest_name(name, list(JOB_TYPES))}. "
            f"There are: {', '.join(JOB_TYPES)}.",
            jobTypes=list(JOB_TYPES),
        )
    return find_job_type(known)


class Submitter(Record, kw_only=True):
    """The authenticated request that creates a job, with its headers and query parameters."""

    context: AuthenticatedRequest
    idempotency_key: str | None
    wait_seconds: float
    validate_only: bool
    scope: Scope


async def read_submitter(request: Request) -> Submitter:
    """Read them strictly: a misspelled `validateOnly` must not create a job.

    `openapi.document_submission` describes them.
    """
    context = await authenticate(request)
    return Submitter(
        context=context,
        idempotency_key=parse_idempotency_key(find_header(request, b"idempotency-key")),
        wait_seconds=parse_wait_seconds(find_header(request, b"prefer")),
        validate_only=parse_validate_only(request),
        scope=request.scope,
    )


def parse_submission(raw: bytes, job_type: JobType[Any]) -> SubmissionBody:
    """The body as the type's request; deferred if it refers to jobs that it depends on."""
    fields = _parse_rare_object(raw)
    if fields is None:
        context = PLAIN if is_plain(raw) else None
        return _complete(parse_model(raw, job_type.submission, context), ())
    dropped: list[str] = []
    if isinstance(fields.get(_MOVIE), Mapping):
        movie = fields.pop(_MOVIE)
        from taskreel.web.documented_bodies import spread_fields  # of few requests: cold start

        fields, dropped = spread_fields(job_type.submission, fields, movie, at=_MOVIE)
    if refers_to_jobs(fields):
        return _complete(validate_fields(fields, DeferredSubmission), dropped)
    return validate_submission(fields, job_type, dropped)


def validate_submission(
    fields: Mapping[str, Any], job_type: JobType[Any], dropped: list[str]
) -> SubmissionBody:
    """The fields as the type's request; `dropped` are those that were omitted before."""
    submission: Submission = validate_fields(fields, job_type.submission)
    return _complete(submission, dropped)


def _complete(submission: Submission, dropped: list[str] | tuple[()]) -> SubmissionBody:
    return SubmissionBody(submission, (*submission.ignored_fields, *dropped))


def _parse_rare_object(raw: bytes) -> dict[str, Any] | None:
    """The body as an object, if it may need more than the type's own model; else None."""
    # Nearly every body is decided by these searches alone, and parsed once.
    if b'"movieData"' not in raw and (b"{{" not in raw or b"depends" not in raw):
        return None
    try:
        fields = from_json(raw)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def build_request(submitter: Submitter, job_type: JobType[Any], body: SubmissionBody) -> JobRequest:
    """The submission of a body."""
    return JobRequest(
        job_type=job_type,
        submission=body.submission,
        ignored=body.ignored,
        idempotency_key=submitter.idempotency_key,
    )


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
        from taskreel.app.jobs.quote import quote_job  # of few requests: cold start

        quote = await quote_job(services, owner, request)
        return JsonResponse(_build_quote_view(quote, request.ignored))
    submitted = await submit_job(services, owner, request)
    job = submitted.job
    if submitted.rate is not None:
        report_rate(submitter.scope, WRITES, submitted.rate)
    if submitter.wait_seconds:
        from taskreel.web.wait_for_end import wait_for_end  # of few requests: cold start

        job = await wait_for_end(services, job, submitter.wait_seconds)
    view = await build_job_view(services, job, submitter.context.base_url)
    if request.ignored:
        view = view.model_copy(update={"ignored_fields": list(request.ignored)})
    if submitted.cached:
        view = show_age(services, job, view)
    view = extend(view)
    headers = {"Location": view.urls.self}
    if submitted.repeated:
        headers["Idempotency-Replayed"] = "true"
    if submitter.wait_seconds:
        headers["Preference-Applied"] = f"wait={submitter.wait_seconds:g}"
    status = HTTPStatus.OK if job.status.final else HTTPStatus.ACCEPTED
    return JsonResponse(view, status, headers)


def show_age(services: Services, job: Job, view: JobView) -> JobView:
    """The view of a job that answers another request: with the age of its result in seconds."""
    completed_at = job.status_at.get(Status.COMPLETED)
    age = timedelta(0) if completed_at is None else services.clock.now() - completed_at
    return view.model_copy(update={"cached_seconds": max(0, int(age.total_seconds()))})


def _build_quote_view(found: JobQuote, ignored: Sequence[str]) -> QuoteView:
    available = found.account.available
    steps = {
        name: StepQuoteView(served_by=plan.served_by, usd=plan.usd)
        for name, plan in found.plan.steps.items()
    }
    return QuoteView(
        cost=found.cost,
        credits=AffordableView(
            available=available, sufficient=found.refusal is None, reason=found.refusal
        ),
        served_by=found.plan.served_by,
        usd=found.plan.usd,
        steps=steps,
        ignored_fields=list(ignored) or None,
    )
