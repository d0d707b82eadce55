"""The API of the accounts of projects, which pay the jobs of their members."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.jobs.project_account import (
    grant_to_project,
    list_project_ledger,
    load_project_account,
    set_payer,
)
from taskreel.domain.value import Value
from taskreel.web.credits import (
    BalanceView,
    Grant,
    LedgerPage,
    build_balance_view,
    build_grant_order,
    build_ledger_page,
)
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.openapi import ONCE, document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.projects import ProjectView, build_project_view
from taskreel.web.route_parameters import Authenticated, AuthenticatedAdmin, json_body

router = APIRouter(prefix="/api/projects", tags=["projects"])


@router.post(
    "/{project_id}/grants",
    status_code=201,
    summary="Grant credits to a project (admin)",
    response_model=BalanceView,
    responses=document_problems("forbidden", "conflict", "not_found", "idempotency_key_reused"),
    openapi_extra={**document_body(Grant), **ONCE},
)
async def create_project_grant(
    request: Request,
    project_id: str,
    context: AuthenticatedAdmin,
    grant: Annotated[Grant, json_body(Grant)],
) -> Response:
    """The balance of the project's account after the grant.

    From then on this account pays all new jobs of the project, and its members' accounts none of
    them. With an `Idempotency-Key` header a repeated request grants once.
    """
    check_query(request)
    order = build_grant_order(request, context.caller, grant)
    account = await grant_to_project(context.services, project_id, order)
    now = context.services.clock.now()
    return JsonResponse(build_balance_view(account, now), HTTPStatus.CREATED)


class PayerOrder(Value):
    """The payer of the project's new jobs: its own account, or the members, each of theirs."""

    payer: Literal["project", "members"]
    reason: str = Field(default="", max_length=500)


@router.put(
    "/{project_id}/payer",
    summary="Choose who pays a project's jobs (admin)",
    response_model=ProjectView,
    responses=document_problems("forbidden", "conflict", "not_found"),
    openapi_extra=document_body(PayerOrder, {"payer": "members", "reason": "the pilot is over"}),
)
async def put_payer(
    request: Request,
    project_id: str,
    context: AuthenticatedAdmin,
    order: Annotated[PayerOrder, json_body(PayerOrder)],
) -> Response:
    """For the jobs and retries from then on; what is held is settled where it is held.

    The credits of the project stay in its account, which pays again after another grant, or after
    `{"payer": "project"}`. Recorded in the audit log.
    """
    check_query(request)
    services, caller = context.services, context.caller
    pays = order.payer == "project"
    project = await set_payer(services, caller, project_id, pays=pays, reason=order.reason)
    return JsonResponse(build_project_view(caller, project, services.clock.now()))


@router.get(
    "/{project_id}/credits",
    summary="The balance of a project",
    response_model=BalanceView,
    responses=document_problems("not_found"),
)
async def read_project_balance(
    request: Request, project_id: str, context: Authenticated
) -> Response:
    """For its members; `userId` is `project:` and its id. All is 0 while members pay their own."""
    check_query(request)
    account = await load_project_account(context.services, context.caller, project_id)
    return JsonResponse(build_balance_view(account, context.services.clock.now()))


@router.get(
    "/{project_id}/ledger",
    summary="The ledger of a project, newest first",
    response_model=LedgerPage,
    responses=document_problems("not_found"),
)
async def read_project_ledger(
    request: Request,
    project_id: str,
    context: Authenticated,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> Response:
    """For its members: grants to it, and one settlement for each round of a job that it pays."""
    check_query(request, "limit", "cursor")
    page = await list_project_ledger(
        context.services, context.caller, project_id, limit=limit, cursor=cursor
    )
    return JsonResponse(build_ledger_page(page))
