"""Responses to downloads: the whole content or a range, with the headers clients verify it by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime

from starlette.responses import Response

from taskreel_local.emulators.storage.storage_errors import StorageError
from taskreel_local.emulators.storage.stored_object import StoredObject

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_SHOWN = {
    "cacheControl": "Cache-Control",
    "contentDisposition": "Content-Disposition",
    "contentEncoding": "Content-Encoding",
}


def download_response(
    obj: StoredObject, content: bytes, wanted: str | None, overrides: Mapping[str, str]
) -> Response:
    """Return the response to a download.

    `overrides` are the `response-…` parameters of a signed URL.
    """
    headers = _object_headers(obj)
    if "response-content-disposition" in overrides:
        headers["Content-Disposition"] = overrides["response-content-disposition"]
    kind = overrides.get("response-content-type", obj.content_type)
    part = None if wanted is None else _parse_range(wanted, len(content))
    if part is None:
        return Response(content, headers=headers, media_type=kind)
    start, end = part
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
    return Response(content[start:end], 206, headers, kind)


def _object_headers(obj: StoredObject) -> dict[str, str]:
    sums = [f"crc32c={obj.crc32c}", *([f"md5={obj.md5}"] if obj.md5 else [])]
    return {
        "Accept-Ranges": "bytes",
        "ETag": f'"{obj.md5 or obj.etag}"',
        "Last-Modified": format_datetime(datetime.fromisoformat(obj.updated), usegmt=True),
        "X-Goog-Generation": str(obj.generation),
        "X-Goog-Metageneration": str(obj.metageneration),
        "X-Goog-Hash": ",".join(sums),
        "X-Goog-Stored-Content-Length": str(obj.size),
        "X-Goog-Stored-Content-Encoding": str(obj.fields.get("contentEncoding", "identity")),
        "X-Goog-Storage-Class": str(obj.fields.get("storageClass", "STANDARD")),
        **{header: str(obj.fields[name]) for name, header in _SHOWN.items() if name in obj.fields},
    }


def _parse_range(wanted: str, size: int) -> tuple[int, int] | None:
    """Return start and end of a range; None for an unknown header, which means everything."""
    match = _RANGE.fullmatch(wanted.strip())
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= size or (first and last and int(last) < start):
        raise StorageError(416, "The requested range cannot be satisfied.", "InvalidRange")
    return start, end
