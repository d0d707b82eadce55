"""The Cloud Storage JSON API over HTTP, and signed URLs: one method for each API method."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from taskreel_local.emulators.storage import signed_urls
from taskreel_local.emulators.storage.buckets import Buckets, ListingRequest
from taskreel_local.emulators.storage.downloads import download_response
from taskreel_local.emulators.storage.object_uploads import (
    Chunk,
    UploadSessions,
    expected_checksums,
    parse_multipart,
)
from taskreel_local.emulators.storage.storage_errors import StorageError
from taskreel_local.emulators.storage.stored_object import (
    Preconditions,
    StoredObject,
    parse_integer,
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request with its whole body, and the names in its path."""

    request: Request
    body: bytes
    names: tuple[str, ...]

    @property
    def params(self) -> Mapping[str, str]:
        """The query parameters."""
        return self.request.query_params

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are lower case."""
        return self.request.headers

    @property
    def base_url(self) -> str:
        """The URL at which the client reaches this server."""
        return f"{self.request.url.scheme}://{self.request.headers.get('host', '')}"

    @property
    def generation(self) -> int | None:
        """The `generation` parameter, None if absent."""
        given = self.params.get("generation")
        return None if given is None else parse_integer(given, "generation")

    def parse_json(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty body is an empty object.

        Raises StorageError 400.
        """
        try:
            value = json.loads(self.body or b"{}")
        except ValueError:
            raise StorageError(400, "Parse Error") from None
        if not isinstance(value, dict):
            raise StorageError(400, "A JSON object is expected.")
        return value


Handler = Callable[[Call], Response]


