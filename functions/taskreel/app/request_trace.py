"""The trace and the id of the current request, for log lines that are written during it."""

from __future__ import annotations

from contextvars import ContextVar

#: The id of the trace; None outside a request, or where it carries none.
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

#: The id of the request; None outside one.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
