"""The price of a request in US dollars, by the model table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from taskreel.adapters.providers.model_row import ModelRow, PriceUnit, find_nearest
from taskreel.adapters.providers.ratios import choose_text_ratio, count_pixels

#: The assumed size of a text, whose true number of tokens is not known before it is written.
_CHARACTERS_A_TOKEN = 4
_TOKENS_OUT = 2000
#: The size of a picture and the length of a clip (seconds) where a request leaves them open.
_SIDE_PIXELS = 1024
_SECONDS = 5


def estimate_cost(row: ModelRow, params: Mapping[str, Any]) -> float | None:
    """The approximate cost of a request; None when the model's price is unknown."""
    if row.usd is None:
        return None
    price = row.usd_by_quality.get(params.get("quality") or "", row.usd)
    price = _find_price_by_side(row, params, price)
    price = _find_price_by_pixels(row, params, price)
    if params.get("audio") is False:
        price *= row.silent_part
    match row.unit:
        case PriceUnit.SECOND | PriceUnit.MINUTE:
            return _estimate_time(row, price, params)
        case PriceUnit.CHARACTERS:
            return price * len(params.get("text") or "") / 1000
        case PriceUnit.TOKENS:
            return _estimate_text(row, price, params)
        case PriceUnit.MEGAPIXEL:
            price = _estimate_picture(row, price, params)
        case PriceUnit.IMAGE | PriceUnit.RUN:
            pass
    count: int = params.get("numImages") or 1
    return count * price


def count_token_cost(row: ModelRow, tokens_in: int | None, tokens_out: int | None) -> float | None:
    """The cost of the tokens that a provider counted; None when it counted none."""
    if row.usd is None or tokens_in is None or tokens_out is None:
        return None
    return (tokens_in * row.usd_input + tokens_out * row.usd) / 1e6


def _find_price_by_side(row: ModelRow, params: Mapping[str, Any], price: float) -> float:
    """The price of the size that the longest side makes of a picture or a clip."""
    longest = max(params.get("width") or _SIDE_PIXELS, params.get("height") or _SIDE_PIXELS)
    return _find_price_of_size(row.usd_by_side, longest, price)


def _find_price_by_pixels(row: ModelRow, params: Mapping[str, Any], price: float) -> float:
    """The price of the listed size that the model makes of the requested one."""
    if not row.usd_by_pixels:
        return price
    pixels = count_pixels(choose_text_ratio(row, params))
    return _find_price_of_size(row.usd_by_pixels, pixels, price)


def _find_price_of_size(prices: Sequence[tuple[int, float]], size: int, price: float) -> float:
    """The price of the least listed size that holds `size`; else `price`.

    Beyond the last size nothing costs less than it: what is larger is made in that size.
    """
    if not prices:
        return price
    return next((usd for most, usd in prices if size <= most), max(price, prices[-1][1]))


def _estimate_time(row: ModelRow, price: float, params: Mapping[str, Any]) -> float:
    # The length that is bought, which the model may make longer or shorter than the wished one.
    # Of an input file, the length that it may have at most, or has.
    given, wished = params.get("inputSeconds"), params.get("duration")
    if given:
        seconds = row.bill_seconds(given)
    else:
        seconds = row.find_seconds(wished or (row.durations or (_SECONDS,))[0])
    if row.usd_by_seconds:
        # The row has those of the usual size; another size costs in proportion.
        usual = row.usd or price
        return row.usd_by_seconds[find_nearest(seconds, row.usd_by_seconds)] * price / usual
    units = math.ceil(seconds / 60) if row.unit is PriceUnit.MINUTE else seconds
    return float(price * units)


def _estimate_picture(row: ModelRow, price: float, params: Mapping[str, Any]) -> float:
    pixels = (params.get("width") or _SIDE_PIXELS) * (params.get("height") or _SIDE_PIXELS)
    pixels *= (params.get("scale") or 1) ** 2  # of an upscale, the result is paid for
    megapixels_after_first = max(pixels / 2**20 - 1, 0)
    further = price if row.usd_further is None else row.usd_further
    return price + megapixels_after_first * further


def _estimate_text(row: ModelRow, price: float, params: Mapping[str, Any]) -> float:
    characters = len(params.get("prompt") or "") + len(params.get("instructions") or "")
    tokens_in = characters / _CHARACTERS_A_TOKEN
    return (tokens_in * row.usd_input + _TOKENS_OUT * price) / 1e6
