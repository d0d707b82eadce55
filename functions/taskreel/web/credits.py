"""The credits API."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account
from taskreel.app.credits.grants import GrantOrder, check_user_id, grant_credits
from taskreel.app.jobs.queries import Page, list_ledger
from taskreel.domain.credits import Account, CreditGrant, EntryKind, LedgerEntry
from taskreel.domain.grants import DEFAULT_PRIORITY, expire_grants
from taskreel.domain.value import Value
from taskreel.jobtypes.fields import Moment
from taskreel.web.http import JsonResponse, check_query, parse_idempotency_key
from taskreel.web.openapi import ONCE, document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import Authenticated, AuthenticatedAdmin, json_body

router = APIRouter(prefix="/api/credits", tags=["credits"])


class Grant(Value):
    """`{amount, reason?, priority?, expiresAt?}`.

    Credits of a smaller priority are spent first, then those that expire first, then the oldest.
    """

    # Strict: `true` or a text is no amount of credits.
    amount: int = Field(ge=1, le=1_000_000_000, strict=True)
    reason: str | None = Field(default=None, max_length=500)
    priority: int = Field(default=DEFAULT_PRIORITY, ge=1, le=100, strict=True)
    expires_at: Moment | None = None


def build_grant_order(request: Request, giver: Caller, grant: Grant) -> GrantOrder:
    """The grant of a request, with its Idempotency-Key."""
    return GrantOrder(
        amount=grant.amount,
        reason=grant.reason,
        granted_by=giver.user_id,
        priority=grant.priority,
        expires_at=grant.expires_at,
        idempotency_key=parse_idempotency_key(request.headers.get("idempotency-key")),
    )


class GrantView(View):
    """A grant with a priority or an end of its own: what remains of it and what jobs hold of it."""

    grant_id: str
    amount: int
    left: int
    held: int
    priority: int
    expires_at: datetime | None
    created_at: datetime


class BalanceView(View):
    """A user's balance, in whole credits: granted = available + held + captured + expired.

    `expired` and `grants` are absent from an account of which nothing has expired, and that has no
    open grant with a priority or an end of its own.
    """

    user_id: str
    available: int
    held: int
    captured: int
    granted: int
    expired: int | None = Field(default=None, exclude_if=is_absent)
    grants: list[GrantView] | None = Field(default=None, exclude_if=is_absent)


def build_balance_view(account: Account, now: datetime) -> BalanceView:
    """The balance at `now`, also where the sweep has not come to a grant that has ended."""
    account, _ = expire_grants(account, now)
    return BalanceView(
        user_id=account.user_id,
        available=account.available,
        held=account.held,
        captured=account.captured,
        granted=account.granted,
        expired=account.expired or None,
        grants=[_build_grant_view(account, grant) for grant in account.grants] or None,
    )


def _build_grant_view(account: Account, grant: CreditGrant) -> GrantView:
    left, held = account.count_grant(grant)
    return GrantView(**dict(grant), left=left, held=held)


class LedgerEntryView(View):
    """A grant, the settlement of a job's hold, or what has expired of a grant.

    Of a settlement `amount` of `held` was captured or released; an expiry's `reason` is its grant's
    entry, or its `jobId` the job that released credits of a grant that had ended.
    """

    entry_id: str
    user_id: str
    kind: EntryKind
    amount: int
    held: int
    job_id: str | None = Field(exclude_if=is_absent)
    reason: str | None = Field(exclude_if=is_absent)
    granted_by: str | None = Field(exclude_if=is_absent)
    priority: int | None = Field(exclude_if=is_absent)
    expires_at: datetime | None = Field(exclude_if=is_absent)
    created_at: datetime


class LedgerPage(View):
    """Ledger entries, newest first; pass `nextCursor` as `cursor` to get the next page."""

    entries: list[LedgerEntryView]
    next_cursor: str | None


def build_ledger_page(page: Page[LedgerEntry]) -> LedgerPage:
    """The entries as they are sent."""
    entries = [LedgerEntryView(**dict(entry)) for entry in page.rows]
    return LedgerPage(entries=entries, next_cursor=page.cursor)


@router.get("", summary="Your balance", response_model=BalanceView)
async def read_balance(request: Request, context: Authenticated) -> Response:
    """Whole credits; granted = available + held + captured + expired."""
    check_query(request)
    services = context.services
    account = await load_account(services, context.caller.user_id)
    return JsonResponse(build_balance_view(account, services.clock.now()))


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
    return JsonResponse(build_ledger_page(page))


@router.post(
    "/{user_id}/grants",
    status_code=201,
    summary="Grant credits to a user (admin)",
    response_model=BalanceView,
    responses=document_problems("forbidden", "conflict", "idempotency_key_reused"),
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
        build_grant_order(request, context.caller, grant),
    )
    now = context.services.clock.now()
    return JsonResponse(build_balance_view(account, now), HTTPStatus.CREATED)


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
    account = await load_account(context.services, user_id)
    return JsonResponse(build_balance_view(account, context.services.clock.now()))
