"""The API of the result cache, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from taskreel.app.jobs.purge_cache import purge_cache
from taskreel.domain.value import Value
from taskreel.jobtypes.submission import refuse_unstorable
from taskreel.web.http import JsonResponse
from taskreel.web.job_reads import JobTypeName
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View
from taskreel.web.route_parameters import AuthenticatedAdmin

router = APIRouter(prefix="/api/cache", tags=["queues"])


class PurgeQuery(Value):
    """The jobs that are meant: of a type, of a user, or without either all."""

    model_config = ConfigDict(defer_build=False)  # FastAPI builds none of its own

    job_type: JobTypeName | None = None
    user_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    reason: str = Field(default="", max_length=500)


class PurgedView(View):
    """Jobs that were made until `purgedAt` answer no request any more."""

    job_type: str | None
    user_id: str | None
    purged_at: datetime


@router.delete(
    "",
    summary="Purge the result cache (admin)",
    response_model=PurgedView,
    responses=document_problems("forbidden", "not_found"),
)
async def purge_result_cache(
    wanted: Annotated[PurgeQuery, Query()], context: AuthenticatedAdmin
) -> Response:
    """Requests with `cacheSeconds` are made anew from now on; what they make answers later ones.

    The jobs and their files stay. It takes effect at once, however many they are, and is recorded
    in the audit log.
    """
    refuse_unstorable(wanted)
    purged_at = await purge_cache(
        context.services,
        context.caller,
        job_type=wanted.job_type,
        user_id=wanted.user_id,
        reason=wanted.reason,
    )
    view = PurgedView(job_type=wanted.job_type, user_id=wanted.user_id, purged_at=purged_at)
    return JsonResponse(view)
