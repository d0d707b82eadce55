"""Scalar field types of the v2 messages: their JSON, protobuf and encoded forms."""

# ruff: noqa: D102, FBT001 - `FieldType` states the contracts; to_json is called by position, often
from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Any

from taskreel_cloud_tasks.codec_field import FieldValueError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_MAX_DURATION_S = 315_576_000_000
_MIN_TIMESTAMP_S, _MAX_TIMESTAMP_S = -62_135_596_800, 253_402_300_799


class Scalar:
    """Default conversions: the value is the same in JSON, in protobuf and here."""

    unset: Any = None
    same_in_pb = False

    def to_json(self, value: Any, _enum_ints: bool) -> Any:
        return value

    def from_pb(self, raw: Any) -> Any:
        return raw

    def to_pb(self, value: Any) -> Any:
        return value


class String(Scalar):
    """UTF-8 text."""

    unset = ""
    same_in_pb = True

    def from_json(self, raw: Any) -> str:
        if not isinstance(raw, str):
            raise type_mismatch("TYPE_STRING", raw)
        if not raw.isascii():
            _check_utf8(raw)
        return raw

    def encoded_size(self, number: int, value: str) -> int:
        return delimited_size(number, len(value) if value.isascii() else len(value.encode()))


class Bytes(Scalar):
    """Base64 in JSON: either alphabet, with or without padding."""

    unset = b""
    same_in_pb = True

    def from_json(self, raw: Any) -> bytes:
        if not isinstance(raw, str):
            raise type_mismatch("TYPE_BYTES", raw)
        try:
            return base64.b64decode(_standard_base64(raw), validate=True)
        except (ValueError, binascii.Error):
            raise FieldValueError(
                f'Invalid value{{at}} (TYPE_BYTES), Base64 decoding failed for "{raw[:100]}"'
            ) from None

    def to_json(self, value: bytes, _enum_ints: bool) -> str:
        return base64.b64encode(value).decode()

    def encoded_size(self, number: int, value: bytes) -> int:
        return delimited_size(number, len(value))


class Int(Scalar):
    """int32 or int64. JSON writes int64 as a string; both may be read from strings."""

    unset = 0
    same_in_pb = True

    def __init__(self, bits: int) -> None:
        self._type = f"TYPE_INT{bits}"
        self._limit = 1 << (bits - 1)
        self._as_text = bits > 32

    def from_json(self, raw: Any) -> int:
        value = parse_integer(raw)
        if value is None or not -self._limit <= value < self._limit:
            raise type_mismatch(self._type, raw)
        return value

    def to_json(self, value: int, _enum_ints: bool) -> int | str:
        return str(value) if self._as_text else value

    def encoded_size(self, number: int, value: int) -> int:
        return varint_size(number << 3) + varint_size(value)


class Bool(Scalar):
    """A boolean."""

    unset = False
    same_in_pb = True

    def from_json(self, raw: Any) -> bool:
        if not isinstance(raw, bool):
            raise type_mismatch("TYPE_BOOL", raw)
        return raw

    def encoded_size(self, number: int, _value: bool) -> int:
        return varint_size(number << 3) + 1


class Double(Scalar):
    """A 64-bit float; NaN and infinities are refused."""

    unset = 0.0

    def from_json(self, raw: Any) -> float:
        if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
            raise type_mismatch("TYPE_DOUBLE", raw)
        try:
            return self.from_pb(float(raw))
        except (ValueError, OverflowError):
            raise type_mismatch("TYPE_DOUBLE", raw) from None

    def to_json(self, value: float, _enum_ints: bool) -> float:
        return int(value) if float(value).is_integer() else value

    def from_pb(self, raw: float) -> float:
        if not math.isfinite(raw):
            raise type_mismatch("TYPE_DOUBLE", raw)
        return raw

    def encoded_size(self, number: int, _value: float) -> int:
        return varint_size(number << 3) + 8


class Enum(Scalar):
    """An enum by name in JSON, or by number for the REST transport; unknown numbers are refused."""

    def __init__(self, members: type[IntEnum], type_name: str) -> None:
        self._names = {member.name: member for member in members}
        self.numbers = {int(member): member for member in members}
        self._type = f"type.googleapis.com/google.cloud.tasks.v2.{type_name}"
        self.unset = members(0)

    def from_json(self, raw: Any) -> IntEnum:
        if isinstance(raw, str) and raw in self._names:
            return self._names[raw]
        number = parse_integer(raw)
        if number is None:
            raise type_mismatch(self._type, raw)
        return self.from_pb(number)

    def to_json(self, value: IntEnum, enum_ints: bool) -> str | int:
        return int(value) if enum_ints else value.name

    def from_pb(self, raw: int) -> IntEnum:
        member = self.numbers.get(raw)
        if member is None:
            raise type_mismatch(self._type, raw)
        return member

    def encoded_size(self, number: int, value: IntEnum) -> int:
        return varint_size(number << 3) + varint_size(int(value))


