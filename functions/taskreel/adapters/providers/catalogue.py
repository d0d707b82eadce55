"""The model table, as the use cases ask it (`app.services.Catalogue`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from taskreel.adapters.providers import models
from taskreel.adapters.providers.model_table import ModelRow
from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.provider_choice import Offer
from taskreel.ports import Capability, WorkRequest


class ModelTable:
    """`Catalogue` over the model table."""

    def provider_name(self, word: str, /) -> str:
        """The provider that a caller's word means."""
        return "studio" if word.lower() == "local" else models.provider_name(word)

    def makes(self, provider: str, capability: Capability, /) -> bool:
        """Whether it has any model for that."""
        return any(True for _ in models.rows(provider, capability))

    def offers(self, provider: str, asked: WorkRequest, /, *, every: bool = False) -> list[Offer]:
        """By the model asked for, else its default, else with `every` by all it has."""
        day = asked.now.date()
        if every:
            found = models.candidates([provider], asked.model, asked.capability, day, every=True)
        else:
            found = [_row(provider, asked)]
        return [_offer(row, asked) for row in found]

    def estimate(self, provider: str, asked: WorkRequest, /) -> float | None:
        """About what it costs in US dollars; None when nobody knows."""
        try:
            return models.estimate(_row(provider, asked), asked.params)
        except InvalidError:
            return None

    def ignored(
        self, provider: str, asked: WorkRequest, given: Collection[str], /
    ) -> Mapping[str, str]:
        """Which of the options `given` it does not take as they are, and why."""
        if provider == "studio":
            return models.studio_ignores(asked.capability, asked.params, given)
        try:
            return models.ignored(_row(provider, asked), asked.params, given)
        except InvalidError:  # retired since
            return {}

    def models(self, provider: str, on: datetime, /) -> Sequence[Mapping[str, Any]]:
        """Every model, retired ones too."""
        return [_view(row, on) for row in models.rows(provider)]


def _row(provider: str, asked: WorkRequest) -> ModelRow:
    try:
        return models.find(provider, asked.model, asked.capability, asked.now.date())
    except PermanentError as error:
        path = "provider" if error.code == "unknown_provider" else "model"
        errors = [{"path": path, "message": error.message}]
        raise InvalidError(error.message, code=error.code, errors=errors) from None


def _offer(row: ModelRow, asked: WorkRequest) -> Offer:
    return Offer(
        provider=row.provider,
        model=row.name,
        usd=models.estimate(row, asked.params),
        lacks=models.lacks(row, asked.params, asked.inputs),
        admits_at=asked.now,
    )


def _view(row: ModelRow, on: datetime) -> dict[str, Any]:
    return {
        "name": row.name,
        "aliases": row.aliases,
        "capability": row.capability,
        "usd": row.usd,
        "unit": row.unit,
        "retired": not row.current(on.date()),
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
