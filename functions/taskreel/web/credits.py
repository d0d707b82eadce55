"""The credits API."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from taskreel.app.credits.balances import load_account
from taskreel.app.credits.grants import grant_credits
from taskreel.app.jobs.queries import list_ledger
from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.value import Value
from taskreel.web.auth import require_admin
from taskreel.web.http import answer, read_model, services_of
from taskreel.web.jobs import caller_of
from taskreel.web.openapi import body

router = APIRouter(prefix="/api/credits", tags=["credits"])


class Grant(Value):
    """`{amount, reason?}`."""

    amount: int = Field(ge=1, le=1_000_000_000)
    reason: str | None = Field(default=None, max_length=500)


@router.get("", summary="Your balance", responses={200: {"model": Account}})
async def balance(request: Request) -> Response:
    """Whole credits; granted = available + held + captured."""
    caller = await caller_of(request)
    services = services_of(request)
    account = await load_account(services, services.store, caller.user_id)
    return answer(_account_view(account))


@router.get("/ledger", summary="What moved your balance, newest first")
async def ledger(
    request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 20, cursor: str | None = None
) -> Response:
    """Grants, and one settlement for each round of a job."""
    caller = await caller_of(request)
    page = await list_ledger(services_of(request), caller.user_id, limit=limit, cursor=cursor)
    return answer(
        {"entries": [_entry_view(entry) for entry in page.rows], "nextCursor": page.cursor}
    )


@router.post(
    "/{user_id}/grants",
    status_code=201,
    summary="Give a user credits (admin)",
    openapi_extra=body(Grant),
    responses={201: {"model": Account}},
)
async def grant(request: Request, user_id: str) -> Response:
    """The user's balance after it."""
    caller = await caller_of(request)
    require_admin(caller)
    given = await read_model(request, Grant)
    services = services_of(request)
    account = await grant_credits(
        services, user_id, given.amount, reason=given.reason, granted_by=caller.user_id
    )
    return answer(_account_view(account), HTTPStatus.CREATED)


def _account_view(account: Account) -> dict[str, Any]:
    return account.model_dump(by_alias=True)


def _entry_view(entry: LedgerEntry) -> dict[str, Any]:
    return entry.model_dump(by_alias=True, exclude_none=True)
