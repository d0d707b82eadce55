"""Replays of jobs."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from taskreel.app.jobs.replay import Replay, prepare_replay
from taskreel.domain.validation_messages import invalid_model
from taskreel.jobtypes import JOB_TYPES
from taskreel.web import openapi
from taskreel.web.http import idempotency_key, read_model, services_of
from taskreel.web.jobs import PROBLEMS, caller_of, create
from taskreel.web.schemas import JobView

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


@router.post(
    "/{job_type}/{job_id}/replay",
    status_code=202,
    summary="A new job from an ended one, keeping what was paid for and done",
    responses={202: {"model": JobView}, **PROBLEMS},
    openapi_extra=openapi.submission(
        Replay, {"fromStep": "pictures", "edit": {"style": "watercolour"}}
    ),
)
async def replay_job(request: Request, job_type: str, job_id: str) -> Response:
    """`fromStep` does a pipeline's step and all behind it again; `edit` is a JSON merge patch on the payload."""
    caller = await caller_of(request)
    wanted = await read_model(request, Replay, absent=b"{}")
    try:
        key = idempotency_key(request)
        owner, new = await prepare_replay(
            services_of(request), caller, (job_type, job_id), wanted, key
        )
    except ValidationError as error:
        raise invalid_model(error, JOB_TYPES[job_type].submission) from None
    return await create(request, owner, new)
