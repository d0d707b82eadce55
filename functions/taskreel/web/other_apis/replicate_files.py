"""Replicate's files, as uploads: `urls.get` of one is the input of a job.

The clients send a file here by themselves when an input is one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.jobs import uploads
from taskreel.domain.errors import InvalidError
from taskreel.domain.upload import Upload
from taskreel.web.http import read_body
from taskreel.web.other_apis.client_files import MOST_FILE_BYTES, SentFile, store_file
from taskreel.web.other_apis.client_requests import authenticate_client
from taskreel.web.other_apis.form_parts import parse_form


async def create_file(request: Request) -> Response:
    """Store the part `content`."""
    context = await authenticate_client(request)
    body = await read_body(request, MOST_FILE_BYTES)
    file = _find_part(request.headers.get("content-type", ""), body)
    upload = await store_file(context.services, context.caller, file, at="content")
    return _respond(upload, HTTPStatus.CREATED)


async def read_file(request: Request) -> Response:
    """The facts of a file."""
    context = await authenticate_client(request)
    id_ = request.path_params["file_id"]
    return _respond(await uploads.find_upload(context.services, context.caller, id_))


async def delete_file(request: Request) -> Response:
    """Jobs that have not read it yet fail."""
    context = await authenticate_client(request)
    await uploads.delete_upload(context.services, context.caller, request.path_params["file_id"])
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _respond(upload: Upload, status: HTTPStatus = HTTPStatus.OK) -> Response:
    shown: dict[str, Any] = {
        "id": upload.upload_id,
        "name": upload.name,
        "content_type": upload.content_type,
        "size": upload.bytes,
        "etag": upload.sha256 or "",
        "checksums": {"sha256": upload.sha256 or ""},
        "metadata": {},
        "created_at": upload.created_at,
        "expires_at": upload.expire_at,
        "urls": {"get": upload.reference},
    }
    return Response(to_json(shown), status.value, media_type="application/json")


def _find_part(content_type: str, body: bytes) -> SentFile:
    """The part `content` of a form. Raises MalformedError and InvalidError."""
    for part in parse_form(content_type, body):
        if part.name == "content":
            return SentFile(part.filename or "file", part.content_type, part.content)
    raise InvalidError.at("content", "is required: the part with the file")
