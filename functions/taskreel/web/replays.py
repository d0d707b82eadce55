"""Replays of jobs."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from taskreel.app.replay import Replay, replay
from taskreel.web.jobs import PROBLEMS, caller_of
from taskreel.web.openapi import body
from taskreel.web.problems import invalid
from taskreel.web.request import answer, idempotency_key, read_model, services_of
from taskreel.web.schemas import JobView
from taskreel.web.views import job_view

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


@router.post(
    "/{job_type}/{job_id}/replay",
    status_code=202,
    summary="A new job from an ended one, keeping what was paid for and done",
    responses={202: {"model": JobView}, **PROBLEMS},
    openapi_extra=body(Replay, {"fromStep": "pictures", "edit": {"style": "watercolour"}}),
)
async def replay_job(request: Request, job_type: str, job_id: str) -> Response:
    """`fromStep` does a pipeline's step and all behind it again; `edit` is a JSON merge patch on the payload."""
    services, caller = services_of(request), await caller_of(request)
    wanted = await read_model(request, Replay, absent=b"{}")
    try:
        new = await replay(services, caller, (job_type, job_id), wanted, key=idempotency_key(request))
    except ValidationError as error:
        raise invalid(error) from None
    view = await job_view(services, new, request.app.state.base_url)
    return answer(view, HTTPStatus.ACCEPTED, {"Location": view["urls"]["self"]})
