"""Between a Generation and a provider's payload: fields, shapes, input files, results."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import mimetypes
import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from taskreel.adapters.providers.file_uploads import is_outside
from taskreel.adapters.providers.model_limits import find_reserved_options
from taskreel.adapters.providers.model_row import ModelRow, SecondsForm, find_nearest
from taskreel.adapters.providers.provider_errors import OperationFailedError, no_output_error
from taskreel.adapters.providers.ratios import find_size_name, get_shape
from taskreel.adapters.providers.reserved_options import explain_reserved
from taskreel.domain.errors import PermanentError
from taskreel.ports import Generation, Input, Output

#: No provider takes a larger file in a request, and it is held in memory.
MAX_INPUT_BYTES = 20 << 20
#: The keywords of JSON Schema that OpenAPI's schema dialect does not have.
_NOT_IN_OPENAPI = frozenset(
    {"additionalProperties", "$schema", "$id", "title", "default", "examples"}
)


def rename_fields(
    params: Mapping[str, Any],
    names: Mapping[str, str],
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """The given parameters that are in `names` (ours: theirs), under the provider's names.

    A number outside its range is moved to the nearest end, as `list_ignored_options` says.
    """
    given = {ours: params[ours] for ours in names if params.get(ours) is not None}
    for ours, (least, most) in (ranges or {}).items():
        if ours in given:
            given[ours] = min(max(given[ours], least), most)
    return {names[ours]: value for ours, value in given.items()}


def get_provider_options(row: ModelRow, params: Mapping[str, Any]) -> dict[str, Any]:
    """The caller's `providerOptions`, which go into the provider's body word for word.

    Raises PermanentError, before anything is sent, for one that is reserved: the submission has
    refused it, but another provider may have taken over since.
    """
    options = dict(params.get("providerOptions") or {})
    for name in find_reserved_options(row, options):
        raise PermanentError(
            f"providerOptions.{name} {explain_reserved(row.provider)}", code="reserved_option"
        )
    return options


def meet_least_size(
    params: Mapping[str, Any], *, min_pixels: int, max_ratio: float, multiple: int
) -> Mapping[str, Any]:
    """The parameters with a size of at least `min_pixels`, no longer than `max_ratio`.

    They are returned as they are where the request leaves the shape open, or is well within both:
    so far that rounding cannot lead out of them.
    """
    shape = get_shape(params)
    if shape is None:
        return params
    asked = (params.get("width") or 1024) * (params.get("height") or 1024)
    if max(shape, 1 / shape) <= 0.95 * max_ratio and 0.95 * asked >= min_pixels:
        return params
    shape = min(max(shape, 1 / max_ratio), max_ratio)
    # A step more on each side, so that rounding does not fall below the limit again.
    area = max(asked, (math.sqrt(min_pixels) + multiple * math.sqrt(max_ratio)) ** 2)
    height = math.sqrt(area / shape)
    # The ratio is exact, but for the rounding to the multiple: never beyond the longest.
    width, height = (math.floor(side / multiple) * multiple for side in (height * shape, height))
    longest = math.floor(min(width, height) * max_ratio / multiple) * multiple
    sides = {"width": min(width, longest), "height": min(height, longest)}
    return {**params, **sides, "aspectRatio": None}


def fit_size(
    params: Mapping[str, Any], *, multiple: int, least: int, most: int, max_pixels: int
) -> tuple[int, int] | None:
    """The requested width and height, shrunk to `max_pixels` and snapped to `multiple`.

    Each side is at least `least` and at most `most` pixels. A ratio alone gets about one megapixel;
    None when the request leaves the shape open.
    """
    shape = get_shape(params)
    if shape is None:
        return None
    area = (params.get("width") or 1024) * (params.get("height") or 1024)
    width, height = math.sqrt(area * shape), math.sqrt(area / shape)
    shrink = min(1.0, math.sqrt(max_pixels / (width * height)), most / max(width, height))
    # Downwards near the limit, so that rounding does not exceed it again.
    near_limit = (width + multiple) * (height + multiple) > max_pixels
    snap = math.floor if shrink < 1 or near_limit else round
    fit = [
        min(max(snap(side * shrink / multiple) * multiple, least), most) for side in (width, height)
    ]
    return fit[0], fit[1]


def strip_region(language: str) -> str:
    """The language alone, in lower case: `pt` of `pt-BR`."""
    return re.split("[-_]", language)[0].lower()


def fold_seed(params: Mapping[str, Any], most: int) -> dict[str, int]:
    """The seed, reduced to 0 … `most`; empty when none was given."""
    return {} if params.get("seed") is None else {"seed": int(params["seed"]) % (most + 1)}


def choose_nearest(value: float | None, allowed: Sequence[int]) -> int | None:
    """The allowed number nearest to `value`; of two as near, the greater."""
    if value is None or not allowed:
        return None
    return find_nearest(value, allowed)


def build_seconds(row: ModelRow, params: Mapping[str, Any]) -> dict[str, Any]:
    """The length of the result as the provider takes it; empty where the request leaves it open.

    It is the nearest that the model makes.
    """
    seconds = params.get("duration")
    if seconds is None or "duration" not in row.computed:
        return {}
    able = row.find_seconds(seconds)
    whole = round(able)
    values: dict[SecondsForm, Any] = {
        SecondsForm.NUMBER: whole,
        SecondsForm.TEXT: str(whole),
        SecondsForm.TEXT_S: f"{whole}s",
        SecondsForm.MILLISECONDS: round(able * 1000),
        SecondsForm.DECIMAL: float(able),
    }
    return {row.seconds_field: values[row.seconds_form]}


def choose_size_name(row: ModelRow, params: Mapping[str, Any], side: int) -> str:
    """The provider's name of the least size that the longest requested side fits into.

    `side` is assumed where the request leaves it open.
    """
    longest = max(params.get("width") or side, params.get("height") or side)
    return find_size_name(row.sizes, longest)


def name_inputs(names: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
    """The input files under the provider's names; `name[]` takes all of them as a list."""
    if not files:
        return {}
    if names[0].endswith("[]"):
        return {names[0].removesuffix("[]"): list(files)}
    return dict(zip(names, files, strict=False))


