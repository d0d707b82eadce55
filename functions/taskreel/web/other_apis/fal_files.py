"""fal's hosts for files and keys, under `/fal/rest` and `/fal/cdn`.

The clients upload inputs by themselves, and receivers of webhooks read the keys that sign them.

JavaScript reaches them by the proxy. Python's client has no setting for them, only two variables of
its module: `fal_client.client.REST_URL = "{url}/fal/rest"` and `CDN_URL = "{url}/fal/cdn"`.
The URL of a file is the reference of an upload, which is an input of any job.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from taskreel.app.caller import Caller
from taskreel.domain.errors import ForbiddenError, InvalidError, TooLargeError
from taskreel.domain.ids import random_upload_id
from taskreel.domain.upload import UPLOAD_LIFETIME
from taskreel.domain.value import Value
from taskreel.web.auth import ApiContext
from taskreel.web.http import read_body
from taskreel.web.other_apis.client_files import (
    MOST_FILE_BYTES,
    SentFile,
    choose_type,
    store_file,
)
from taskreel.web.other_apis.client_requests import authenticate_client, read_object

_TOKEN_LIFETIME = timedelta(minutes=5)
_FOLDER = "uploads"
#: Receivers may use the keys for so long; fal's documents say a day at most.
_KEYS_SECONDS = 86_400
#: Enough for any name and type.
_MOST_CHARACTERS = 200


class _Announced(Value):
    """The file that a link takes, as its client has announced it."""

    user_id: str
    upload_id: str
    name: str
    content_type: str


def list_routes() -> list[Route]:
    """The routes of both hosts."""
    return [
        Route("/fal/rest/.well-known/jwks.json", _read_webhook_keys, methods=["GET"]),
        Route("/fal/rest/storage/auth/token", _issue_token, methods=["POST"]),
        Route("/fal/rest/storage/upload/initiate", _initiate_upload, methods=["POST"]),
        Route("/fal/rest/storage/upload/initiate-multipart", _refuse_large, methods=["POST"]),
        Route("/fal/cdn/files/upload", _upload, methods=["POST"]),
        Route("/fal/cdn/files/upload/multipart", _refuse_large, methods=["POST"]),
        Route(f"/fal/cdn/{_FOLDER}/{{announced}}", _receive_upload, methods=["PUT"]),
    ]


async def _read_webhook_keys(request: Request) -> Response:
    """The public keys of webhooks, for everybody."""
    keys = ApiContext.of(request).fal_webhook_keys()
    response = _respond(keys.build_jwks())
    response.headers["Cache-Control"] = f"public, max-age={_KEYS_SECONDS}"
    return response


async def _issue_token(request: Request) -> Response:
    """The client's own token: it is valid at both hosts."""
    context = await authenticate_client(request)
    now = context.services.clock.now()
    return _respond(
        {
            "token": request.headers["authorization"].partition(" ")[2].strip(),
            "token_type": "Bearer",
            "base_url": f"{context.base_url}/fal/cdn",
            "expires_at": (now + _TOKEN_LIFETIME).isoformat(),
        }
    )


async def _upload(request: Request) -> Response:
    """A file in one request."""
    context = await authenticate_client(request)
    # Clients send names as they are: UTF-8 in a header.
    sent_name = request.headers.get("x-fal-file-name", "file")
    file = SentFile(
        name=sent_name.encode("latin-1").decode("utf-8", "replace"),
        content_type=request.headers.get("content-type", ""),
        content=await read_body(request, MOST_FILE_BYTES),
    )
    upload = await store_file(context.services, context.caller, file)
    return _respond({"access_url": upload.reference})


async def _initiate_upload(request: Request) -> Response:
    """A link that takes the file, whose size is not known yet, and the reference for a job."""
    context = await authenticate_client(request)
    body = await read_object(request)
    given: dict[str, str] = {}
    for field in ("file_name", "content_type"):
        value = body.get(field, "")
        if not isinstance(value, str) or len(value) > _MOST_CHARACTERS:
            message = f"must be a text of at most {_MOST_CHARACTERS} characters"
            raise InvalidError.at(field, message)
        given[field] = value
    services = context.services
    announced = _Announced(
        user_id=context.caller.user_id,
        upload_id=random_upload_id(services.random),
        name=given["file_name"],
        content_type=choose_type(given["file_name"], given["content_type"], at="content_type"),
    )
    text = base64.urlsafe_b64encode(announced.model_dump_json().encode()).decode()
    links = ApiContext.of(request).file_links()
    now = services.clock.now()
    url = links.make(f"{context.base_url}/fal/cdn", f"{_FOLDER}/{text}", now, UPLOAD_LIFETIME)
    return _respond({"upload_url": url, "file_url": f"upload:{announced.upload_id}"})


async def _receive_upload(request: Request) -> Response:
    """The file of a link. The same file may be sent again."""
    context = ApiContext.of(request)
    services, query = context.services, request.query_params
    text = request.path_params["announced"]
    expires, signature = query.get("expires", ""), query.get("signature", "")
    context.file_links().check(f"{_FOLDER}/{text}", expires, signature, services.clock.now())
    try:
        announced = _Announced.model_validate_json(base64.urlsafe_b64decode(text))
    except (ValueError, ValidationError):
        # An older release may have signed other fields.
        raise ForbiddenError("The link cannot be read; start the upload again.") from None
    content = await read_body(request, MOST_FILE_BYTES)
    file = SentFile(announced.name, announced.content_type, content)
    owner = Caller(user_id=announced.user_id)
    await store_file(services, owner, file, upload_id=announced.upload_id)
    return _respond({})


async def _refuse_large(request: Request) -> Response:
    await authenticate_client(request)
    raise TooLargeError(
        f"Files of more than {MOST_FILE_BYTES >> 20} MiB do not pass through this API. Announce "
        "the file by POST /api/uploads and send it to its uploadUrl; its reference is the input."
    )


def _respond(body: dict[str, Any]) -> Response:
    return Response(to_json(body), HTTPStatus.OK, media_type="application/json")
