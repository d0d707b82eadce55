"""The size of a stored document, as Firestore counts it: it takes up to 1 MiB (1,048,576 bytes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

#: The largest payload of a job: it leaves room for the job's state and results.
MAX_PAYLOAD_BYTES = 700_000
#: The largest document that is written.
MAX_DOCUMENT_BYTES = 1_000_000
#: Firestore counts a number as 8 bytes, which in JSON takes at least 2, with its comma.
_JSON_FACTOR = 4


def is_larger(value: Any, most_bytes: int) -> bool:
    """True when the value takes more than `most_bytes` in a document. Cheap for small ones."""
    if (len(to_json(value)) + 1) * _JSON_FACTOR <= most_bytes:
        return False
    return measure_bytes(value) > most_bytes


def measure_bytes(value: Any) -> int:
    """The bytes that Firestore counts for a value: texts in UTF-8 and 1, names too, numbers 8."""
    size = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            size += _measure_text(one)
        elif one is None or isinstance(one, bool):
            size += 1
        elif isinstance(one, Mapping):
            size += sum(_measure_text(str(name)) for name in one)
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        else:
            size += 8
    return size


def _measure_text(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass")) + 1
