"""The credits API."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.credits.balances import load_account
from taskreel.app.credits.grants import check_user_id, grant_credits
from taskreel.app.jobs.queries import list_ledger
from taskreel.domain.credits import Account, EntryKind
from taskreel.domain.value import Value
from taskreel.web.http import JsonResponse, check_query, parse_idempotency_key
from taskreel.web.openapi import ONCE, document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import Authenticated, AuthenticatedAdmin, json_body

router = APIRouter(prefix="/api/credits", tags=["credits"])


class Grant(Value):
    """`{amount, reason?}`."""

    # Strict: `true` or a text is no amount of credits.
    amount: int = Field(ge=1, le=1_000_000_000, strict=True)
    reason: str | None = Field(default=None, max_length=500)


class BalanceView(View):
    """A user's balance, in whole credits: granted = available + held + captured."""

    user_id: str
    available: int
    held: int
    captured: int
    granted: int


def build_balance_view(account: Account) -> BalanceView:
    """The balance as it is sent."""
    return BalanceView(**dict(account))


class LedgerEntryView(View):
    """A grant, or the settlement of a job's hold: `amount` of `held` was captured or released."""

    entry_id: str
    user_id: str
    kind: EntryKind
    amount: int
    held: int
    job_id: str | None = Field(exclude_if=is_absent)
    reason: str | None = Field(exclude_if=is_absent)
    granted_by: str | None = Field(exclude_if=is_absent)
    created_at: datetime


class LedgerPage(View):
    """Ledger entries, newest first; pass `nextCursor` as `cursor` to get the next page."""

    entries: list[LedgerEntryView]
    next_cursor: str | None


@router.get("", summary="Your balance", response_model=BalanceView)
async def read_balance(request: Request, context: Authenticated) -> Response:
    """Whole credits; granted = available + held + captured."""
    check_query(request)
    services = context.services
    account = await load_account(services, services.store, context.caller.user_id)
    return JsonResponse(build_balance_view(account))


@router.get("/ledger", summary="Your ledger, newest first", response_model=LedgerPage)
async def read_ledger(
    request: Request,
    context: Authenticated,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> Response:
    """Grants, and one settlement for each round of a job."""
    check_query(request, "limit", "cursor")
    page = await list_ledger(context.services, context.caller.user_id, limit=limit, cursor=cursor)
    entries = [LedgerEntryView(**dict(entry)) for entry in page.rows]
    return JsonResponse(LedgerPage(entries=entries, next_cursor=page.cursor))


@router.post(
    "/{user_id}/grants",
    status_code=201,
    summary="Grant credits to a user (admin)",
    response_model=BalanceView,
    responses=document_problems("forbidden", "idempotency_key_reused"),
    openapi_extra={**document_body(Grant), **ONCE},
)
async def create_grant(
    request: Request,
    user_id: str,
    context: AuthenticatedAdmin,
    grant: Annotated[Grant, json_body(Grant)],
) -> Response:
    """The user's balance after the grant.

    With an `Idempotency-Key` header a repeated request grants once.
    """
    check_query(request)
    account = await grant_credits(
        context.services,
        user_id,
        grant.amount,
        reason=grant.reason,
        granted_by=context.caller.user_id,
        idempotency_key=parse_idempotency_key(request.headers.get("idempotency-key")),
    )
    return JsonResponse(build_balance_view(account), HTTPStatus.CREATED)


@router.get(
    "/{user_id}",
    summary="A user's balance (admin)",
    response_model=BalanceView,
    responses=document_problems("forbidden"),
)
async def read_balance_of(request: Request, user_id: str, context: AuthenticatedAdmin) -> Response:
    """Whole credits; a user who has never submitted has the initial grant."""
    check_query(request)
    check_user_id(user_id)
    account = await load_account(context.services, context.services.store, user_id)
    return JsonResponse(build_balance_view(account))
