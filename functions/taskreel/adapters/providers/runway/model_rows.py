"""The form that all rows of Runway's models have in common."""

from __future__ import annotations

from typing import Any

from taskreel.adapters.providers.model_row import SHAPE_OPTIONS, ModelRow, PriceUnit
from taskreel.ports import Capability

_COMPUTED = {
    Capability.IMAGE: SHAPE_OPTIONS,
    Capability.VIDEO: SHAPE_OPTIONS | {"duration"},
    Capability.UPSCALE: frozenset({"scale"}),
    Capability.SPEECH: frozenset({"voice"}),
    Capability.SOUND_EFFECT: frozenset({"duration"}),
    Capability.VIDEO_EDIT: frozenset(),
}


def build_row(
    name: str, capability: Capability, usd: float | None, unit: PriceUnit, **more: Any
) -> ModelRow:
    """A row of a model that Runway calls by its own name.

    Without a price it serves only where it is named: what a task cost is in its answer.
    """
    takes = {"computed": _COMPUTED[capability], **more}
    return ModelRow(
        name=name, provider="runway", path=name, capability=capability, usd=usd, unit=unit, **takes
    )
