"""The dashboard's files: a page that is a client of the public API, served beside it.

The page's own modules are sent as they are written: there is no build step. Their addresses begin
with a digest of all files, so a browser stores them for good, and asks again only for the page.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from taskreel.domain.errors import NotFoundError

if TYPE_CHECKING:
    from taskreel.web.issuer_sign_in import IssuerSignIn

PREFIX = "/dashboard"
_FOLDER = Path(__file__).resolve().parents[1] / "dashboard"
_PAGE = "index.html"
_ASSETS = "assets/"
_VERSION = b"{{version}}"
_PRELOADS = b"{{preloads}}"
_SIGN_IN = b"{{signIn}}"
_MAIN = "main.js"
#: A static import; the pages themselves are imported when they are opened.
_IMPORT = re.compile(rb'^(?:import|export) [^"\n]*"(\.{1,2}/[^"]+)";$', re.MULTILINE)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_ENTRIES = {
    "dashboard": PREFIX,
    "documentation": "/api/docs",
    "openapi": "/api/openapi.json",
    "jobTypes": "/api/jobs/types",
    "health": "/api/jobs/health",
}
_STORED_FOR_GOOD = "public, max-age=31536000, immutable"
_ASKED_EACH_TIME = "no-cache"
#: Below this size a compressed answer is no quicker.
_SMALLEST_COMPRESSED = 600


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent."""

    content_type: str
    plain: bytes
    compressed: bytes | None
    etag: str


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All files of the dashboard by their path, and one digest of them."""

    version: str
    files: Mapping[str, StaticFile]


async def serve_dashboard(
    request: Request, media_origins: Sequence[str], sign_in: IssuerSignIn | None = None
) -> Response:
    """The page for any of its own addresses, or one of its files.

    `media_origins` are the origins of signed URLs, from which the page shows results; `sign_in` is
    the issuer's sign-in page, where one is configured.
    """
    if request.method not in {"GET", "HEAD"}:
        raise NotFoundError(f"{PREFIX} is a page: GET it.")
    static = load_files(sign_in)
    path = request.scope["path"].removeprefix(PREFIX).removeprefix("/")
    if path.startswith(_ASSETS):
        version, _, name = path.removeprefix(_ASSETS).partition("/")
        file = static.files.get(name)
        if file is None or name == _PAGE:
            raise NotFoundError(f"The dashboard has no file {name!r}.")
        # During a rollout another revision's page may ask: what it gets must not be stored.
        lifetime = _STORED_FOR_GOOD if version == static.version else "no-store"
    else:
        file, lifetime = static.files[_PAGE], _ASKED_EACH_TIME
    headers = {
        "Cache-Control": lifetime,
        "Content-Security-Policy": build_policy(media_origins, sign_in),
        "ETag": file.etag,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
    }
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    body = file.plain
    if file.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        body = file.compressed
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type=file.content_type)


def serve_entry(request: Request, base_url: str) -> Response:
    """The dashboard for a browser that opens `/`, the API's main addresses for a client.

    Raises NotFoundError for another method: there is nothing to send to.
    """
    if request.method not in {"GET", "HEAD"}:
        raise NotFoundError(f"/ is no part of the API: see {base_url}/api/docs.")
    headers = {"Cache-Control": _ASKED_EACH_TIME, "Vary": "Accept"}
    if "text/html" in request.headers.get("accept", ""):
        return Response(status_code=HTTPStatus.SEE_OTHER, headers={**headers, "Location": PREFIX})
    entries = {name: f"{base_url}{path}" for name, path in _ENTRIES.items()}
    return Response(
        json.dumps({"name": "Taskreel", **entries}),
        media_type="application/json",
        headers=headers,
    )


def build_policy(media_origins: Sequence[str], sign_in: IssuerSignIn | None = None) -> str:
    """The content security policy: own scripts and styles; files from and to the bucket alone.

    An issuer's sign-in page is opened by a navigation; its documents and tokens are asked for, so
    that its origin, and no other, can be called too.
    """
    media = " ".join(["'self'", *media_origins])
    called = media if sign_in is None else f"{media} {sign_in.origin}"
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src {media} data:",
            f"media-src {media}",
            f"connect-src {called}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


@cache
def load_files(sign_in: IssuerSignIn | None = None) -> StaticFiles:
    """Read the files, once; the page tells its scripts of the issuer's sign-in page."""
    found = {
        path.relative_to(_FOLDER).as_posix(): path.read_bytes()
        for path in sorted(_FOLDER.rglob("*"))
        if path.suffix in _TYPES
    }
    digest = hashlib.sha256()
    for name, content in found.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    version = digest.hexdigest()[:12]
    page = found[_PAGE].replace(_PRELOADS, _write_preloads(found))
    page = page.replace(_SIGN_IN, b"" if sign_in is None else sign_in.write_element())
    found[_PAGE] = page.replace(_VERSION, version.encode())
    return StaticFiles(
        version, {name: _prepare_file(name, content) for name, content in found.items()}
    )


def _write_preloads(found: Mapping[str, bytes]) -> bytes:
    """Links for the modules that the page needs at first, so that they are all asked for at once.

    Without them a browser finds each module only in the one that imports it.
    """
    names = [_MAIN]
    for name in names:
        folder = PurePosixPath(name).parent
        for target in _IMPORT.findall(found[name]):
            path = os.path.normpath(folder / target.decode())
            if path not in names:
                names.append(path)
    link = b'<link rel="modulepreload" href="/dashboard/assets/%s/%s">'
    return b"\n    ".join(link % (_VERSION, name.encode()) for name in names[1:])


def _prepare_file(name: str, content: bytes) -> StaticFile:
    compressed = gzip.compress(content, mtime=0) if len(content) >= _SMALLEST_COMPRESSED else None
    return StaticFile(
        content_type=_TYPES[Path(name).suffix],
        plain=content,
        compressed=compressed,
        etag=f'"{hashlib.sha256(content).hexdigest()[:16]}"',
    )
