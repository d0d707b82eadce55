"""Replicate's files, as uploads: `urls.get` of one is the input of a job.

The clients send a file here by themselves when an input is one.
"""

from __future__ import annotations

from email.message import Message
from email.parser import BytesHeaderParser
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.jobs import uploads
from taskreel.domain.errors import InvalidError, MalformedError
from taskreel.domain.upload import Upload
from taskreel.web.http import read_body
from taskreel.web.other_apis.client_files import MOST_FILE_BYTES, SentFile, store_file
from taskreel.web.other_apis.submission import authenticate_client


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
    """The part `content` of a multipart body (RFC 7578). Raises MalformedError and InvalidError."""
    boundary = _parse_header(content_type).get_param("boundary")
    if not content_type.lower().startswith("multipart/form-data") or not boundary:
        raise MalformedError("The body must be multipart/form-data with a boundary.")
    delimiter = f"\r\n--{boundary}".encode()
    for section in (b"\r\n" + body).split(delimiter)[1:]:
        head, separator, content = section.partition(b"\r\n\r\n")
        if not separator:
            continue
        headers = BytesHeaderParser().parsebytes(head.lstrip())
        if headers.get_param("name", header="content-disposition") == "content":
            name = headers.get_filename("file")
            return SentFile(name, headers.get_content_type(), content)
    raise InvalidError.at("content", "is required: the part with the file")


def _parse_header(content_type: str) -> Message:
    message = Message()
    message["content-type"] = content_type
    return message
