"""Composite field types of the v2 messages: messages, lists, maps and field masks."""

# ruff: noqa: D102, FBT001 - `FieldType` states the contracts; to_json is called by position, often
from __future__ import annotations

from typing import Any

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.codec_field import FieldValueError
from taskreel_cloud_tasks.codec_scalars import (
    Scalar,
    String,
    delimited_size,
    parse_integer,
    type_mismatch,
    varint_size,
)


class Message(Scalar):
    """A message inside a message."""

    def __init__(self, type_: type) -> None:
        self.message = type_

    def from_json(self, raw: Any) -> Any:
        return message_codec.from_json(self.message, raw)

    def to_json(self, value: Any, enum_ints: bool) -> dict[str, Any]:
        return message_codec.to_json(value, enum_ints=enum_ints)

    def from_pb(self, raw: Any) -> Any:
        return message_codec.from_pb(self.message, raw)

    def to_pb(self, value: Any) -> dict[str, Any]:
        return message_codec.to_pb_fields(value)

    def encoded_size(self, number: int, value: Any) -> int:
        return delimited_size(number, message_codec.encoded_size(value))


class Repeated(Scalar):
    """A list of messages or strings."""

    unset = ()

    def __init__(self, item: Message | String) -> None:
        self._item = item

    def from_json(self, raw: Any) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise type_mismatch("repeated", raw)
        return tuple(self._item.from_json(item) for item in raw)

    def to_json(self, value: tuple[Any, ...], enum_ints: bool) -> list[Any]:
        return [self._item.to_json(item, enum_ints) for item in value]

    def from_pb(self, raw: Any) -> tuple[Any, ...]:
        return tuple(self._item.from_pb(item) for item in raw)

    def to_pb(self, value: tuple[Any, ...]) -> list[Any]:
        return [self._item.to_pb(item) for item in value]

    def encoded_size(self, number: int, value: tuple[Any, ...]) -> int:
        return sum(self._item.encoded_size(number, item) for item in value)


class StringMap(Scalar):
    """map<string, string>."""

    _text = String()

    def __init__(self) -> None:
        self.unset = None

    def from_json(self, raw: Any) -> dict[str, str]:
        if not isinstance(raw, dict):
            raise type_mismatch("Map", raw)
        for key, value in raw.items():
            self._check_entry(key, value)
        return raw

    def _check_entry(self, key: str, value: Any) -> None:
        try:
            self._text.from_json(key)
            self._text.from_json(value)
        except FieldValueError as error:
            raise error.prefixed_with(key) from None

    def from_pb(self, raw: Any) -> dict[str, str]:
        return dict(raw)

    def encoded_size(self, number: int, value: dict[str, str]) -> int:
        stored_tasks = (
            self._text.encoded_size(1, key) + self._text.encoded_size(2, item)
            for key, item in value.items()
        )
        return sum(delimited_size(number, stored) for stored in stored_tasks)


class MessageMap(Scalar):
    """map<int32, some message>; JSON keys are text."""

    def __init__(self, type_: type) -> None:
        self.unset = None
        self._item = Message(type_)

    def from_json(self, raw: Any) -> dict[int, Any]:
        if not isinstance(raw, dict) or not all(parse_integer(key) is not None for key in raw):
            raise type_mismatch("Map", raw)
        return {int(key): self._item.from_json(item) for key, item in raw.items()}

    def to_json(self, value: dict[int, Any], enum_ints: bool) -> dict[str, Any]:
        return {str(key): self._item.to_json(item, enum_ints) for key, item in value.items()}

    def from_pb(self, raw: Any) -> dict[int, Any]:
        return {key: self._item.from_pb(item) for key, item in raw.items()}

    def to_pb(self, value: dict[int, Any]) -> dict[int, Any]:
        return {key: self._item.to_pb(item) for key, item in value.items()}

    def encoded_size(self, number: int, value: dict[int, Any]) -> int:
        stored_tasks = (
            1 + varint_size(key) + self._item.encoded_size(2, item) for key, item in value.items()
        )
        return sum(delimited_size(number, stored) for stored in stored_tasks)


class FieldMask(Scalar):
    """google.protobuf.FieldMask, as its paths; comma-separated in JSON."""

    unset = ()

    def from_json(self, raw: Any) -> tuple[str, ...]:
        if not isinstance(raw, str):
            raise type_mismatch("type.googleapis.com/google.protobuf.FieldMask", raw)
        return tuple(path for path in raw.split(",") if path)

    def to_json(self, value: tuple[str, ...], _enum_ints: bool) -> str:
        return ",".join(value)

    def from_pb(self, raw: Any) -> tuple[str, ...]:
        return tuple(raw.paths)

    def to_pb(self, value: tuple[str, ...]) -> dict[str, Any]:
        return {"paths": value}

    def encoded_size(self, number: int, value: tuple[str, ...]) -> int:
        return delimited_size(number, sum(String().encoded_size(1, path) for path in value))
