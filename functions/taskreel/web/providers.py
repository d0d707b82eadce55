"""The providers' API: their models and circuit breakers, and their webhooks."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from taskreel.app.jobs.provider_webhook import handle_webhook
from taskreel.app.providers.admin import BreakerOverride, list_providers, set_breaker
from taskreel.domain.breaker import BreakerState
from taskreel.domain.ids import random_id
from taskreel.domain.value import Value
from taskreel.web.http import JsonResponse, compress_answer, read_body
from taskreel.web.openapi import NO_TOKEN, document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import (
    AppServices,
    Authenticated,
    AuthenticatedAdmin,
    json_body,
)

router = APIRouter(prefix="/api", tags=["providers"])


class BreakerOrder(Value):
    """`{state, reason}`: "open" stops all use of the model, "closed" permits it.

    null lets the breaker follow the model's failures again.
    """

    state: Literal["open", "closed"] | None
    reason: str = Field(min_length=1, max_length=500)


class BreakerChangeView(Value):
    """A change of a circuit breaker; `byHand`: by an admin."""

    at: datetime
    state: BreakerState
    by_hand: bool


class BreakerView(Value):
    """A circuit breaker.

    `byHand`: an admin set it. `admitsAt`: the earliest time of the next call. `changes`: its
    newest, up to thirty, the oldest first.
    """

    state: BreakerState
    by_hand: bool
    since: datetime | None
    admits_at: datetime | None
    changes: list[BreakerChangeView]


class ModelView(Value):
    """A model: its name, its price in US dollars and more facts, and its circuit breaker."""

    model_config = ConfigDict(extra="allow")

    name: str
    breaker: BreakerView


class ProviderView(Value):
    """A provider. `configured`: its key is set here; `servedBy`: the one that does its work.

    Without the key jobs of `jobTypesThatNeedKey` are refused, and `servedBy` does the others.

    `keyVariable` names the setting of the key, which unlocks `jobTypes` whole and parts of
    `jobTypesInPart`. `warnings`: models that it ends within 90 days, and prices
    that were read over 180 days ago.
    """

    provider: str
    configured: bool
    served_by: str | None
    key_variable: str | None = None
    job_types: list[str] = Field(default_factory=list)
    job_types_in_part: list[str] = Field(default_factory=list)
    job_types_that_need_key: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    models: list[ModelView]


class ProvidersView(Value):
    """All providers."""

    providers: list[ProviderView]


class WebhookView(Value):
    """`hastened`: the job's next poll was brought forward."""

    hastened: bool


@router.get(
    "/providers",
    summary="Every provider, its models, their prices and states",
    response_model=ProvidersView,
)
async def read_providers(request: Request, context: Authenticated) -> Response:
    """Prices are in US dollars."""
    services = context.services
    found = await list_providers(services.providers, services.clock.now())
    answer = JsonResponse(ProvidersView.model_validate({"providers": found}))
    # Some hundred models are 130 kB of JSON that says much twice: a tenth of it, compressed.
    return compress_answer(request, answer)


@router.post(
    "/providers/{provider}/{model:path}/breaker",
    summary="Open or close a model's circuit breaker (admin)",
    response_model=BreakerView,
    responses=document_problems("forbidden"),
    openapi_extra=document_body(BreakerOrder),
)
async def order_breaker(
    provider: str,
    model: str,
    context: AuthenticatedAdmin,
    order: Annotated[BreakerOrder, json_body(BreakerOrder)],
) -> Response:
    """Applies until it is set to null; recorded in the audit log."""
    services = context.services
    state = None if order.state is None else BreakerState(order.state)
    override = BreakerOverride(
        provider=provider,
        model=model,
        state=state,
        reason=order.reason,
        user_id=context.caller.user_id,
        entry_id=f"audit.{random_id(services.random)}",
    )
    now = services.clock.now()
    breaker = await set_breaker(services.providers, services.store, override, now)
    return JsonResponse(BreakerView.model_validate(breaker))


#: The job is named in the query if the provider takes an address for each operation.
_WEBHOOK: dict[str, Any] = {
    **NO_TOKEN,
    "parameters": [{"name": "job", "in": "query", "schema": {"type": "string"}}],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
}


@router.post(
    "/webhooks/{provider}",
    summary="Called by a provider when an operation has ended",
    status_code=202,
    response_model=WebhookView,
    responses=document_problems("unauthenticated"),
    openapi_extra=_WEBHOOK,
)
async def receive_webhook(
    request: Request,
    provider: Annotated[str, Path(examples=["bfl", "openai"])],
    services: AppServices,
) -> Response:
    """Signed by the provider, so no token is needed. It only brings the job's next poll forward."""
    body = await read_body(request)
    job_id = request.query_params.get("job", "").partition(".")[0]
    hastened = await handle_webhook(services, provider, job_id, dict(request.headers), body)
    return JsonResponse(WebhookView(hastened=hastened), HTTPStatus.ACCEPTED)
