"""The body of a request by its row of the model table, for services whose models differ by data.

A row says which of our options a model takes under which names, and in which form lengths, sizes,
ratios and input files go; an adapter adds what only its service does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.model_limits import choose_voice
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.ratios import choose_ratio, list_ratios
from taskreel.ports import Capability, Generation

#: The longest side where a request leaves it open.
_OPEN_SIDES = {Capability.VIDEO: 1280, Capability.IMAGE: 1024}


def build_model_body(row: ModelRow, request: Generation, files: Sequence[str]) -> dict[str, Any]:
    """The fields of the model, without `providerOptions`; `files` are addresses or data URIs."""
    params = request.params
    if request.capability is Capability.SPEECH:
        params = _translate_voice(row, params)
    body: dict[str, Any] = {**row.constants}
    body |= payloads.rename_fields(params, row.fields, row.ranges)
    body |= payloads.build_seconds(row, params) | _build_shape(row, request)
    if row.input_fields:
        body |= payloads.name_inputs(row.input_fields, files)
    return payloads.nest_fields(body)


def choose_path(row: ModelRow, request: Generation) -> str:
    """The path of a request, which is another one for some models that start from files."""
    return row.input_path if request.inputs and row.input_path else row.path


def _build_shape(row: ModelRow, request: Generation) -> dict[str, Any]:
    shape: dict[str, Any] = {}
    if row.sizes:
        side = _OPEN_SIDES.get(request.capability, 1024)
        shape[row.size_field] = payloads.choose_size_name(row, request.params, side)
    ratios = list_ratios(row, from_inputs=bool(request.inputs))
    if ratios and (ratio := choose_ratio(request.params, ratios)):
        shape["aspect_ratio"] = ratio
    return shape


def _translate_voice(row: ModelRow, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with the model's name of the voice, and of pt-BR the language alone."""
    changed = {**params}
    if "voice" in row.fields:
        changed["voice"] = choose_voice(row, params, row.voice_words["narrator"])
    if params.get("language"):
        changed["language"] = payloads.strip_region(params["language"])
    return changed
