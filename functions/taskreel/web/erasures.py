"""The API of erasures: remove everything of a person, and prove it; for administrators."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import AfterValidator, Field

from taskreel.domain.erasure import Erasure, ErasurePhase
from taskreel.domain.errors import InvalidError
from taskreel.domain.value import Value
from taskreel.web.http import JsonResponse, View, check_query
from taskreel.web.job_reads import check_text
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import AuthenticatedAdmin, json_body

router = APIRouter(prefix="/api", tags=["erasures"])


class ErasureOrder(Value):
    """The reason, for the audit log; with `dryRun` the person's documents are only counted.

    An order without a reason has to say `"dryRun": false`: an empty body erases no user.
    """

    reason: Annotated[str, Field(max_length=500), AfterValidator(check_text)] = ""
    dry_run: bool = False


class ErasureForecast(View):
    """The numbers by collection that an erasure would report. Nothing was changed.

    `removed` counts the person's documents, and their `files` in the bucket; `pseudonymised` those
    that would go on with a pseudonym instead of the person's id.
    """

    dry_run: bool = True
    removed: dict[str, int]
    pseudonymised: dict[str, int]


class ErasureProofView(View):
    """The last reading of every document and of every path in the bucket.

    `found` counts what still names the person: it is empty in a finished report. `mentions` counts
    documents of others whose content contains the id as a word; they are not changed.
    """

    documents: int
    files: int
    found: dict[str, int]
    mentions: dict[str, int]


class ErasureView(View):
    """An erasure: what was removed and pseudonymised, by collection, and its proof.

    While `phase` is not `done`, send the order again to go on. `waiting` counts jobs whose work at
    a provider is being stopped. `rounds` grows when the proof found something new: the person's
    tokens are still used.
    """

    erasure_id: str
    phase: ErasurePhase | str
    pseudonym: str
    ordered_by: str
    reason: str
    removed: dict[str, int]
    pseudonymised: dict[str, int]
    waiting: int
    rounds: int
    proof: ErasureProofView
    created_at: datetime
    ended_at: datetime | None


@router.post(
    "/accounts/{user_id}/erasure",
    summary="Erase a person, or go on with it (admin)",
    response_model=ErasureView | ErasureForecast,
    responses={
        HTTPStatus.ACCEPTED: {"model": ErasureView, "description": "Send the order again."},
        **document_problems("forbidden", "not_found", "conflict"),
    },
    openapi_extra=document_body(ErasureOrder),
)
async def post_erasure(
    request: Request,
    context: AuthenticatedAdmin,
    user_id: str,
    order: Annotated[ErasureOrder, json_body(ErasureOrder, absent=b"{}")],
) -> Response:
    """Removes jobs, files, uploads, schedules, webhooks, templates and operations.

    Credits are money: the account and its ledger go on under a pseudonym. Each request works for
    some seconds: `202` until it is done. First withdraw the person's sign-in, else new requests
    make new documents. A body must have a `reason` or `dryRun`. `404` if no document names the
    user, as after a typing error.
    """
    from taskreel.app.erasure.erase_user import erase_user
    from taskreel.app.erasure.erasure_forecast import forecast_erasure

    check_query(request)
    if order.dry_run:
        found = await forecast_erasure(context.services, user_id)
        return JsonResponse(
            ErasureForecast(removed=found.removed, pseudonymised=found.pseudonymised)
        )
    if not order.reason and "dry_run" not in order.model_fields_set:
        raise InvalidError.at(
            "reason", "must be given, or dryRun (true counts only; false erases without a reason)"
        )
    erasure = await erase_user(context.services, context.caller, user_id, order.reason)
    is_done = erasure.phase is ErasurePhase.DONE
    return JsonResponse(
        build_erasure_view(erasure), HTTPStatus.OK if is_done else HTTPStatus.ACCEPTED
    )


@router.get(
    "/erasures/{erasure_id}",
    summary="The report of a finished erasure (admin)",
    response_model=ErasureView,
    responses=document_problems("forbidden", "not_found"),
)
async def read_erasure(request: Request, context: AuthenticatedAdmin, erasure_id: str) -> Response:
    """It names no person: note the erasure's id with the request that you answer by it."""
    from taskreel.app.erasure.erase_user import load_report

    check_query(request)
    return JsonResponse(build_erasure_view(await load_report(context.services, erasure_id)))


def build_erasure_view(erasure: Erasure) -> ErasureView:
    """The erasure as it is sent."""
    return ErasureView(
        erasure_id=erasure.erasure_id,
        phase=erasure.phase,
        pseudonym=erasure.pseudonym,
        ordered_by=erasure.ordered_by,
        reason=erasure.reason,
        removed=erasure.removed,
        pseudonymised=erasure.pseudonymised,
        waiting=erasure.waiting,
        rounds=erasure.rounds,
        proof=ErasureProofView(**dict(erasure.proof)),
        created_at=erasure.created_at,
        ended_at=erasure.ended_at,
    )
