"""Hypothesis strategies for messages with any fields, from the codec's tables."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.codec_messages import (
    FieldMask,
    Message,
    MessageMap,
    Repeated,
    StringMap,
)
from taskreel_cloud_tasks.codec_scalars import (
    Bytes,
    Double,
    Duration,
    Enum,
    Int,
    String,
    Timestamp,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


SCALARS: dict[type, st.SearchStrategy[Any]] = {
    String: TEXT,
    Bytes: st.binary(max_size=200),
    Double: st.floats(allow_nan=False, allow_infinity=False),
    Duration: st.integers(-(10**15), 10**15),
    Timestamp: st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    StringMap: st.dictionaries(TEXT, TEXT, min_size=1, max_size=3),
    FieldMask: st.lists(st.sampled_from(["state", "name"]), max_size=2).map(tuple),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field type; a map is set or unset, never empty."""
    match kind:
        case Int():
            return st.integers(-kind._limit, kind._limit - 1)
        case Enum():
            return st.sampled_from(list(kind.numbers.values()))
        case MessageMap():
            return st.dictionaries(
                st.integers(0, 2**31 - 1), messages_of(kind._item.message), min_size=1, max_size=3
            )
        case Message():
            return messages_of(kind.message)
        case Repeated():
            return st.lists(values(kind._item), max_size=3).map(tuple)
        case _:
            return SCALARS[type(kind)]


def messages_of(message: type) -> st.SearchStrategy[Any]:
    """Messages with any fields set, but at most one field of each oneof."""

    def made(picked: dict[str, Any]) -> Any:
        taken: set[str] = set()
        for field in message_codec.fields_of(message):
            if field.attr in picked and field.oneof:
                if field.oneof in taken:
                    del picked[field.attr]
                taken.add(field.oneof)
        return message(**picked)

    fields = {field.attr: values(field.field_type) for field in message_codec.fields_of(message)}
    return st.fixed_dictionaries({}, optional=fields).map(made)
