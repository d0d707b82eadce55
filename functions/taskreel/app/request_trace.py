"""The trace that the current request belongs to, for log lines that are written during it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar

#: The id of the trace; None outside a request, or where it carries none.
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

#: W3C's `00-TRACE-SPAN-FLAGS`, and Google's `TRACE/SPAN;o=1`.
_FORMS = {
    b"traceparent": re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-"),
    b"x-cloud-trace-context": re.compile(rb"([0-9a-f]{32})(?:/|$)"),
}


def read_trace(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Remember the trace that an ASGI request's headers name."""
    found = None
    for name, value in headers:
        form = _FORMS.get(name)
        match = form.match(value) if form else None
        if match:
            found = match[1].decode()
    trace_id.set(found)
