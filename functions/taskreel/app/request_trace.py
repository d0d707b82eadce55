"""The trace and the id of the current request, for log lines that are written during it."""

from __future__ import annotations

import secrets
from contextvars import ContextVar

#: The id of the trace; None outside a request, or where it carries none.
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

#: The id of the request; None outside one.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

#: `traceparent` (W3C) of the span that is recorded; None where nothing is.
trace_parent: ContextVar[str | None] = ContextVar("trace_parent", default=None)


def build_trace_parent() -> str | None:
    """Return `traceparent` for a request that is sent now; None without a trace.

    Where nothing is recorded its flag says so, so that no trace is sampled only for it.
    """
    trace = trace_id.get()
    if trace is None:
        return None
    return trace_parent.get() or f"00-{trace}-{secrets.token_hex(8)}-00"
