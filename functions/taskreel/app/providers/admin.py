"""The administrators' view of providers, and their orders to circuit breakers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskreel.app.providers.circuit_breakers import breaker_id
from taskreel.app.providers.registry import ProviderRegistry
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.breaker import Breaker, BreakerState
from taskreel.domain.errors import NotFoundError
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Capability, Store, Transaction
from taskreel.store_collections import AUDIT


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOverride:
    """An administrator's order for the breaker of one provider's model.

    `state` None ends an earlier override. `entry_id` names the audit entry.
    """

    provider: str
    model: str
    state: BreakerState | None
    reason: str
    user_id: str
    entry_id: str


async def list_providers(registry: ProviderRegistry, now: datetime) -> list[dict[str, Any]]:
    """Every provider with its models; each model with its price and its breaker's state."""
    breakers = await registry.breakers.load_breakers(now)
    return [
        {
            "provider": name,
            "configured": registry.is_configured(name),
            **_describe_key(registry, name, now),
            "models": _list_models(registry, name, breakers, now),
        }
        for name in registry.all_names
    ]


def describe_breaker(breaker: Breaker, now: datetime) -> dict[str, Any]:
    """A breaker's state, since when, and from when it admits work (None: until an admin acts)."""
    return {
        "state": breaker.state_at(now),
        "byHand": breaker.forced is not None,
        "since": breaker.since,
        "admitsAt": breaker.admits_at(now),
        "changes": [
            {"at": one.at, "state": one.state, "byHand": one.by_hand} for one in breaker.changes
        ],
    }


async def set_breaker(
    registry: ProviderRegistry, store: Store, order: BreakerOverride, now: datetime
) -> dict[str, Any]:
    """Carry out an order and write its audit entry, in one transaction; the breaker's new view.

    Raises NotFoundError for a model that the provider does not have.
    """
    provider = registry.catalogue.resolve_name(order.provider)
    names = [str(model["name"]) for model in registry.catalogue.list_models(provider, now)]
    if order.model not in names:
        raise NotFoundError(
            f"There is no model {order.model!r} of {provider!r}. "
            f"Use one of: {', '.join(names) or 'none'}."
        )
    entry = AuditEntry(
        entry_id=order.entry_id,
        at=now,
        user_id=order.user_id,
        action=f"breaker {order.state or 'automatic'}",
        subject=f"{provider}/{order.model}",
        reason=order.reason,
    )

    async def write_override(tx: Transaction) -> Breaker:
        tx.create(AUDIT, entry.entry_id, entry)
        id_ = breaker_id(provider, order.model)
        return await registry.breakers.force_state(tx, id_, order.state, now)

    return describe_breaker(await store.transaction(write_override), now)


def _describe_key(registry: ProviderRegistry, name: str, now: datetime) -> dict[str, Any]:
    """Describe a provider's key, the job types that it unlocks, and who serves them now."""
    models = registry.catalogue.list_models(name, now)
    # A model that also asks for a setting is not unlocked by the key.
    able = {
        model["capability"] for model in models if not model["retired"] and not model["setting"]
    }
    partly = [one for one in JOB_TYPES.values() if able & one.further_capabilities]
    whole = [one for one in JOB_TYPES.values() if one.capability in able]
    served_by: str | None = name
    refused: set[Capability] = set()
    if not registry.is_configured(name):
        sold = {Capability(model["capability"]) for model in models}
        refused = {one for one in sold if not registry.can_stand_in(one)}
        served_by = registry.stand_in if sold - refused else None
    return {
        "servedBy": served_by,
        "keyVariable": registry.key_name_of(name),
        "jobTypes": [one.name for one in whole],
        "jobTypesInPart": [one.name for one in partly if one not in whole],
        "jobTypesThatNeedKey": [one.name for one in whole if one.capability in refused],
        "warnings": list(registry.catalogue.list_warnings(name, now)),
    }


def _list_models(
    registry: ProviderRegistry, name: str, breakers: Mapping[str, Breaker], now: datetime
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for model in registry.catalogue.list_models(name, now):
        breaker = breakers.get(breaker_id(name, str(model["name"])), Breaker())
        found.append({**model, "breaker": describe_breaker(breaker, now)})
    return found
