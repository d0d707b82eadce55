"""Shapes: aspect ratios (`16:9`) and sizes written in the same way (`1280:720`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from taskreel.adapters.providers.model_row import ModelRow
from taskreel.domain.errors import PermanentError


def parse_ratio(text: str) -> float:
    """Width divided by height, of `16:9` or `1280:720`."""
    width, _, height = text.partition(":")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise PermanentError(
            f"aspectRatio must be two whole numbers like 16:9, not {text!r}",
            code="invalid_parameter",
        )
    return int(width) / int(height)


def choose_ratio(params: Mapping[str, Any], allowed: Sequence[str]) -> str | None:
    """The allowed ratio nearest to the requested shape; None when the request leaves it open.

    Of several with the same ratio (`1280:720`, `1920:1080`) it is the nearest in size.
    """
    shape = get_shape(params)
    if shape is None:
        return None
    pixels = (params.get("width") or 0) * (params.get("height") or 0)

    def measure_distance(candidate: str) -> tuple[float, float]:
        from_shape = round(abs(math.log(parse_ratio(candidate) / shape)), 6)
        return from_shape, abs(count_pixels(candidate) - pixels)

    return min(allowed, key=measure_distance)


def list_ratios(row: ModelRow, *, from_inputs: bool) -> Sequence[str]:
    """The ratios that a model makes from input files, or from a text alone."""
    return row.ratios if from_inputs else row.text_ratios or row.ratios


def choose_text_ratio(row: ModelRow, params: Mapping[str, Any]) -> str:
    """The ratio of a request without pictures: the nearest, or the model's first."""
    ratios = list_ratios(row, from_inputs=False)
    return choose_ratio(params, ratios) or ratios[0]


def find_size_name(sizes: Sequence[tuple[str, int]], wanted: float) -> str:
    """The name of the least of ascending sizes that holds the wanted one, else of the last."""
    return next((name for name, most in sizes if wanted <= most), sizes[-1][0])


def get_shape(params: Mapping[str, Any]) -> float | None:
    """Width divided by height. An aspectRatio wins over a size, which job types fill in."""
    if params.get("aspectRatio"):
        return parse_ratio(params["aspectRatio"])
    if params.get("width") and params.get("height"):
        return float(params["width"]) / float(params["height"])
    return None


def count_pixels(size: str) -> int:
    """The pixels of a size written as `1280:720`."""
    width, _, height = size.partition(":")
    return int(width) * int(height)
