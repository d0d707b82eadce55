"""The API of all users' accounts, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.credits.accounts import AccountSums, list_accounts, sum_accounts
from taskreel.app.flow.slots import active_limit
from taskreel.domain.credits import Account
from taskreel.domain.errors import InvalidError
from taskreel.domain.flow_limits import FlowLimits
from taskreel.domain.ids import MOST_SHARDS, is_account_id
from taskreel.domain.value import Value
from taskreel.web.http import JsonResponse, View, check_query
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import AuthenticatedAdmin, json_body

router = APIRouter(prefix="/api/accounts", tags=["accounts"])


class AccountView(View):
    """A user: the tier of the last token, the balance, and the jobs that run and wait now.

    `activeJobs` is the limit on jobs that run, null where there are no limits; `isOwn` tells that
    an administrator has set it for this user. `shards` is the number of documents that the
    account's new jobs are divided among, and `documents` that of all; both are 1 in nearly all.
    """

    user_id: str
    tier: str | None
    available: int
    held: int
    captured: int
    granted: int
    expired: int
    active: int
    waiting: int
    active_jobs: int | None
    is_own: bool
    shards: int
    documents: int


class AccountShardsOrder(Value):
    """`{shards, reason}`."""

    shards: int = Field(ge=1, le=MOST_SHARDS, strict=True)
    reason: str = Field(default="", max_length=500)


class AccountPage(View):
    """Accounts by user; pass `nextCursor` as `cursor` to get the next page."""

    accounts: list[AccountView]
    next_cursor: str | None


class AccountSumsView(View):
    """The sums of all accounts: granted = available + held + captured + expired.

    `complete` is false where there are more accounts than one request adds up, 20,000.
    """

    users: int
    available: int
    held: int
    captured: int
    granted: int
    expired: int
    complete: bool


@router.get(
    "",
    summary="All users' accounts (admin)",
    response_model=AccountPage,
    responses=document_problems("forbidden"),
)
async def read_accounts(
    request: Request,
    context: AuthenticatedAdmin,
    prefix: Annotated[str, Query(max_length=256, pattern="^[!-.0-~]*$")] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=256)] = None,
) -> Response:
    """By the users' ids, of which `prefix` is the beginning.

    Projects' own accounts are listed with a `prefix` that begins with `project:`, and only so;
    those of their API keys, which have no credits, with one that begins with `key:`.
    A user who has never submitted a job, and has no grant, has no account.
    """
    check_query(request, "prefix", "limit", "cursor")
    services = context.services
    if cursor is not None and not is_account_id(cursor):
        raise InvalidError.at("cursor", "invalid cursor: use nextCursor from the previous page")
    accounts, more = await list_accounts(services, prefix=prefix, limit=limit, after=cursor)
    views = [build_account_view(account, services.rules.limits) for account in accounts]
    return JsonResponse(AccountPage(accounts=views, next_cursor=more))


@router.get(
    "/sums",
    summary="The sums of all users' accounts (admin)",
    response_model=AccountSumsView,
    responses=document_problems("forbidden"),
)
async def read_sums(request: Request, context: AuthenticatedAdmin) -> Response:
    """Reads every account, so ask for it seldom."""
    check_query(request)
    return JsonResponse(build_sums_view(await sum_accounts(context.services)))


@router.put(
    "/{user_id}/shards",
    summary="Divide a user's account into shards (admin)",
    response_model=AccountView,
    responses=document_problems("forbidden", "conflict"),
    openapi_extra=document_body(AccountShardsOrder, {"shards": 4, "reason": "500 jobs a second"}),
)
async def put_shards_of(
    request: Request,
    user_id: str,
    context: AuthenticatedAdmin,
    order: Annotated[AccountShardsOrder, json_body(AccountShardsOrder)],
) -> Response:
    """For a user whose submissions on many instances contend for their account.

    The account's new jobs are divided among so many documents; its sums, and what it may spend and
    run, stay as they are. 1 unites them: documents of which running jobs hold credits go on until
    these end, and the next call merges them. Recorded in the audit log.
    """
    check_query(request)
    from taskreel.app.jobs.shard_account import set_account_shards  # of few requests: cold start

    services = context.services
    account = await set_account_shards(
        services, context.caller, user_id, order.shards, order.reason
    )
    return JsonResponse(build_account_view(account, services.rules.limits))


def build_account_view(account: Account, limits: FlowLimits | None) -> AccountView:
    """The account as it is sent."""
    return AccountView(
        user_id=account.user_id,
        tier=account.tier,
        available=account.available,
        held=account.held,
        captured=account.captured,
        granted=account.granted,
        expired=account.expired,
        active=max(account.active, 0),
        waiting=max(account.waiting, 0),
        active_jobs=None if limits is None else active_limit(limits, account),
        is_own=account.max_active is not None,
        shards=max(account.shards, 1),
        documents=max(account.shard_documents, 1),
    )


def build_sums_view(sums: AccountSums) -> AccountSumsView:
    """The sums as they are sent."""
    return AccountSumsView(
        users=sums.users,
        available=sums.available,
        held=sums.held,
        captured=sums.captured,
        granted=sums.granted,
        expired=sums.expired,
        complete=sums.complete,
    )
