"""The generation services: what there is, how it is, and their own calls to us."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from taskreel.app.jobs.provider_webhook import handle_webhook
from taskreel.app.providers.admin import BreakerOverride, list_providers, set_breaker
from taskreel.domain.breaker import BreakerState
from taskreel.domain.ids import random_id
from taskreel.domain.value import Value
from taskreel.web.auth import require_admin
from taskreel.web.http import answer, read_body, read_model, services_of
from taskreel.web.jobs import caller_of
from taskreel.web.openapi import body

router = APIRouter(prefix="/api", tags=["providers"])


class BreakerOrder(Value):
    """`{state, reason}`: keep it "open" (nobody uses the model) or "closed"; null lets it follow what happens."""

    state: Literal["open", "closed"] | None
    reason: str = Field(min_length=1, max_length=500)


@router.get("/providers", summary="Every provider, its models, their prices and how they are")
async def providers(request: Request) -> Response:
    """Prices are in US dollars."""
    await caller_of(request)
    services = services_of(request)
    return answer({"providers": await list_providers(services.providers, services.clock.now())})


@router.post(
    "/providers/{provider}/{model:path}/breaker",
    summary="Open or close a model's circuit breaker by hand (admin)",
    openapi_extra=body(BreakerOrder),
)
async def order_breaker(request: Request, provider: str, model: str) -> Response:
    """Kept until it is taken back, and written into the audit."""
    caller = await caller_of(request)
    require_admin(caller)
    order = await read_model(request, BreakerOrder)
    state = None if order.state is None else BreakerState(order.state)
    services = services_of(request)
    override = BreakerOverride(
        provider=provider,
        model=model,
        state=state,
        reason=order.reason,
        user_id=caller.user_id,
        entry_id=f"audit.{random_id(services.random)}",
    )
    now = services.clock.now()
    return answer(await set_breaker(services.providers, services.store, override, now))


@router.post(
    "/webhooks/{provider}", summary="A provider says that an operation has ended", status_code=202
)
async def webhook(request: Request, provider: str) -> Response:
    """Signed by the provider, so no token is needed. The state is read by a poll, which this brings forward."""
    raw = await read_body(request)
    job_id = request.query_params.get("job", "").partition(".")[0]
    hastened = await handle_webhook(
        services_of(request), provider, job_id, dict(request.headers), raw
    )
    return answer({"hastened": hastened}, HTTPStatus.ACCEPTED)
