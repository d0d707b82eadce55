"""The jobs API: changing jobs, and the route that creates them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import ValidationError

from taskreel.app.jobs import cancel, retry
from taskreel.app.jobs.queries import find_job_to_delete
from taskreel.app.jobs.remove import remove_job
from taskreel.app.jobs.replay import Replay, prepare_replay
from taskreel.domain.validation_messages import invalid_model
from taskreel.jobtypes import JOB_TYPES
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.job_submission import post_job, respond_with_job
from taskreel.web.openapi import document_created, document_submission
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import JobView, build_job_view
from taskreel.web.route_parameters import Authenticated, Submitting, json_body

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

# Documented by `openapi_document`, with an operation for each job type. `PublicApi` calls
# the handler itself for the names of job types; a wrong name comes here.
router.add_route("/api/jobs/{job_type}", post_job, methods=["POST"], include_in_schema=False)


@router.delete(
    "/{job_type}/{job_id}",
    summary="Cancel the job; remove one that has ended, with its files",
    response_model=JobView,
    responses={
        204: {"description": "It had ended, and is removed"},
        **document_problems("conflict"),
    },
)
async def delete_job(job_type: str, job_id: str, context: Authenticated) -> Response:
    """Cancelling captures what is done and releases the rest of the hold.

    The job stays readable then, with what was finished of it. Another request removes it, with the
    jobs that it created as a pipeline. The ledger stays.
    """
    services = context.services
    found = await find_job_to_delete(services, context.caller, job_id, job_type)
    if found.is_over:
        await remove_job(services, found, context.caller)
        return Response(status_code=HTTPStatus.NO_CONTENT)
    job = await cancel.cancel_job(services, context.caller, job_id, job_type)
    return JsonResponse(await build_job_view(services, job, context.base_url))


@router.post(
    "/{job_type}/{job_id}/cancel",
    summary="Cancel the job; one that has ended stays as it is",
    response_model=JobView,
)
async def cancel_running_job(
    request: Request, job_type: str, job_id: str, context: Authenticated
) -> Response:
    """Safe to repeat, unlike DELETE, which removes a job that has ended meanwhile."""
    check_query(request)
    services = context.services
    job = await cancel.cancel_job(services, context.caller, job_id, job_type)
    return JsonResponse(await build_job_view(services, job, context.base_url))


@router.post(
    "/{job_type}/{job_id}/retry",
    status_code=202,
    summary="Try a failed job again, under the same id",
    response_model=JobView,
    responses=document_problems(
        "conflict", "insufficient_credits", "spend_cap_reached", "forbidden"
    ),
)
async def retry_job(
    request: Request, job_type: str, job_id: str, context: Authenticated
) -> Response:
    """New attempts, and a new hold."""
    check_query(request)
    services = context.services
    job = await retry.retry_job(services, context.caller, job_id, job_type)
    view = await build_job_view(services, job, context.base_url)
    return JsonResponse(view, HTTPStatus.ACCEPTED)


@router.post(
    "/{job_type}/{job_id}/replay",
    status_code=202,
    summary="Create a new job from an ended one, reusing its finished work",
    responses=document_created("JobView"),
    openapi_extra=document_submission(
        Replay, {"fromStep": "pictures", "edit": {"style": "watercolour"}}, required=False
    ),
)
async def replay_job(
    job_type: str,
    job_id: str,
    wanted: Annotated[Replay, json_body(Replay, absent=b"{}")],
    submitter: Submitting,
) -> Response:
    """`fromStep` repeats a step and all that follow; `edit` is a merge patch on the payload."""
    try:
        owner, request = await prepare_replay(
            submitter.context.services,
            submitter.context.caller,
            (job_type, job_id),
            wanted,
            submitter.idempotency_key,
        )
    except ValidationError as error:
        raise invalid_model(error, JOB_TYPES[job_type].submission) from None
    return await respond_with_job(submitter, owner, request)
