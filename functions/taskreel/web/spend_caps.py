"""The API of spend caps: limits on the credits of a day and of a month."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.credits.balances import load_account
from taskreel.app.credits.grants import check_user_id
from taskreel.app.credits.spend_caps import set_spend_caps
from taskreel.domain.credits import Account, SpendCap
from taskreel.domain.value import Value
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View
from taskreel.web.route_parameters import Authenticated, AuthenticatedAdmin, json_body

router = APIRouter(prefix="/api/credits", tags=["credits"])

_CREDITS = Field(default=None, ge=0, le=1_000_000_000_000, strict=True)


class SpendCapsOrder(Value):
    """The caps of a user or a project, in credits; null or absent is no cap. It replaces both."""

    daily: Annotated[int | None, _CREDITS] = None
    monthly: Annotated[int | None, _CREDITS] = None
    reason: str = Field(default="", max_length=500)


class SpendCapView(View):
    """The credits of a period: its cap, null without one, and what is held and captured of it.

    A hold counts in the period in which it was made, and what is released of it goes back there.
    """

    period: str
    limit: int | None
    spent: int
    remaining: int | None
    resets_at: datetime


class SpendCapsView(View):
    """A user's spend and its caps; days and months begin at midnight, UTC."""

    user_id: str
    time_zone: Literal["UTC"] = "UTC"
    daily: SpendCapView
    monthly: SpendCapView


def build_spend_caps_view(account: Account, now: datetime) -> SpendCapsView:
    """The caps and the spend of the periods at `now`."""
    daily, monthly = account.find_caps(now)
    return SpendCapsView(
        user_id=account.user_id, daily=build_cap_view(daily), monthly=build_cap_view(monthly)
    )


def build_cap_view(cap: SpendCap) -> SpendCapView:
    """A cap, and what is spent of it."""
    return SpendCapView(
        period=cap.period,
        limit=cap.limit,
        spent=cap.spent,
        remaining=cap.remaining,
        resets_at=cap.resets_at,
    )


@router.get("/caps", summary="Your spend and its caps", response_model=SpendCapsView)
async def read_own_caps(request: Request, context: Authenticated) -> Response:
    """A job whose cost a cap does not leave is refused with `spend_cap_reached`."""
    check_query(request)
    services = context.services
    account = await load_account(services, context.caller.user_id)
    return JsonResponse(build_spend_caps_view(account, services.clock.now()))


@router.get(
    "/{user_id}/caps",
    summary="A user's spend and its caps (admin)",
    response_model=SpendCapsView,
    responses=document_problems("forbidden"),
)
async def read_caps_of(request: Request, user_id: str, context: AuthenticatedAdmin) -> Response:
    """The spend is counted whether the user has caps or not."""
    check_query(request)
    check_user_id(user_id)
    services = context.services
    account = await load_account(services, user_id)
    return JsonResponse(build_spend_caps_view(account, services.clock.now()))


@router.put(
    "/{user_id}/caps",
    summary="Cap a user's spend (admin)",
    response_model=SpendCapsView,
    responses=document_problems("forbidden", "conflict"),
    openapi_extra=document_body(
        SpendCapsOrder, {"daily": 500, "monthly": 5000, "reason": "A trial"}
    ),
)
async def put_caps_of(
    request: Request,
    user_id: str,
    context: AuthenticatedAdmin,
    order: Annotated[SpendCapsOrder, json_body(SpendCapsOrder)],
) -> Response:
    """Set a user's caps. Spend of the period so far counts; running jobs are not stopped.

    At 80 % the user's webhook endpoints that list `credits.spend_alert` get it, once a period.
    Recorded in the audit log.
    """
    check_query(request)
    services = context.services
    account = await set_spend_caps(
        services,
        context.caller,
        user_id,
        daily=order.daily,
        monthly=order.monthly,
        reason=order.reason,
    )
    return JsonResponse(build_spend_caps_view(account, services.clock.now()))