def nest_fields(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Fields whose names have a dot (`voice.speed`) as objects within the body."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        outer, _, inner = name.partition(".")
        if inner:
            nested.setdefault(outer, {})[inner] = value
        else:
            nested[name] = value
    return nested


def encode_base64(item: Input) -> str:
    """An input file as base64."""
    return base64.b64encode(read_input(item)).decode("ascii")


def build_form_part(item: Input) -> tuple[str, bytes, str]:
    """An input file as a part of a form: name, content, type.

    The name ends as its type asks, because some services go by the name.
    """
    name = item.path.stem + (mimetypes.guess_extension(item.content_type) or "")
    return name, read_input(item), item.content_type


def build_data_uri(item: Input, most_bytes: int) -> str:
    """An input file as a data URI, or its address where it is larger than `most_bytes`."""
    if item.url and item.path.stat().st_size > most_bytes:
        return item.url
    return f"data:{item.content_type};base64,{encode_base64(item)}"


def needs_upload(item: Input, most_bytes: int) -> bool:
    """True for a file too large to go inline whose address no service can reach.

    Of such a kind are the signed addresses of a stack on one machine.
    """
    return item.path.stat().st_size > most_bytes and not is_reachable(item.url)


def is_reachable(url: str) -> bool:
    """True for an address that a service on the internet can fetch a file from."""
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL:
        return False
    return is_outside(host)


def parse_text_result(provider: str, text: str, request: Generation) -> dict[str, Any]:
    """The answer of a text model: an object by the request's schema, or `{"text": …}` without one.

    Raises OperationFailedError for an empty text, or one that is not a JSON object.
    """
    if not text.strip():
        raise no_output_error(provider)
    if not request.params.get("schema"):
        return {"text": text}
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise OperationFailedError(
            f"{provider} did not answer with a JSON object, although the request has a schema"
        )
    return data


def convert_to_openapi_schema(schema: Any) -> Any:
    """A JSON Schema in OpenAPI's dialect, which has fewer keywords.

    Names of properties are not changed, even where they are the same as a keyword.
    """
    if isinstance(schema, list):
        return [convert_to_openapi_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {
        word: convert_to_openapi_schema(value)
        for word, value in schema.items()
        if word not in _NOT_IN_OPENAPI
    }
    if isinstance(schema.get("properties"), dict):
        converted["properties"] = {
            name: convert_to_openapi_schema(value) for name, value in schema["properties"].items()
        }
    return converted


async def save_output(request: Generation, content: bytes, number: int = 1) -> Output:
    """Write a result that came in the answer into the request's folder."""
    path = request.folder / f"{request.name}-{number}"
    await asyncio.to_thread(path.write_bytes, content)
    return Output(path=path)


async def save_answer(provider: str, request: Generation, answer: httpx.Response) -> Output:
    """Write an answer that is the result itself; OperationFailedError for an empty one."""
    if not answer.content:
        raise no_output_error(provider)
    return await save_output(request, answer.content)


async def save_base64_outputs(request: Generation, contents: Sequence[str]) -> tuple[Output, ...]:
    """Write results that came as base64 into the request's folder."""
    outputs = []
    for number, encoded in enumerate(contents, 1):
        content = await asyncio.to_thread(base64.b64decode, encoded)
        outputs.append(await save_output(request, content, number))
    return tuple(outputs)


def link_output(url: str) -> Output:
    """A result at an address of the provider's; the download refuses private addresses."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in {"https", "http"} or not address.host:
        raise PermanentError(
            "the provider's result is not at an http or https address", code="untrusted_host"
        )
    return Output(url=url)


def parse_progress(value: Any, whole: float = 1.0) -> float | None:
    """A provider's progress, of `whole`, as a fraction of 1; None where it gives none."""
    return min(max(value / whole, 0.0), 1.0) if isinstance(value, int | float) else None


def parse_cost(value: Any, units_a_dollar: float = 1.0) -> float | None:
    """A cost that a provider reports, in US dollars; None where it reports none."""
    return value / units_a_dollar if isinstance(value, int | float) else None


def read_input(item: Input) -> bytes:
    """The content of an input file; PermanentError for one that is too large to be sent."""
    if item.path.stat().st_size > MAX_INPUT_BYTES:
        raise PermanentError(
            f"an input file is larger than {MAX_INPUT_BYTES >> 20} MiB, the most that is sent",
            code="input_too_large",
        )
    return item.path.read_bytes()
