"""Reading one job: its route's handler, without FastAPI, and the lookup of all routes of a job."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.jobs.queries import find_job
from taskreel.domain.job import Job
from taskreel.domain.record import Record
from taskreel.web.auth import AuthenticatedRequest, authenticate
from taskreel.web.http import JsonResponse, parse_wait_seconds
from taskreel.web.responses import build_job_view


class JobInPath(Record, kw_only=True):
    """The authenticated request for a job, and the seconds that it may wait for the job's end."""

    context: AuthenticatedRequest
    job: Job
    wait_seconds: float


async def find_job_in_path(request: Request) -> JobInPath:
    """Find the job by its id alone or by its type and id.

    Raises NotFoundError unless the caller may see it.
    """
    context = await authenticate(request)
    path = request.path_params
    job = await find_job(context.services, context.caller, path["job_id"], path.get("job_type"))
    wait_seconds = parse_wait_seconds(request.headers.get("prefer"))
    return JobInPath(context=context, job=job, wait_seconds=wait_seconds)


async def read_job(request: Request) -> Response:
    """With `Prefer: wait=N` as soon as the job has ended, within N seconds."""
    found = await find_job_in_path(request)
    services = found.context.services
    job = found.job
    if found.wait_seconds:
        from taskreel.web.wait_for_end import wait_for_end  # of few requests: cold start

        job = await wait_for_end(services, job, found.wait_seconds)
    return JsonResponse(await build_job_view(services, job, found.context.base_url))
