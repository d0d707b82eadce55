"""The limits of a model: what of a request it cannot do, and which options it ignores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from taskreel.adapters.providers import load_reserved_options
from taskreel.adapters.providers.model_lookup import find_row, get_today
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.reserved_options import (
    RESERVED_ALWAYS,
    RESERVED_INPUTS,
    find_reserved_names,
)
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Generation

#: The values of `syncMode` by which a caller pays less.
_PRICED_SYNC_MODES = frozenset({"cut_off"})


def find_row_for(provider: str, request: Generation) -> ModelRow:
    """The row of a request, for an adapter about to send it.

    Raises PermanentError where a part of the request would be dropped silently (more results or
    more pictures than the model takes) or the model lacks its input; all else is the provider's to
    refuse.
    """
    row = find_row(provider, request.model, request.capability, get_today())
    model = f"{row.name} at {provider}"

    count = _count_results(request.params)
    if count > row.max_results:
        message = f"{model} makes at most {row.max_results} results a request; numImages is {count}"
        raise PermanentError(message, code="unsupported_parameter")
    if row.needs_input and not request.inputs:
        message = f"{model} needs an input picture: text alone is not enough"
        raise PermanentError(message, code="input_required")
    if len(request.inputs) > row.max_inputs:
        message = (
            f"{model} takes at most {row.max_inputs} input pictures, not {len(request.inputs)}"
        )
        raise PermanentError(message, code="unsupported_parameter")
    return row


def find_reserved_options(row: ModelRow, options: Mapping[str, Any]) -> list[str]:
    """The names of `providerOptions` that no caller may send with this model.

    For a model without a known price these are only another model, more results and addresses; for
    one that works on a file, also another file.
    """
    priced = row.usd is not None
    reserved = load_reserved_options(row.provider) if priced else RESERVED_ALWAYS
    if row.needs_input:
        reserved |= RESERVED_INPUTS
    return find_reserved_names(options, reserved)


def find_voice(row: ModelRow, word: str) -> str | None:
    """The model's name of a voice, for a name in any case or a word for one; None: it has none."""
    if mapped := row.voice_words.get(word.lower()):
        return mapped
    if not row.voices:
        return word
    return next((name for name in row.voices if name.lower() == word.lower()), None)


def choose_voice(row: ModelRow, params: Mapping[str, Any], default: str) -> str:
    """The voice of a request under the model's name; PermanentError for one that it lacks."""
    word = params.get("voice") or default
    voice = find_voice(row, word)
    if voice is None:
        message = f"{row.name} at {row.provider} does not have {_explain_voices(row, word)}"
        raise PermanentError(message, code="voice_unknown")
    return voice


def list_lacking(row: ModelRow, params: Mapping[str, Any], inputs: int) -> tuple[str, ...]:
    """List the parts of a request beyond the model's limits, each a phrase after "cannot do".

    `Offer.lacks` takes it: a model that lacks anything is not chosen.
    """
    return (*_list_lacking_input(row, params, inputs), *_list_lacking_output(row, params))


def list_ignored_options(
    row: ModelRow, params: Mapping[str, Any], given: Iterable[str]
) -> dict[str, str]:
    """The options among those `given` by the caller that the model does not apply: with reasons."""
    model = f"{row.name} at {row.provider}"
    ignored: dict[str, str] = {}
    for name in given:
        if name not in params:
            continue
        if name not in row.options:
            ignored[name] = f"{model} has no such option"
            continue
        if name in row.ranges and not row.ranges[name][0] <= params[name] <= row.ranges[name][1]:
            least, most = row.ranges[name]
            ignored[name] = f"{model} uses the nearest within {least:g} to {most:g}"
            continue
        able = {"duration": row.durations, "scale": row.scales}.get(name)
        if able and params[name] not in able:
            ignored[name] = f"{model} uses the nearest of {', '.join(map(str, able))}"
    return ignored


def _list_lacking_input(row: ModelRow, params: Mapping[str, Any], inputs: int) -> Iterator[str]:
    characters = len(params.get("text") or "")
    if inputs > row.max_inputs:
        yield f"{inputs} input pictures"
    if row.needs_input and not inputs:
        yield "text without an input picture"
    if row.max_characters is not None and characters > row.max_characters:
        yield f"{characters} characters"
    if params.get("syncMode") in _PRICED_SYNC_MODES and "syncMode" not in row.options:
        # Its price is that of the shorter file: ignored, the option would have us buy the longer.
        yield f"syncMode {params['syncMode']}"
    voice = params.get("voice")
    if row.capability is Capability.SPEECH and voice and find_voice(row, voice) is None:
        yield _explain_voices(row, voice)


def _list_lacking_output(row: ModelRow, params: Mapping[str, Any]) -> Iterator[str]:
    count = _count_results(params)
    seconds, scale = params.get("duration") or 0, params.get("scale") or 0
    width, height = params.get("width") or 0, params.get("height") or 0
    file_format = params.get("outputFormat")

    if count > row.max_results:
        yield f"{count} results a request"
    if seconds > _find_longest_clip(row):
        yield f"{seconds:g} s"
    if row.scales and scale > row.scales[-1]:
        yield f"a scale of {scale:g}"
    if row.max_pixels is not None and width * height > row.max_pixels:
        yield f"{width}×{height} pixels"
    if row.formats and file_format is not None and file_format not in row.formats:
        yield f"{file_format} files"


def _find_longest_clip(row: ModelRow) -> float:
    """The most seconds of a model; a sound beyond a range is shortened, and a clip is not."""
    if row.durations:
        return row.durations[-1]
    in_range = row.capability is Capability.VIDEO and "duration" in row.ranges
    return row.ranges["duration"][1] if in_range else math.inf


def _explain_voices(row: ModelRow, word: str) -> str:
    words = ", ".join(sorted(row.voice_words))
    also = f"; also understood: {words}" if words else ""
    return f"the voice {word!r} (its voices: {', '.join(row.voices)}{also})"


def _count_results(params: Mapping[str, Any]) -> int:
    count: int = params.get("numImages") or 1
    return count
