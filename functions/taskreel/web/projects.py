"""The API of projects: members, roles, and caps on what their jobs may spend."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.caller import Caller
from taskreel.app.jobs.limit_project import limit_project
from taskreel.app.projects import members as use_cases
from taskreel.app.projects.rights import join
from taskreel.app.services import Services
from taskreel.domain.credits import SpendCap
from taskreel.domain.errors import InvalidError
from taskreel.domain.project import Project, ProjectMember, is_project_id
from taskreel.domain.project_role import MemberRole
from taskreel.domain.value import Value
from taskreel.web.auth import require_admin
from taskreel.web.http import JsonResponse, View, check_query, is_absent
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import AllUsers, Authenticated, json_body
from taskreel.web.spend_caps import SpendCapsOrder, SpendCapView, build_cap_view

router = APIRouter(prefix="/api/projects", tags=["projects"])

_NAME = Field(min_length=1, max_length=200, pattern=r"\S")
_PROBLEMS = document_problems("forbidden", "not_found")


class NewProject(Value):
    """A project; `projectId` and `ownerId` are for admins."""

    name: Annotated[str, _NAME]
    project_id: str | None = Field(default=None, min_length=1, max_length=128)
    owner_id: str | None = Field(default=None, min_length=1, max_length=256)


class MemberOrder(Value):
    """A viewer reads all members' jobs, an editor also submits and changes, an admin deletes."""

    role: MemberRole


class OwnerOrder(Value):
    """The member who is to own the project."""

    owner_id: str = Field(min_length=1, max_length=256)


class ProjectLimitsOrder(Value):
    """The limits of a project; null or absent is none. It replaces both."""

    active_jobs: int | None = Field(default=None, ge=1, le=1_000_000, strict=True)
    credits: int | None = Field(default=None, ge=0, le=1_000_000_000_000, strict=True)
    reason: str = Field(default="", max_length=500)


class MemberView(View):
    """A member, and since when they have the role."""

    user_id: str
    role: str
    since: datetime

    @classmethod
    def of(cls, member: ProjectMember) -> MemberView:
        """The view of a member."""
        return cls(user_id=member.user_id, role=str(member.role), since=member.since)


class TotalCapView(View):
    """The credits of all its jobs: the limit, null without one, and what is held and captured."""

    limit: int | None
    spent: int
    remaining: int | None

    @classmethod
    def of(cls, cap: SpendCap) -> TotalCapView:
        """The view of the cap on all that is spent."""
        return cls(limit=cap.limit, spent=cap.spent, remaining=cap.remaining)


class ProjectView(View):
    """A project with its members. `role` is yours; an admin of the deployment may have none."""

    project_id: str
    name: str
    owner_id: str
    role: str | None
    members: list[MemberView]
    daily: SpendCapView
    monthly: SpendCapView
    total: TotalCapView
    #: The most jobs under way at a time; null is no limit of its own.
    active_jobs: int | None
    #: True where the project's own account pays its jobs, from the first grant to it on.
    has_account: bool
    created_at: datetime
    updated_at: datetime


class ProjectList(View):
    """The projects of which you are a member, by name; an admin's `allUsers` has them by id.

    Of `allUsers`, pass `nextCursor` as `cursor` to get the next page; it is absent behind the last.
    """

    projects: list[ProjectView]
    next_cursor: str | None = Field(default=None, exclude_if=is_absent)


def build_project_view(caller: Caller, project: Project, now: datetime) -> ProjectView:
    """The project as the caller sees it."""
    role = join(caller, project, now).find_role(project.project_id)
    daily, monthly = project.find_caps(now)
    return ProjectView(
        project_id=project.project_id,
        name=project.name,
        owner_id=project.owner_id,
        role=None if role is None else role.name.lower(),
        members=[MemberView.of(member) for member in project.members],
        daily=build_cap_view(daily),
        monthly=build_cap_view(monthly),
        total=TotalCapView.of(project.total),
        active_jobs=project.active_jobs,
        has_account=project.has_account,
        created_at=project.created_at,
        updated_at=project.updated_at,
    )


def _respond(
    services: Services, caller: Caller, project: Project, status: HTTPStatus = HTTPStatus.OK
) -> JsonResponse:
    return JsonResponse(build_project_view(caller, project, services.clock.now()), status)


@router.post(
    "",
    status_code=201,
    summary="Create a project",
    response_model=ProjectView,
    responses=document_problems("conflict", "forbidden"),
    openapi_extra=document_body(NewProject, {"name": "The lighthouse film"}),
)
async def create_project(
    request: Request,
    context: Authenticated,
    order: Annotated[NewProject, json_body(NewProject)],
) -> Response:
    """You own it. Jobs that name its `projectId` are from then on for its editors alone."""
    check_query(request)
    project = await use_cases.create_project(
        context.services,
        context.caller,
        order.name,
        project_id=order.project_id,
        owner_id=order.owner_id,
    )
    return _respond(context.services, context.caller, project, HTTPStatus.CREATED)


