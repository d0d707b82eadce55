"""W3C's `traceparent` header as OpenTelemetry's context of a span, and back."""

from __future__ import annotations

from opentelemetry.trace import SpanContext, TraceFlags, format_span_id, format_trace_id


def parse_trace_parent(text: str) -> SpanContext | None:
    """Parse a `traceparent`; None for a text that is none."""
    parts = text.split("-")
    if [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
        return None
    try:
        trace, span, flags = (int(part, 16) for part in parts[1:4])
    except ValueError:
        return None
    found = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags & 1))
    return found if found.is_valid else None


def format_trace_parent(span: SpanContext) -> str:
    """The `traceparent` of a span."""
    flags = int(span.trace_flags)
    return f"00-{format_trace_id(span.trace_id)}-{format_span_id(span.span_id)}-{flags:02x}"