class Duration(Scalar):
    """google.protobuf.Duration, in microseconds."""

    _type = "type.googleapis.com/google.protobuf.Duration"

    def from_json(self, raw: Any) -> int:
        match = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
        if match is None:
            raise FieldValueError(
                f"Invalid value{{at}} ({self._type}), "
                "Illegal duration format; duration must end with 's'"
            )
        sign, seconds, fraction = match.groups()
        self._check_range(int(seconds))
        magnitude = int(seconds) * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])
        return -magnitude if sign else magnitude

    def to_json(self, value: int, _enum_ints: bool) -> str:
        seconds, fraction = divmod(abs(value), 1_000_000)
        return f"{'-' if value < 0 else ''}{seconds}{_format_fraction(fraction)}s"

    def from_pb(self, raw: Any) -> int:
        self._check_range(abs(raw.seconds))
        return int(raw.seconds) * 1_000_000 + int(raw.nanos / 1000)

    def to_pb(self, value: int) -> dict[str, int]:
        seconds, nanos = _split_duration(value)
        return {"seconds": seconds, "nanos": nanos}

    def encoded_size(self, number: int, value: int) -> int:
        return delimited_size(number, _pair_size(*_split_duration(value)))

    def _check_range(self, seconds: int) -> None:
        if seconds > _MAX_DURATION_S:
            raise FieldValueError(f"Invalid value{{at}} ({self._type}), Duration is out of range.")


class Timestamp(Scalar):
    """google.protobuf.Timestamp, in microseconds since 1970 (v2 truncates to them)."""

    _type = "type.googleapis.com/google.protobuf.Timestamp"

    def from_json(self, raw: Any) -> int:
        if not isinstance(raw, str) or not _TIMESTAMP.fullmatch(raw):
            raise self._format_error()
        try:
            moment = datetime.fromisoformat(raw)
            return (moment - _EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            raise self._format_error() from None

    def to_json(self, value: int, _enum_ints: bool) -> str:
        seconds, fraction = divmod(value, 1_000_000)
        return f"{_format_second(seconds)}{_format_fraction(fraction)}Z"

    def from_pb(self, raw: Any) -> int:
        seconds: int = raw.seconds
        nanos: int = raw.nanos
        if not _MIN_TIMESTAMP_S <= seconds <= _MAX_TIMESTAMP_S or not 0 <= nanos < 1_000_000_000:
            raise self._format_error()
        return seconds * 1_000_000 + nanos // 1000

    def to_pb(self, value: int) -> dict[str, int]:
        seconds, fraction = divmod(value, 1_000_000)
        return {"seconds": seconds, "nanos": fraction * 1000}

    def encoded_size(self, number: int, value: int) -> int:
        seconds, fraction = divmod(value, 1_000_000)
        return delimited_size(number, _pair_size(seconds, fraction * 1000))

    def _format_error(self) -> FieldValueError:
        return FieldValueError(
            f"Invalid value{{at}} ({self._type}), Illegal timestamp format; it must be RFC 3339"
        )


def type_mismatch(type_name: str, raw: Any) -> FieldValueError:
    """Return Google's error for a value of the wrong type."""
    shown = f'"{raw}"' if isinstance(raw, str) else str(raw)
    return FieldValueError(f"Invalid value{{at}} ({type_name}), {shown[:100]}")


def _check_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FieldValueError("Invalid value{at} (TYPE_STRING), not valid UTF-8") from None


def _standard_base64(text: str) -> str:
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    return standard + "=" * (-len(standard) % 4)


def parse_integer(raw: Any) -> int | None:
    """Return the integer in any form JSON allows, None for anything else."""
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
        return None
    if isinstance(raw, str) and (not raw.isascii() or len(raw) > 25):
        return None
    try:
        number = float(raw) if isinstance(raw, str) and not raw.lstrip("-").isdigit() else raw
        return int(number) if not isinstance(number, float) or number.is_integer() else None
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=256)
def _format_second(seconds: int) -> str:
    """Format a time without fractions. Cached: tasks come in bursts of the same second."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def _format_fraction(micros: int) -> str:
    """Return 0, 3 or 6 digits, as proto3 JSON prints microseconds."""
    if micros == 0:
        return ""
    return f".{micros // 1000:03d}" if micros % 1000 == 0 else f".{micros:06d}"


def _split_duration(micros: int) -> tuple[int, int]:
    """Return seconds and nanos of a Duration; both carry the sign."""
    seconds, fraction = divmod(abs(micros), 1_000_000)
    sign = -1 if micros < 0 else 1
    return sign * seconds, sign * fraction * 1000


def varint_size(value: int) -> int:
    """Return the encoded length of an integer."""
    if value < 0:
        return 10
    return max(1, (value.bit_length() + 6) // 7)


def delimited_size(number: int, length: int) -> int:
    """Return the encoded length of a length-delimited field."""
    return varint_size(number << 3) + varint_size(length) + length


def _pair_size(seconds: int, nanos: int) -> int:
    """Return the encoded length of Duration and Timestamp; a zero part is not encoded."""
    return sum(1 + varint_size(part) for part in (seconds, nanos) if part)
