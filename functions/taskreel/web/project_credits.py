"""The API of the accounts of projects, which pay the jobs of their members."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response

from taskreel.app.jobs.project_account import (
    grant_to_project,
    list_project_ledger,
    load_project_account,
)
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

    From the first grant on this account pays all new jobs of the project, and its members' accounts
    none of them. With an `Idempotency-Key` header a repeated request grants once.
    """
    check_query(request)
    order = build_grant_order(request, context.caller, grant)
    account = await grant_to_project(context.services, project_id, order)
    now = context.services.clock.now()
    return JsonResponse(build_balance_view(account, now), HTTPStatus.CREATED)


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
