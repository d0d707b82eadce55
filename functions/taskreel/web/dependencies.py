"""FastAPI dependencies: the authenticated request, and bodies read within their limits.

FastAPI spends some 15 µs on each dependency of a request, so there are few. All are coroutines:
FastAPI would run plain functions in threads. A body is read only after its caller's token has been
checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import Request
from pydantic import BaseModel

from taskreel.app.caller import Caller
from taskreel.app.jobs.queries import find_job
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.jobtypes import JOB_TYPES
from taskreel.web.auth import Authenticator, require_admin
from taskreel.web.http import (
    parse_idempotency_key,
    parse_validate_only,
    parse_wait_seconds,
    read_model,
)


async def get_services(request: Request) -> Services:
    """The services that the application was built with, for routes that need no token."""
    services: Services = request.app.state.services
    return services


AppServices = Annotated[Services, Depends(get_services)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedRequest:
    """The services, the caller, and the API's public URL without a slash at the end."""

    services: Services
    caller: Caller
    base_url: str


async def authenticate(request: Request) -> AuthenticatedRequest:
    """The request's context. Raises UnauthenticatedError without a valid token."""
    state = request.app.state
    authenticator: Authenticator = state.authenticator
    caller = await authenticator.authenticate(request.headers.get("authorization"))
    return AuthenticatedRequest(services=state.services, caller=caller, base_url=state.base_url)


Authenticated = Annotated[AuthenticatedRequest, Depends(authenticate)]


async def authenticate_admin(context: Authenticated) -> AuthenticatedRequest:
    """The request's context. Raises ForbiddenError unless its caller is an admin."""
    require_admin(context.caller)
    return context


AuthenticatedAdmin = Annotated[AuthenticatedRequest, Depends(authenticate_admin)]


# ── Bodies ───────────────────────────────────────────────────────────────────────────────────────


def json_body(model: type[BaseModel], *, absent: bytes = b"") -> Any:
    """Depend on the body as `model`; `absent` stands for an empty one."""

    async def read_json_body(request: Request, _context: Authenticated) -> Any:
        return await read_model(request, model, absent=absent)

    return Depends(read_json_body)


def submission_body(job_type: str) -> Any:
    """Depend on the body as a request of the job type, which is imported on first use."""

    async def read_submission_body(request: Request, _context: Authenticated) -> Any:
        return await read_model(request, JOB_TYPES[job_type].submission)

    return Depends(read_submission_body)


# ── What accompanies a new job ───────────────────────────────────────────────────────────────────


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


Submitting = Annotated[Submitter, Depends(read_submitter)]


# ── Jobs in the path ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInPath:
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


RequestedJob = Annotated[JobInPath, Depends(find_job_in_path)]
