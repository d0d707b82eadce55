"""FastAPI dependencies: the services, the caller, and request bodies read within their limits.

All are coroutines: FastAPI would run plain functions in threads. A body is read only after its
caller's token has been checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Query
from fastapi.requests import Request
from fastapi.security import HTTPBearer
from pydantic import BaseModel, BeforeValidator
from pydantic_core import from_json

from taskreel.app.caller import Caller
from taskreel.app.jobs.dependencies import refers_to_jobs
from taskreel.app.jobs.queries import find_job
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError
from taskreel.domain.job import Job
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import DeferredSubmission, JobType, Submission
from taskreel.web.auth import Authenticator, require_admin
from taskreel.web.http import (
    check_query,
    parse_idempotency_key,
    parse_model,
    parse_wait_seconds,
    read_body,
    read_model,
)

PREFER = Header(
    alias="Prefer",
    description="`wait=N`: wait up to N seconds, at most 60, for the job's end.",
    examples=["wait=30"],
)
#: Documents the scheme; Authenticator reads the header itself, and says what is wrong with it.
_BEARER = HTTPBearer(scheme_name="token", bearerFormat="JWT", auto_error=False)


async def get_services(request: Request) -> Services:
    """The services that the application was built with."""
    services: Services = request.app.state.services
    return services


async def get_base_url(request: Request) -> str:
    """The API's public URL, without a slash at the end."""
    base_url: str = request.app.state.base_url
    return base_url


async def authenticate(request: Request, _: Annotated[Any, Depends(_BEARER)]) -> Caller:
    """The caller. Raises UnauthenticatedError without a valid token."""
    authenticator: Authenticator = request.app.state.authenticator
    return await authenticator.authenticate(request.headers.get("authorization"))


AppServices = Annotated[Services, Depends(get_services)]
BaseUrl = Annotated[str, Depends(get_base_url)]
Authenticated = Annotated[Caller, Depends(authenticate)]


async def authenticate_admin(caller: Authenticated) -> Caller:
    """The caller. Raises ForbiddenError unless it is an admin."""
    require_admin(caller)
    return caller


Admin = Annotated[Caller, Depends(authenticate_admin)]


# ── Bodies ───────────────────────────────────────────────────────────────────────────────────────


def json_body(model: type[BaseModel], *, absent: bytes = b"") -> Any:
    """Depend on the body as `model`; `absent` stands for an empty one."""

    async def read_json_body(request: Request, _caller: Authenticated) -> Any:
        return await read_model(request, model, absent=absent)

    return Depends(read_json_body)


def submission_body(job_type: str) -> Any:
    """Depend on the body as a request of the job type, which is imported on first use."""

    async def read_submission_body(request: Request, _caller: Authenticated) -> Any:
        return await read_model(request, JOB_TYPES[job_type].submission)

    return Depends(read_submission_body)


async def get_job_type(job_type: str) -> JobType[Any]:
    """The job type in the path. Raises NotFoundError, with the known ones."""
    if job_type not in JOB_TYPES:
        raise NotFoundError(
            f"There is no job type {job_type!r}. There are: {', '.join(JOB_TYPES)}.",
            jobTypes=list(JOB_TYPES),
        )
    return JOB_TYPES[job_type]


KnownJobType = Annotated[JobType[Any], Depends(get_job_type)]


async def read_submission(
    request: Request, job_type: KnownJobType, _caller: Authenticated
) -> Submission:
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


SubmittedBody = Annotated[Submission, Depends(read_submission)]


# ── What accompanies a new job ───────────────────────────────────────────────────────────────────


def _true_or_false(given: Any) -> Any:
    if str(given).lower() not in {"true", "1", "false", "0"}:
        raise ValueError("must be true or false")
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """The caller of a request that creates a job, with its headers and query parameters."""

    caller: Caller
    services: Services
    base_url: str
    idempotency_key: str | None
    wait_seconds: float
    validate_only: bool


async def read_submitter(  # noqa: PLR0913 - FastAPI documents each of them
    *,
    request: Request,
    caller: Authenticated,
    services: AppServices,
    base_url: BaseUrl,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="A repeated request gets the job of the first one.",
            json_schema_extra={"maxLength": 255},
        ),
    ] = None,
    prefer: Annotated[str | None, PREFER] = None,
    validate_only: Annotated[
        bool, BeforeValidator(_true_or_false), Query(alias="validateOnly")
    ] = False,
) -> Submitter:
    """Read them strictly: a misspelled `validateOnly` must not create a job."""
    check_query(request, "validateOnly")
    return Submitter(
        caller=caller,
        services=services,
        base_url=base_url,
        idempotency_key=parse_idempotency_key(idempotency_key),
        wait_seconds=parse_wait_seconds(prefer or ""),
        validate_only=validate_only,
    )


Submitting = Annotated[Submitter, Depends(read_submitter)]


async def read_wait_seconds(prefer: Annotated[str | None, PREFER] = None) -> float:
    """The seconds that the caller is ready to wait for the job's end."""
    return parse_wait_seconds(prefer or "")


WaitSeconds = Annotated[float, Depends(read_wait_seconds)]


# ── Jobs in the path ─────────────────────────────────────────────────────────────────────────────


async def get_job(job_id: str, services: AppServices, caller: Authenticated) -> Job:
    """The job of the id. Raises NotFoundError unless the caller may see it."""
    return await find_job(services, caller, job_id)


async def get_job_of_type(
    job_type: str, job_id: str, services: AppServices, caller: Authenticated
) -> Job:
    """The job of the type and id. Raises NotFoundError unless the caller may see it."""
    return await find_job(services, caller, job_id, job_type)
