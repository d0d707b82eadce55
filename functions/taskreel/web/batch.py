"""The API of batches: many jobs in one request, each created or refused by itself."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field
from pydantic_core import to_json

from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.domain.errors import InvalidError, TaskreelError
from taskreel.domain.value import Value
from taskreel.web.auth import AuthenticatedRequest
from taskreel.web.http import (
    JsonResponse,
    check_query,
    parse_idempotency_key,
    parse_model,
)
from taskreel.web.inner_requests import find_data_faults
from taskreel.web.job_submission import find_requested_type, parse_submission, show_age
from taskreel.web.openapi import ONCE, document_body
from taskreel.web.problems import build_problem, find_status, log_server_fault
from taskreel.web.responses import JobView, Problem, View, build_job_view, is_absent
from taskreel.web.route_parameters import Authenticated, json_body

router = APIRouter(prefix="/api", tags=["jobs"])

MOST_JOBS = 100
#: So many are created at the same time: they share one account.
_AT_ONCE = 10


class BatchItem(Value):
    """A job of a batch: `data` is the request that `POST /api/jobs/{jobType}` takes.

    Without an `idempotencyKey` of its own a job has the request's, with its place in the batch.
    """

    job_type: str = Field(max_length=100)
    data: dict[str, Any]
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=255)


class JobBatch(Value):
    """Up to a hundred jobs."""

    jobs: list[BatchItem] = Field(min_length=1, max_length=MOST_JOBS)


class _BatchBody(Value):
    """The same before its jobs are read, each by itself: a malformed one refuses no other."""

    jobs: list[Any] = Field(min_length=1, max_length=MOST_JOBS)


class BatchResultView(View):
    """The result of the job at a place: `status` as of a request of its own, and job or error.

    `repeated`: an earlier request with the same key made the job.
    """

    index: int
    status: int
    job: JobView | None = Field(default=None, exclude_if=is_absent)
    error: Problem | None = Field(default=None, exclude_if=is_absent)
    repeated: bool = False


class BatchView(View):
    """The results in the order of the request, and the numbers of created and refused jobs."""

    created: int
    refused: int
    results: list[BatchResultView]


@router.post(
    "/jobs:batch",
    summary="Create up to 100 jobs; each succeeds or fails by itself",
    response_model=BatchView,
    openapi_extra={
        **document_body(
            JobBatch,
            {
                "jobs": [
                    {"jobType": "image-generation", "data": {"prompt": "A sunset"}},
                    {"jobType": "audio-synthesis", "data": {"text": "Good evening"}},
                ]
            },
        ),
        **ONCE,
    },
)
async def create_jobs(
    request: Request,
    context: Authenticated,
    batch: Annotated[_BatchBody, json_body(_BatchBody, has_items=True)],
) -> Response:
    """Each counts as one write for the rate limit. With an `Idempotency-Key` it may be repeated.

    The answer is 200 also if jobs are refused, or malformed: read each result.
    """
    check_query(request)
    key = parse_idempotency_key(request.headers.get("idempotency-key"))
    results: list[BatchResultView] = []
    for start in range(0, len(batch.jobs), _AT_ONCE):
        items = enumerate(batch.jobs[start : start + _AT_ONCE], start)
        results += await asyncio.gather(
            *(_create_job(context, item, index, key) for index, item in items)
        )
    refused = sum(one.error is not None for one in results)
    return JsonResponse(BatchView(created=len(results) - refused, refused=refused, results=results))


async def _create_job(
    context: AuthenticatedRequest, given: Any, index: int, batch_key: str | None
) -> BatchResultView:
    """Create one job of the batch; an error is the result of this job alone."""
    try:
        item = parse_model(to_json(given), BatchItem)
    except InvalidError as error:
        more = find_data_faults(given) if isinstance(given, dict) else []
        return _describe_refusal(InvalidError.join([error, *more]).under(f"jobs[{index}]"), index)
    key = item.idempotency_key
    if key is None and batch_key is not None:
        # Longer than a header may be: no key of a single request is the same.
        key = f"{batch_key}{' ' * 256}{index}"
    services = context.services
    try:
        job_type = find_requested_type(item.job_type)
        body = parse_submission(to_json(item.data), job_type)
        wanted = JobRequest(
            job_type=job_type,
            submission=body.submission,
            ignored=body.ignored,
            idempotency_key=key,
        )
        submitted = await submit_job(services, context.caller, wanted)
    except InvalidError as error:
        return _describe_refusal(error.under(f"jobs[{index}].data"), index)
    except TaskreelError as error:
        return _describe_refusal(error, index)
    view = await build_job_view(services, submitted.job, context.base_url)
    if body.ignored:
        view = view.model_copy(update={"ignored_fields": list(body.ignored)})
    if submitted.cached:
        view = show_age(services, submitted.job, view)
    return BatchResultView(
        index=index,
        status=HTTPStatus.ACCEPTED.value,
        job=view,
        repeated=submitted.repeated,
    )


def _describe_refusal(error: TaskreelError, index: int) -> BatchResultView:
    """The refusal of one job as a problem."""
    status = find_status(error)
    detail = log_server_fault(error, status)
    members = dict(error.details) if detail is None else {}
    problem = build_problem(status, error.code, detail or error.message, members)
    return BatchResultView(
        index=index,
        status=status.value,
        error=Problem(**json.loads(bytes(problem.body))),
    )
