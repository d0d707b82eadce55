"""The API of the API keys of projects."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.projects import api_keys as use_cases
from taskreel.domain.ids import project_key_user_id
from taskreel.domain.project_key import ProjectKey
from taskreel.domain.project_role import MemberRole
from taskreel.domain.value import Value
from taskreel.jobtypes.fields import Moment
from taskreel.web.http import JsonResponse, View, check_query
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import Authenticated, json_body

router = APIRouter(prefix="/api/projects/{project_id}/keys", tags=["projects"])

_PROBLEMS = document_problems("forbidden", "not_found")
_MOST_SECONDS = int(use_cases.LONGEST_OVERLAP.total_seconds())


class NewKeyOrder(Value):
    """A viewer's key reads the project's jobs, an editor's submits and changes, an admin's deletes.

    Without `expiresAt` it is valid until it is revoked. `tier` is for admins of the deployment: a
    key has that of the token that creates it.
    """

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
    role: MemberRole = MemberRole.EDITOR
    expires_at: Moment | None = None
    tier: str | None = Field(default=None, min_length=1, max_length=64)


class RotationOrder(Value):
    """The time for which the previous token is accepted beside the new one."""

    overlap_seconds: int = Field(default=0, ge=0, le=_MOST_SECONDS, strict=True)


class KeyView(View):
    """An API key of a project, without its token. Its jobs have `userId` as their user."""

    key_id: str
    name: str
    role: str
    tier: str
    user_id: str
    created_by: str
    created_at: datetime
    #: Null is never.
    expires_at: datetime | None
    #: The time until which the token before the last rotation is accepted; null if it is not.
    previous_until: datetime | None


class IssuedKeyView(KeyView):
    """A key and its token, which is shown this once: the API stores only its hash."""

    token: str


class KeyList(View):
    """The keys of a project, in order of their creation; expired ones until they are revoked."""

    keys: list[KeyView]


def build_key_view(project_id: str, key: ProjectKey, now: datetime) -> KeyView:
    """The view of a key, which has nothing of its token."""
    until = key.previous_until
    return KeyView(
        key_id=key.key_id,
        name=key.name,
        role=str(key.role),
        tier=key.tier,
        user_id=project_key_user_id(project_id, key.key_id),
        created_by=key.created_by,
        created_at=key.created_at,
        expires_at=key.expires_at,
        previous_until=until if until is not None and now < until else None,
    )


def build_issued_view(project_id: str, issued: use_cases.IssuedKey, now: datetime) -> IssuedKeyView:
    """The view of a key with its token, for the one answer that has it."""
    shown = build_key_view(project_id, issued.key, now)
    return IssuedKeyView(**dict(shown), token=issued.token)


@router.post(
    "",
    status_code=201,
    summary="Create an API key of a project",
    response_model=IssuedKeyView,
    responses=document_problems("conflict", "forbidden", "not_found"),
    openapi_extra=document_body(NewKeyOrder, {"name": "render server", "role": "editor"}),
)
async def create_key(
    request: Request,
    project_id: str,
    context: Authenticated,
    order: Annotated[NewKeyOrder, json_body(NewKeyOrder)],
) -> Response:
    """By an admin of the project. Send `token` as `Authorization: Bearer …`; it is shown this once.

    The key acts in this project alone, and its jobs are this project's without naming it. It has no
    credits: the project must have its own. Recorded in the audit log.
    """
    check_query(request)
    services = context.services
    new = use_cases.NewKey(
        name=order.name, role=order.role, expires_at=order.expires_at, tier=order.tier
    )
    issued = await use_cases.create_key(services, context.caller, project_id, new)
    view = build_issued_view(project_id, issued, services.clock.now())
    return JsonResponse(view, HTTPStatus.CREATED)


@router.get("", summary="The API keys of a project", response_model=KeyList, responses=_PROBLEMS)
async def list_keys(request: Request, project_id: str, context: Authenticated) -> Response:
    """For admins of the project. Nothing shows a token again."""
    check_query(request)
    services = context.services
    keys = await use_cases.list_keys(services, context.caller, project_id)
    now = services.clock.now()
    return JsonResponse(KeyList(keys=[build_key_view(project_id, key, now) for key in keys]))


@router.post(
    "/{key_id}/rotate",
    summary="Give an API key another token",
    response_model=IssuedKeyView,
    responses=_PROBLEMS,
    openapi_extra=document_body(RotationOrder, {"overlapSeconds": 3600}, required=False),
)
async def rotate_key(
    request: Request,
    project_id: str,
    key_id: str,
    context: Authenticated,
    order: Annotated[RotationOrder, json_body(RotationOrder, absent=b"{}")],
) -> Response:
    """By an admin of the project. The key stays the same user, with its jobs and schedules.

    The previous token ends at once, or after `overlapSeconds`, at most 7 days.
    """
    check_query(request)
    services = context.services
    overlap = timedelta(seconds=order.overlap_seconds)
    issued = await use_cases.rotate_key(services, context.caller, project_id, key_id, overlap)
    return JsonResponse(build_issued_view(project_id, issued, services.clock.now()))


@router.delete(
    "/{key_id}",
    summary="Revoke an API key of a project",
    status_code=HTTPStatus.NO_CONTENT,
    responses=_PROBLEMS,
)
async def revoke_key(
    request: Request, project_id: str, key_id: str, context: Authenticated
) -> Response:
    """By an admin of the project. It submits nothing from then on; reads end within 10 seconds.

    Its jobs go on. Its recurring jobs are paused at their next time: admins may take them over.
    """
    check_query(request)
    await use_cases.revoke_key(context.services, context.caller, project_id, key_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)
