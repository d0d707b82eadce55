"""The form that all rows of fal's models have in common."""

from __future__ import annotations

from typing import Any

from taskreel.adapters.providers.model_row import FLUX_FIELDS, SHAPE_OPTIONS, ModelRow, PriceUnit
from taskreel.ports import Capability

FAL_FLUX_FIELDS = FLUX_FIELDS | {"numImages": "num_images"}


def build_row(
    name: str, path: str, usd: float, *, capability: Capability = Capability.IMAGE, **more: Any
) -> ModelRow:
    """A row of a model that fal bills by the megapixel, unless it says more."""
    more = {
        "unit": PriceUnit.MEGAPIXEL,
        "fields": FAL_FLUX_FIELDS,
        "computed": SHAPE_OPTIONS,
        "formats": ("png", "jpeg") if capability is Capability.IMAGE else (),
        **more,
    }
    return ModelRow(name=name, provider="fal", path=path, capability=capability, usd=usd, **more)
