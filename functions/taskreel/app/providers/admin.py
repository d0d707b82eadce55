"""What admins see of the providers, and what they may change."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime

from taskreel.app.caller import Caller
from taskreel.app.providers.circuit_breakers import breaker_id
from taskreel.app.services import Services
from taskreel.domain.breaker import Breaker, BreakerState
from taskreel.domain.errors import NotFoundError
from taskreel.domain.ids import random_id
from taskreel.domain.value import Value
from taskreel.ports import Transaction


class AuditEntry(Value):
    """Who did what to what, when and why; never changed."""

    entry_id: str
    at: AwareDatetime
    user_id: str
    action: str
    subject: str
    reason: str


async def providers_view(services: Services) -> list[dict[str, Any]]:
    """Every provider: whether it serves here, and its models, each with its price and its breaker's state."""
    now = services.clock.now()
    providers = services.providers
    known = await services.breakers.all(services.store, now)

    def state(provider: str, model: str) -> dict[str, Any]:
        return breaker_view(known.get(breaker_id(provider, model), Breaker()), services)

    return [
        {
            "provider": name,
            "configured": providers.configured(name),
            "servedBy": name if providers.configured(name) else providers.stand_in,
            "models": [
                {**model, "breaker": state(name, str(model["name"]))}
                for model in providers.catalogue.models(name, now)
            ],
        }
        for name in providers.names
    ]


def breaker_view(breaker: Breaker, services: Services) -> dict[str, Any]:
    """Open or not, since when, and from when work may begin."""
    now = services.clock.now()
    return {
        "state": breaker.state(now),
        "byHand": breaker.forced is not None,
        "since": breaker.since,
        "admitsAt": breaker.admits_at(now),
    }


async def set_breaker(
    services: Services,
    caller: Caller,
    provider: str,
    model: str,
    state: BreakerState | None,
    reason: str,
) -> dict[str, Any]:
    """Keep a model's breaker open or closed, or with None let it follow what happens again; audited."""
    now = services.clock.now()
    provider = services.providers.catalogue.provider_name(provider)
    names = [str(one["name"]) for one in services.providers.catalogue.models(provider, now)]
    if model not in names:
        raise NotFoundError(
            f"There is no model {model!r} of {provider!r}. There are: {', '.join(names) or 'none'}."
        )
    entry = AuditEntry(
        entry_id=f"audit.{random_id(services.random)}",
        at=now,
        user_id=caller.user_id,
        action=f"breaker {state or 'automatic'}",
        subject=f"{provider}/{model}",
        reason=reason,
    )

    async def write(tx: Transaction) -> Breaker:
        tx.create("audit", entry.entry_id, entry.document())
        return services.breakers.by_hand(tx, now, breaker_id(provider, model), state)

    return breaker_view(await services.store.transaction(write), services)
