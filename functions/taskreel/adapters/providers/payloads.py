"""Between a Generation and the wire: fields renamed, shapes snapped, pictures inline, results kept."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from taskreel.adapters.providers.http import OperationFailedError, no_output
from taskreel.domain.errors import PermanentError
from taskreel.ports import Generation, Input, Output

#: No provider takes more in a request, and it is held in memory.
MOST_BYTES = 20 << 20
#: JSON Schema's words that OpenAPI's schema dialect does not know.
NOT_IN_SCHEMA = frozenset(
    {"additionalProperties", "$schema", "$id", "title", "default", "examples"}
)


def picked(params: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Those of our parameters that were given and that the provider knows, under its names."""
    return {theirs: params[ours] for ours, theirs in names.items() if params.get(ours) is not None}


def options(params: Mapping[str, Any]) -> dict[str, Any]:
    """What the caller wants in the provider's body word for word."""
    return dict(params.get("providerOptions") or {})


def ratio(text: str) -> float:
    """`16:9`, or `1280:720`, as a number."""
    width, _, height = text.partition(":")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise PermanentError(
            f"the aspect ratio {text!r} is not like 16:9", code="invalid_parameter"
        )
    return int(width) / int(height)


def nearest_ratio(params: Mapping[str, Any], allowed: Sequence[str]) -> str | None:
    """The allowed shape nearest to the one asked for by aspectRatio, or width and height; None when none was.

    Of two alike it is the nearer in size.
    """
    wanted = _shape(params)
    if wanted is None:
        return None
    pixels = (params.get("width") or 0) * (params.get("height") or 0)

    def distance(candidate: str) -> tuple[float, float]:
        width, _, height = candidate.partition(":")
        return round(abs(math.log(ratio(candidate) / wanted)), 6), abs(
            float(width) * float(height) - pixels
        )

    return min(allowed, key=distance)


def size(
    params: Mapping[str, Any], *, multiple: int, least: int, most: int, max_pixels: int
) -> tuple[int, int] | None:
    """Width and height as asked for, shrunk to `max_pixels` and snapped; a shape alone is made a megapixel large.

    None when nothing was asked for.
    """
    shape = _shape(params)
    if shape is None:
        return None
    area = (params.get("width") or 1024) * (params.get("height") or 1024)
    width, height = math.sqrt(area * shape), math.sqrt(area / shape)
    shrink = min(1.0, math.sqrt(max_pixels / (width * height)), most / max(width, height))
    # Downwards when shrunk, so that rounding does not lead over the limit again.
    snap = math.floor if shrink < 1 else round
    fit = [
        min(max(snap(side * shrink / multiple) * multiple, least), most) for side in (width, height)
    ]
    return fit[0], fit[1]


def seed(params: Mapping[str, Any], most: int) -> dict[str, int]:
    """The seed, folded into what the provider takes."""
    return {} if params.get("seed") is None else {"seed": int(params["seed"]) % (most + 1)}


def nearest(value: float | None, allowed: Sequence[int]) -> int | None:
    """The allowed number nearest to the one asked for; of two as near, the greater."""
    if value is None or not allowed:
        return None
    return min(allowed, key=lambda candidate: (abs(candidate - value), -candidate))


def inline(item: Input) -> str:
    """A file as base64."""
    return base64.b64encode(_content(item)).decode("ascii")


def part(item: Input) -> tuple[str, bytes, str]:
    """A file as a part of a form; its name ends as its type wants it, which some services go by."""
    return (
        item.path.stem + (mimetypes.guess_extension(item.content_type) or ""),
        _content(item),
        item.content_type,
    )


def data_uri(item: Input, most_bytes: int) -> str:
    """A file as a data URI, or its address where it is larger than the provider takes inline."""
    if item.url and item.path.stat().st_size > most_bytes:
        return item.url
    return f"data:{item.content_type};base64,{inline(item)}"


def structured(provider: str, text: str, request: Generation) -> dict[str, Any]:
    """What a text model answered: the object that the schema asked for, or `{"text": …}` without one."""
    if not text.strip():
        raise no_output(provider)
    if not request.params.get("schema"):
        return {"text": text}
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise OperationFailedError(
            f"{provider} answered no JSON object, although a schema was given"
        )
    return data


def open_api_schema(schema: Any) -> Any:
    """A JSON Schema in OpenAPI's dialect, which knows fewer words (names of properties are left alone)."""
    if isinstance(schema, list):
        return [open_api_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        word: open_api_schema(value) for word, value in schema.items() if word not in NOT_IN_SCHEMA
    }
    if isinstance(schema.get("properties"), dict):
        kept["properties"] = {
            name: open_api_schema(value) for name, value in schema["properties"].items()
        }
    return kept


async def kept(request: Generation, content: bytes, number: int = 1) -> Output:
    """A result that came in the answer, written into the request's folder."""
    path = request.folder / f"{request.name}-{number}"
    await asyncio.to_thread(path.write_bytes, content)
    return Output(path=path)


async def kept_all(request: Generation, contents: Sequence[str]) -> tuple[Output, ...]:
    """Results that came as base64."""
    decoded = [await asyncio.to_thread(base64.b64decode, content) for content in contents]
    return tuple(
        [await kept(request, content, number) for number, content in enumerate(decoded, 1)]
    )


def linked(url: str) -> Output:
    """A result that the provider left at an address; who copies it guards against private ones."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in {"https", "http"} or not address.host:
        raise PermanentError("the provider named a result at no web address", code="untrusted_host")
    return Output(url=url)


def fraction(value: Any) -> float | None:
    """Progress, where the provider tells it."""
    return min(max(float(value), 0.0), 1.0) if isinstance(value, int | float) else None


def _content(item: Input) -> bytes:
    if item.path.stat().st_size > MOST_BYTES:
        raise PermanentError(
            f"a file to start from is larger than {MOST_BYTES >> 20} MiB", code="input_too_large"
        )
    return item.path.read_bytes()


def _shape(params: Mapping[str, Any]) -> float | None:
    """Width by height; an aspectRatio goes before a size, which job types fill in."""
    if params.get("aspectRatio"):
        return ratio(params["aspectRatio"])
    if params.get("width") and params.get("height"):
        return float(params["width"]) / float(params["height"])
    return None