@router.get(
    "",
    summary="Your projects",
    response_model=ProjectList,
    responses=document_problems("forbidden"),
)
async def list_projects(
    request: Request,
    context: Authenticated,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=128)] = None,
    *,
    all_users: AllUsers = False,
) -> Response:
    """Those that have you as a member; a role by your token alone lists none.

    An admin's `?allUsers=true` lists everybody's, in pages of `limit`.
    """
    check_query(request, "allUsers", "limit", "cursor")
    services, caller, more = context.services, context.caller, None
    if all_users:
        require_admin(caller)
        if cursor is not None and not is_project_id(cursor):
            raise InvalidError.at("cursor", "invalid cursor: use nextCursor from the previous page")
        found, more = await use_cases.list_all_projects(services, limit=limit, after=cursor)
    else:
        found = await use_cases.list_projects(services, caller)
    now = services.clock.now()
    views = [build_project_view(caller, project, now) for project in found]
    return JsonResponse(ProjectList(projects=views, next_cursor=more))


@router.get("/{project_id}", summary="A project", response_model=ProjectView, responses=_PROBLEMS)
async def read_project(request: Request, project_id: str, context: Authenticated) -> Response:
    """Its members, its caps and what is spent, for its members and admins."""
    check_query(request)
    project = await use_cases.find_project(context.services, context.caller, project_id)
    return _respond(context.services, context.caller, project)


@router.put(
    "/{project_id}/members/{user_id}",
    summary="Add a member, or change their role",
    response_model=ProjectView,
    responses=document_problems("conflict", "forbidden", "not_found"),
    openapi_extra=document_body(MemberOrder, {"role": "editor"}),
)
async def put_member(
    request: Request,
    project_id: str,
    user_id: str,
    context: Authenticated,
    order: Annotated[MemberOrder, json_body(MemberOrder)],
) -> Response:
    """By an admin of the project; it holds from the next request on. Recorded in the audit log."""
    check_query(request)
    project = await use_cases.set_member(
        context.services, context.caller, project_id, user_id, order.role
    )
    return _respond(context.services, context.caller, project)


@router.delete(
    "/{project_id}/members/{user_id}",
    summary="Remove a member, or leave",
    status_code=204,
    responses=document_problems("conflict", "forbidden", "not_found"),
)
async def delete_member(
    request: Request, project_id: str, user_id: str, context: Authenticated
) -> Response:
    """By an admin of the project, or by the member. Their own jobs stay theirs."""
    check_query(request)
    await use_cases.remove_member(context.services, context.caller, project_id, user_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.put(
    "/{project_id}/owner",
    summary="Make another member the owner",
    response_model=ProjectView,
    responses=_PROBLEMS,
    openapi_extra=document_body(OwnerOrder, {"ownerId": "user-42"}),
)
async def put_owner(
    request: Request,
    project_id: str,
    context: Authenticated,
    order: Annotated[OwnerOrder, json_body(OwnerOrder)],
) -> Response:
    """By the owner, who stays an admin of it. Recorded in the audit log.

    Once the owner has been erased (`ownerId` begins with `erased-`), by any admin of the project.
    """
    check_query(request)
    project = await use_cases.set_owner(
        context.services, context.caller, project_id, order.owner_id
    )
    return _respond(context.services, context.caller, project)


@router.put(
    "/{project_id}/caps",
    summary="Cap the spend of a project",
    response_model=ProjectView,
    responses=_PROBLEMS,
    openapi_extra=document_body(SpendCapsOrder, {"daily": 500, "monthly": 5000}),
)
async def put_caps(
    request: Request,
    project_id: str,
    context: Authenticated,
    order: Annotated[SpendCapsOrder, json_body(SpendCapsOrder)],
) -> Response:
    """By an admin of the project. Who pays its jobs stays the same: its account, or its members.

    A job above a cap is refused with `spend_cap_reached`. At 80 % the owner's webhook endpoints
    that list `credits.spend_alert` get it, once a period.
    """
    check_query(request)
    project = await use_cases.set_project_caps(
        context.services,
        context.caller,
        project_id,
        daily=order.daily,
        monthly=order.monthly,
        reason=order.reason,
    )
    return _respond(context.services, context.caller, project)


@router.put(
    "/{project_id}/limits",
    summary="Limit a project's jobs at a time, and its credits in all",
    response_model=ProjectView,
    responses=_PROBLEMS,
    openapi_extra=document_body(ProjectLimitsOrder, {"activeJobs": 20, "credits": 5000}),
)
async def put_limits(
    request: Request,
    project_id: str,
    context: Authenticated,
    order: Annotated[ProjectLimitsOrder, json_body(ProjectLimitsOrder)],
) -> Response:
    """By an admin of the project.

    Jobs over `activeJobs` are accepted and wait as `THROTTLED`; it counts those that are submitted
    from now on, a pipeline as one. A job for which `credits` do not suffice is refused with
    `spend_cap_reached`; its `cap` is `total`.
    """
    check_query(request)
    project = await limit_project(
        context.services,
        context.caller,
        project_id,
        active_jobs=order.active_jobs,
        total=order.credits,
        reason=order.reason,
    )
    return _respond(context.services, context.caller, project)
