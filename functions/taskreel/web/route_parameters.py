"""FastAPI dependencies of several routers: the services, and bodies read within their limits.

FastAPI spends some 15 µs on each dependency of a request, so there are few. All are coroutines:
FastAPI would run plain functions in threads. A body is read only after its caller's token has been
checked.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import Request
from pydantic import BaseModel

from taskreel.app.services import Services
from taskreel.jobtypes import JOB_TYPES
from taskreel.web.auth import Authenticated
from taskreel.web.http import (
    read_model,
)


async def get_services(request: Request) -> Services:
    """The services that the application was built with, for routes that need no token."""
    services: Services = request.app.state.services
    return services


AppServices = Annotated[Services, Depends(get_services)]


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
