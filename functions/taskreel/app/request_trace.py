"""The trace and the id of the current request, for log lines that are written during it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar

#: The id of the trace; None outside a request, or where it carries none.
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

#: The id of the request; None outside one.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

#: A client's id that is fit for a log line and a header.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")

#: W3C's `00-TRACE-SPAN-FLAGS`, and Google's `TRACE/SPAN;o=1`.
_FORMS = {
    b"traceparent": re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-"),
    b"x-cloud-trace-context": re.compile(rb"([0-9a-f]{32})(?:/|$)"),
}


def read_trace(headers: Mapping[bytes, bytes]) -> None:
    """Remember the trace that a request's headers name."""
    found = None
    for name, form in _FORMS.items():
        match = form.match(headers[name]) if name in headers else None
        if match:
            found = match[1].decode()
    trace_id.set(found)


def read_request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Remember the client's `X-Request-Id`, or a new id, and return it."""
    found = headers.get(b"x-request-id")
    if found is None or not _REQUEST_ID.fullmatch(found):
        found = os.urandom(16).hex().encode()
    request_id.set(found.decode())
    return found
