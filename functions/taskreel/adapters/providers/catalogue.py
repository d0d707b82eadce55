"""The model table behind the port `ProviderCatalogue`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from taskreel.adapters.providers.model_limits import list_ignored_options, list_lacking
from taskreel.adapters.providers.model_lookup import (
    find_row,
    list_candidates,
    list_rows,
    resolve_provider_name,
)
from taskreel.adapters.providers.model_prices import estimate_cost
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.studio_options import list_options_studio_ignores
from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.provider_choice import Offer
from taskreel.ports import Capability, WorkRequest


class ModelCatalogue:
    """`ProviderCatalogue` over the model table."""

    def provider_name(self, word: str, /) -> str:
        return "studio" if word.lower() == "local" else resolve_provider_name(word)

    def makes(self, provider: str, capability: Capability, /) -> bool:
        return any(True for _ in list_rows(provider, capability))

    def offers(self, provider: str, asked: WorkRequest, /, *, every: bool = False) -> list[Offer]:
        if not every:
            return [_build_offer(_find_row(provider, asked), asked)]
        day = asked.now.date()
        rows = list_candidates([provider], asked.model, asked.capability, day, every=True)
        return [_build_offer(row, asked) for row in rows]

    def estimate(self, provider: str, asked: WorkRequest, /) -> float | None:
        try:
            return estimate_cost(_find_row(provider, asked), asked.params)
        except InvalidError:  # the model was retired while the job waited
            return None

    def ignored(
        self, provider: str, asked: WorkRequest, given: Collection[str], /
    ) -> Mapping[str, str]:
        if provider == "studio":
            return list_options_studio_ignores(asked.capability, asked.params, given)
        try:
            return list_ignored_options(_find_row(provider, asked), asked.params, given)
        except InvalidError:  # the model was retired while the job waited
            return {}

    def models(self, provider: str, on: datetime, /) -> Sequence[Mapping[str, Any]]:
        return [_describe_row(row, on) for row in list_rows(provider)]


def _find_row(provider: str, asked: WorkRequest) -> ModelRow:
    """The row that serves the work; InvalidError names the field of the request that is wrong."""
    try:
        return find_row(provider, asked.model, asked.capability, asked.now.date())
    except PermanentError as error:
        path = "provider" if error.code == "unknown_provider" else "model"
        errors = [{"path": path, "message": error.message}]
        raise InvalidError(error.message, code=error.code, errors=errors) from None


def _build_offer(row: ModelRow, asked: WorkRequest) -> Offer:
    return Offer(
        provider=row.provider,
        model=row.name,
        usd=estimate_cost(row, asked.params),
        lacks=list_lacking(row, asked.params, asked.inputs),
        admits_at=asked.now,
    )


def _describe_row(row: ModelRow, on: datetime) -> dict[str, Any]:
    return {
        "name": row.name,
        "aliases": row.aliases,
        "capability": row.capability,
        "usd": row.usd,
        "unit": row.unit,
        "retired": not row.is_current(on.date()),
        "retiresOn": row.retires_on,
        "replacedBy": row.replaced_by or None,
        "ratios": row.ratios,
        "durations": row.durations,
        "scales": row.scales,
        "maxPixels": row.max_pixels,
        "maxInputs": row.max_inputs,
        "maxResults": row.max_results,
        "formats": row.formats,
        "options": sorted(row.options),
    }
