"""The form of OpenAI's `images.edit`, as the fields of a request for images from pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from taskreel.domain.errors import InvalidError
from taskreel.domain.ids import keyed_upload_id
from taskreel.web.auth import AuthenticatedRequest
from taskreel.web.http import parse_idempotency_key, read_body
from taskreel.web.other_apis.client_files import MOST_FILE_BYTES, SentFile, store_file
from taskreel.web.other_apis.form_parts import FormPart, parse_form

#: One part or several of the one name; older clients write it with brackets.
_PICTURES = frozenset({"image", "image[]"})
#: `options[width]`, as clients write a field of an object.
_NESTED = re.compile(r"^(\w+)\[(\w+)\]$")
#: Words that are texts, even if they resemble numbers.
_TEXTS = frozenset({"prompt", "model", "user"})


async def read_edit(request: Request) -> tuple[dict[str, Any], list[FormPart]]:
    """The fields of a form, and its pictures.

    Raises MalformedError and InvalidError (the parameter's name).
    """
    body = await read_body(request, MOST_FILE_BYTES)
    parts = [*parse_form(request.headers.get("content-type", ""), body)]
    pictures = [part for part in parts if part.name in _PICTURES]
    if any(part.name == "mask" for part in parts):
        raise InvalidError.at("mask", "is not supported; say in the prompt what is to be changed")
    if not pictures:
        raise InvalidError.at("image", "is required: the picture to start from")
    if not all(part.content_type.startswith("image/") for part in pictures):
        raise InvalidError.at("image", "must be a PNG, a JPEG or another picture")
    return _read_fields([part for part in parts if part.name not in _PICTURES]), pictures


async def store_pictures(
    request: Request, context: AuthenticatedRequest, pictures: Sequence[FormPart]
) -> list[str]:
    """Store the pictures as uploads of the caller's; returns their references, as `image_urls`.

    Under an idempotency key they are always the same, as a repeated request must be.
    """
    key = parse_idempotency_key(request.headers.get("idempotency-key"))
    stored = []
    for number, part in enumerate(pictures):
        file = SentFile(part.filename or "image", part.content_type, part.content)
        id_ = keyed_upload_id(context.caller.user_id, key, number) if key else None
        upload = await store_file(context.services, context.caller, file, at="image", upload_id=id_)
        stored.append(upload.reference)
    return stored


def _read_fields(parts: list[FormPart]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for part in parts:
        nested = _NESTED.match(part.name)
        if nested is None:
            fields[part.name] = _read_value(part.name, part.content)
            continue
        outer = fields.setdefault(nested[1], {})
        if not isinstance(outer, dict):
            raise InvalidError.at(nested[1], "must be an object")
        outer[nested[2]] = _read_value(nested[2], part.content)
    return fields


def _read_value(name: str, content: bytes) -> Any:
    """A number, true, false or null as such; everything else as the text that it is."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidError.at(name, "must be text in UTF-8") from None
    if name in _TEXTS:
        return text
    try:
        value = from_json(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, bool | int | float) else text
