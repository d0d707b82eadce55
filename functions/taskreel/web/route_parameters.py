"""FastAPI dependencies of several routers: caller, services, and bodies read within their limits.

FastAPI spends some 15 µs on each dependency of a request, so there are few. All are coroutines:
FastAPI would run plain functions in threads. A body is read only after its caller's token has been
checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, Query
from fastapi.requests import Request
from pydantic import BaseModel
from pydantic_core import from_json

from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.submission import refuse_unstorable
from taskreel.web.auth import ApiContext, AuthenticatedRequest, authenticate, require_admin
from taskreel.web.http import parse_model, read_body
from taskreel.web.job_lookup import JobInPath, find_job_in_path
from taskreel.web.job_submission import Submitter, parse_submission, read_submitter

Authenticated = Annotated[AuthenticatedRequest, Depends(authenticate)]
Submitting = Annotated[Submitter, Depends(read_submitter)]
RequestedJob = Annotated[JobInPath, Depends(find_job_in_path)]


async def authenticate_admin(context: Authenticated) -> AuthenticatedRequest:
    """The request's context. Raises ForbiddenError unless its caller is an admin."""
    require_admin(context.caller)
    return context


AuthenticatedAdmin = Annotated[AuthenticatedRequest, Depends(authenticate_admin)]


async def get_services(request: Request) -> Services:
    """The services, for routes that need no token."""
    return ApiContext.of(request).services


AppServices = Annotated[Services, Depends(get_services)]

#: Admins may list what all users have.
AllUsers = Annotated[bool, Query(alias="allUsers")]


# ── Bodies ───────────────────────────────────────────────────────────────────────────────────────


#: Find further faults in a body that is wrong already.
FindFaults = Callable[[Mapping[str, Any], Services], list[InvalidError]]


def json_body(
    model: type[BaseModel],
    *,
    absent: bytes = b"",
    has_items: bool = False,
    find_more: FindFaults | None = None,
) -> Any:
    """Depend on the body as `model`; `absent` stands for an empty one.

    Control characters, and what no store can hold, are refused in it, but for a body that
    `has_items`, of which each is judged by itself. Of a body that is refused, `find_more` names the
    faults that the route would find later, so that one answer has all of them.
    """

    async def read_json_body(request: Request, context: Authenticated) -> Any:
        raw = await read_body(request) or absent
        try:
            value = parse_model(raw, model)
        except InvalidError as error:
            body = None if find_more is None else from_json(raw)
            if find_more is None or not isinstance(body, dict):
                raise
            raise InvalidError.join([error, *find_more(body, context.services)]) from None
        if not has_items:
            refuse_unstorable(value)
        return value

    return Depends(read_json_body)


def submission_body(job_type: str) -> Any:
    """Depend on the body as a SubmissionBody of the job type, which is imported on first use."""

    async def read_submission_body(request: Request, _context: Authenticated) -> Any:
        return parse_submission(await read_body(request), JOB_TYPES[job_type])

    return Depends(read_submission_body)