class StorageApi:
    """An ASGI application over buckets."""

    def __init__(self, buckets: Buckets, public_key: RSAPublicKey | None) -> None:
        self._buckets = buckets
        self._uploads = UploadSessions(buckets)
        self._public_key = public_key
        bucket, obj = "/storage/v1/b/([^/]+)", "/storage/v1/b/([^/]+)/o/([^/]+)"
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/", lambda _: PlainTextResponse("Ok")),
            ("GET", "/storage/v1/b", self._list_buckets),
            ("POST", "/storage/v1/b", self._create_bucket),
            ("GET", bucket, self._get_bucket),
            ("PATCH|PUT", bucket, self._patch_bucket),
            ("DELETE", bucket, self._delete_bucket),
            ("GET", f"{bucket}/storageLayout", self._get_storage_layout),
            ("GET", f"{bucket}/o", self._list_objects),
            ("POST", f"{obj}/(rewriteTo|copyTo)/b/([^/]+)/o/([^/]+)", self._copy_object),
            ("POST", f"{obj}/compose", self._compose_object),
            ("GET|HEAD", f"(?:/download)?{obj}", self._get_object),
            ("PATCH|PUT", obj, self._patch_object),
            ("DELETE", obj, self._delete_object),
            ("POST|PUT", "(?:/resumable)?/upload/storage/v1/b/([^/]+)/o", self._handle_upload),
            ("DELETE", "/upload/storage/v1/b/([^/]+)/o", self._cancel_upload),
            ("GET|HEAD|PUT|DELETE", "/([^/]+)/(.+)", self._handle_signed_url),
        ]
        self._routes = [
            (re.compile(methods), re.compile(path), handler) for methods, path, handler in routes
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        response = self._handle_request(request, await request.body())
        await response(scope, receive, send)

    def _handle_request(self, request: Request, body: bytes) -> Response:
        path = raw_path(request)
        try:
            handler, names = self._match_route(request.method, path)
            return handler(Call(request, body, names))
        except StorageError as error:
            return _error_response(
                error,
                xml=not path.startswith(("/storage/", "/upload/", "/download/", "/resumable/")),
            )

    def _match_route(self, method: str, path: str) -> tuple[Handler, tuple[str, ...]]:
        for methods, pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match and methods.fullmatch(method):
                return handler, tuple(unquote(name) for name in match.groups())
        raise StorageError(501, f"The emulator does not implement {method} {path}.")

    # Buckets

    def _list_buckets(self, call: Call) -> Response:
        prefix = call.params.get("prefix", "")
        items = [
            bucket for bucket in self._buckets.list_buckets() if bucket["name"].startswith(prefix)
        ]
        return JSONResponse({"kind": "storage#buckets", "items": items})

    def _create_bucket(self, call: Call) -> Response:
        fields = call.parse_json()
        if not fields.get("name"):
            raise StorageError(400, "A bucket needs a name.")
        return JSONResponse(self._buckets.create_bucket(fields["name"], fields))

    def _get_bucket(self, call: Call) -> Response:
        return JSONResponse(self._buckets.get_bucket(call.names[0]))

    def _patch_bucket(self, call: Call) -> Response:
        return JSONResponse(self._buckets.patch_bucket(call.names[0], call.parse_json()))

    def _delete_bucket(self, call: Call) -> Response:
        self._buckets.delete_bucket(call.names[0])
        return Response(status_code=204)

    def _get_storage_layout(self, call: Call) -> Response:
        bucket = self._buckets.get_bucket(call.names[0])
        shown = {
            "bucket": bucket["name"],
            "location": bucket["location"],
            "locationType": "multi-region",
        }
        return JSONResponse(
            {"kind": "storage#storageLayout", **shown, "hierarchicalNamespace": {"enabled": False}}
        )

    # Objects

    def _list_objects(self, call: Call) -> Response:
        limit = parse_integer(call.params.get("maxResults", "1000"), "maxResults")
        wanted = ListingRequest(
            prefix=call.params.get("prefix", ""),
            delimiter=call.params.get("delimiter", ""),
            start=call.params.get("startOffset", ""),
            end=call.params.get("endOffset", ""),
            limit=min(max(limit, 1), 1000),
            token=call.params.get("pageToken", ""),
        )
        page = self._buckets.list_objects(call.names[0], wanted)
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if page.objects:
            answer["items"] = [obj.to_resource(call.base_url) for obj in page.objects]
        if page.prefixes:
            answer["prefixes"] = list(page.prefixes)
        if page.next_token:
            answer["nextPageToken"] = page.next_token
        return JSONResponse(answer)

    def _get_object(self, call: Call) -> Response:
        bucket, name = call.names
        obj = self._buckets.find_object(bucket, name, call.generation)
        Preconditions.of(call.params).require(obj, reading=True)
        if call.params.get("alt") == "media" or raw_path(call.request).startswith("/download/"):
            return download_response(
                obj, self._buckets.read_content(obj), call.headers.get("range"), {}
            )
        return self._object_response(call, obj)

    def _patch_object(self, call: Call) -> Response:
        bucket, name = call.names
        whole = call.request.method == "PUT"
        conditions = Preconditions.of(call.params)
        return self._object_response(
            call,
            self._buckets.patch_object(bucket, name, call.parse_json(), conditions, whole=whole),
        )

    def _delete_object(self, call: Call) -> Response:
        bucket, name = call.names
        self._buckets.delete_object(bucket, name, call.generation, Preconditions.of(call.params))
        return Response(status_code=204)

    def _copy_object(self, call: Call) -> Response:
        bucket, name, verb, to_bucket, to_name = call.names
        given = call.params.get("sourceGeneration")
        source = self._buckets.find_object(
            bucket, name, None if given is None else parse_integer(given, "sourceGeneration")
        )
        Preconditions.of(call.params, "ifSource").require(source)
        fields = call.parse_json() or dict(source.fields)
        content = self._buckets.read_content(source)
        obj = self._buckets.put_object(
            to_bucket, to_name, content, fields, Preconditions.of(call.params)
        )
        if verb == "copyTo":
            return self._object_response(call, obj)
        done = {
            "kind": "storage#rewriteResponse",
            "done": True,
            "resource": obj.to_resource(call.base_url),
        }
        return JSONResponse(
            {**done, "totalBytesRewritten": str(obj.size), "objectSize": str(obj.size)}
        )

    def _compose_object(self, call: Call) -> Response:
        bucket, name = call.names
        wanted = call.parse_json()
        sources = wanted.get("sourceObjects") or []
        if not 1 <= len(sources) <= 32:
            raise StorageError(400, "The number of source components must be from 1 to 32.")
        parts = [
            self._buckets.find_object(bucket, one["name"], _source_generation(one))
            for one in sources
        ]
        content = b"".join(self._buckets.read_content(part) for part in parts)
        components = sum(part.components or 1 for part in parts)
        fields = {"contentType": parts[0].content_type, **wanted.get("destination", {})}
        conditions = Preconditions.of(call.params)
        return self._object_response(
            call,
            self._buckets.put_object(
                bucket, name, content, fields, conditions, components=components
            ),
        )

    # UploadSessions

    def _handle_upload(self, call: Call) -> Response:
        match call.params.get("uploadType"), call.params.get("upload_id"):
            case "media", _:
                fields = {"contentType": call.headers.get("content-type")}
                return self._store_object(call, fields, call.body)
            case "multipart", _:
                return self._store_object(
                    call, *parse_multipart(call.headers.get("content-type", ""), call.body)
                )
            case "resumable", None:
                return self._begin_upload(call)
            case "resumable", upload_id if upload_id:
                return self._continue_upload(call, upload_id)
            case kind, _:
                raise StorageError(400, f"Unknown uploadType {kind!r}.")

    def _store_object(self, call: Call, fields: Mapping[str, Any], content: bytes) -> Response:
        name = _object_name(call, fields)
        fields = {**fields, **expected_checksums(call.headers.get("x-goog-hash"))}
        return self._object_response(
            call,
            self._buckets.put_object(
                call.names[0], name, content, fields, Preconditions.of(call.params)
            ),
        )

    def _begin_upload(self, call: Call) -> Response:
        fields = call.parse_json()
        given = call.headers.get("x-upload-content-type")
        fields.setdefault("contentType", given or "application/octet-stream")
        upload_id = self._uploads.begin_session(
            call.names[0], _object_name(call, fields), fields, Preconditions.of(call.params)
        )
        path = raw_path(call.request)
        location = f"{call.base_url}{path}?uploadType=resumable&upload_id={upload_id}"
        return Response(headers={"Location": location, "X-GUploader-UploadID": upload_id})

    def _continue_upload(self, call: Call, upload_id: str) -> Response:
        chunk = Chunk.from_request(call.body, call.headers.get("content-range"))
        obj, received = self._uploads.receive_chunk(
            upload_id, chunk, expected_checksums(call.headers.get("x-goog-hash"))
        )
        if obj is not None:
            return self._object_response(call, obj)
        return Response(
            status_code=308, headers={"Range": f"bytes=0-{received - 1}"} if received else {}
        )

    def _cancel_upload(self, call: Call) -> Response:
        self._uploads.cancel_session(call.params.get("upload_id", ""))
        return Response(status_code=499)

    # Signed URLs

    def _handle_signed_url(self, call: Call) -> Response:
        """Serve a signed URL: the part of the XML API that signed URLs use. Nothing is public."""
        if "X-Goog-Signature" not in call.params:
            raise StorageError(
                403, "Anonymous caller does not have storage.objects.get access.", "AccessDenied"
            )
        request = call.request
        signed = signed_urls.SignedRequest(
            request.method, raw_path(request), request.url.query, dict(call.headers)
        )
        signed_urls.check_signed_url(signed, self._public_key, datetime.now(UTC))
        given = call.headers.get("x-goog-if-generation-match")
        conditions = Preconditions(
            None if given is None else parse_integer(given, "x-goog-if-generation-match")
        )
        bucket, name = call.names
        match request.method:
            case "PUT":
                sums = expected_checksums(call.headers.get("x-goog-hash"))
                fields = {"contentType": call.headers.get("content-type"), **sums}
                obj = self._buckets.put_object(bucket, name, call.body, fields, conditions)
                return Response(
                    headers={"ETag": f'"{obj.md5}"', "X-Goog-Generation": str(obj.generation)}
                )
            case "DELETE":
                self._buckets.delete_object(bucket, name, None, conditions)
                return Response(status_code=204)
            case _:
                obj = self._buckets.find_object(bucket, name, call.generation)
                return download_response(
                    obj, self._buckets.read_content(obj), call.headers.get("range"), call.params
                )

    @staticmethod
    def _object_response(call: Call, obj: StoredObject) -> Response:
        return JSONResponse(obj.to_resource(call.base_url), headers={"ETag": obj.etag})


def raw_path(request: Request) -> str:
    """Return the path as sent: an encoded slash in a name is not a separator."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return raw.decode("ascii", "replace").partition("?")[0]


def _error_response(error: StorageError, *, xml: bool) -> Response:
    if error.status == 304:
        return Response(status_code=304)
    if xml:
        return Response(error.as_xml(), error.status, media_type="application/xml")
    return JSONResponse(error.as_json(), error.status)


def _object_name(call: Call, fields: Mapping[str, Any]) -> str:
    name = call.params.get("name") or fields.get("name")
    if not name:
        raise StorageError(400, "Required parameter: name")
    return str(name)


def _source_generation(source: Mapping[str, Any]) -> int | None:
    wanted = source.get("generation") or source.get("objectPreconditions", {}).get(
        "ifGenerationMatch"
    )
    return None if wanted is None else int(wanted)
