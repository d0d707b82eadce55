"""The filter of ListQueues, in the syntax of Cloud Logging, over every field of a queue.

Examples: `state: PAUSED`, `state=RUNNING OR state=PAUSED`, `NOT state:DISABLED`, `name:emails`,
`rateLimits.maxDispatchesPerSecond >= 10 AND (retryConfig.minBackoff < 5s)`, `purgeTime:*`,
`name:("emails" OR "thumbnails")`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError, invalid_argument
from taskreel_cloud_tasks.codec_field import FieldType, FieldValueError
from taskreel_cloud_tasks.codec_messages import Message
from taskreel_cloud_tasks.codec_scalars import Enum, String
from taskreel_cloud_tasks.messages import Queue

QueuePredicate = Callable[[Queue], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<operator><=|>=|!=|=|<|>|:)|(?P<paren>[()])"
    r'|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<word>[^\s()"<>=!:]+(?::(?=[^\s])[^\s()"<>=!]*)*))'
)
_MAX_LENGTH = 20_000


def parse_filter(text: str) -> QueuePredicate:
    """Return the predicate of a filter. OR binds weaker than AND; a space means AND.

    Raises ApiError.
    """
    if not text.strip():
        return lambda _queue: True
    return _Parser(text).parse()


class _Parser:
    """A recursive descent parser; each method reads one level of the syntax."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _split_tokens(text)
        self._depth = 0
        self._compared: tuple[str, str] | None = None
        """Path and operator of the group of values that is being read."""

    def parse(self) -> QueuePredicate:
        predicate = self._parse_or()
        if self._tokens:
            raise self._error()
        return predicate

    def _parse_or(self) -> QueuePredicate:
        terms = [self._parse_and()]
        while self._take("word", "OR"):
            terms.append(self._parse_and())
        return terms[0] if len(terms) == 1 else lambda queue: any(term(queue) for term in terms)

    def _parse_and(self) -> QueuePredicate:
        terms = [self._parse_not()]
        while self._tokens and self._tokens[0] not in {("word", "OR"), ("paren", ")")}:
            self._take("word", "AND")
            terms.append(self._parse_not())
        return terms[0] if len(terms) == 1 else lambda queue: all(term(queue) for term in terms)

    def _parse_not(self) -> QueuePredicate:
        if self._take("word", "NOT"):
            inner = self._parse_not()
            return lambda queue: not inner(queue)
        if self._take("paren", "("):
            self._depth += 1
            if self._depth > 50:
                raise self._error()
            inner = self._parse_or()
            if not self._take("paren", ")"):
                raise self._error()
            return inner
        return self._parse_comparison()

    def _parse_comparison(self) -> QueuePredicate:
        if self._compared is not None:
            return _compare(*self._compared, self._take_value())
        if len(self._tokens) < 3 or [kind for kind, _ in self._tokens[:2]] != ["word", "operator"]:
            raise self._error()
        (_, path), (_, operator), *self._tokens = self._tokens
        negated = path.startswith("-")
        predicate = self._parse_compared(path.lstrip("-"), operator)
        return (lambda queue: not predicate(queue)) if negated else predicate

    def _parse_compared(self, path: str, operator: str) -> QueuePredicate:
        """Read a value, or several in parentheses: `state = (RUNNING OR PAUSED)`."""
        if self._tokens[0] != ("paren", "("):
            return _compare(path, operator, self._take_value())
        self._compared = (path, operator)
        predicate = self._parse_not()
        self._compared = None
        return predicate

    def _take_value(self) -> str:
        kind, value = self._tokens.pop(0) if self._tokens else ("", "")
        if kind == "quoted":
            return re.sub(r"\\(.)", r"\1", value[1:-1])
        if kind != "word" or (self._compared and value in {"AND", "OR", "NOT"}):
            raise self._error()
        return value

    def _take(self, kind: str, value: str) -> bool:
        if self._tokens and self._tokens[0] == (kind, value):
            self._tokens.pop(0)
            return True
        return False

    def _error(self) -> ApiError:
        return invalid_argument(
            "Invalid filter: it must compare fields of a queue, as 'state: PAUSED' does; "
            f"'{self._text.strip()[:100]}' cannot be understood."
        )


def _split_tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text[:_MAX_LENGTH].rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise invalid_argument(f"Invalid filter: '{text[at:][:100]}' cannot be understood.")
        # A colon directly behind a word belongs to the comparison: `name:emails`.
        kind, value = match.lastgroup, match[match.lastgroup]
        if kind == "word" and (not tokens or tokens[-1][0] != "operator") and ":" in value:
            head, _, rest = value.partition(":")
            tokens += [("word", head), ("operator", ":")]
            value = rest
        if value:  # `name:"emails"` has no word behind its colon
            tokens.append((kind, value))
        at = match.end()
    return tokens


def _compare(path: str, operator: str, text: str) -> QueuePredicate:
    """Return the comparison of one field; an unset field is equal to nothing, and has nothing."""
    field_type = _find_type(Queue, [message_codec.to_snake_case(step) for step in path.split(".")])
    if field_type is None:
        raise invalid_argument(f"Invalid filter: a queue has no field '{path[:100]}'.")
    steps = [message_codec.to_snake_case(step) for step in path.split(".")]
    if text == "*" and operator in {":", "="}:
        return lambda queue: _value_at(queue, steps) not in {None, "", 0}
    if isinstance(field_type, String):
        return lambda queue: _texts_compare(_value_at(queue, steps), operator, text)
    wanted = _read_value(field_type, path, text)
    if isinstance(field_type, Enum) and operator not in {"=", "!=", ":"}:
        raise invalid_argument(f"Invalid filter: '{path}' has no order; compare it with = or !=.")
    return lambda queue: _values_compare(_value_at(queue, steps), operator, wanted)


def _find_type(message: type, steps: list[str]) -> FieldType | None:
    head, *rest = steps
    for field in message_codec.fields_of(message):
        if field.attr == head:
            if not rest:
                return None if isinstance(field.field_type, Message) else field.field_type
            inside = field.field_type
            return _find_type(inside.message, rest) if isinstance(inside, Message) else None
    return None


def _value_at(queue: Any, steps: list[str]) -> Any:
    for step in steps:
        if queue is None:
            return None
        queue = getattr(queue, step)
    return queue


def _read_value(field_type: FieldType, path: str, text: str) -> Any:
    """Read the filter's value as a value of the field; durations may lack their `s`."""
    candidates = [text, text.upper(), f"{text}s"]
    for candidate in candidates:
        try:
            return field_type.from_json(candidate)
        except FieldValueError:
            continue
    raise invalid_argument(f"Invalid filter: '{text[:100]}' is no value of the field '{path}'.")


def _texts_compare(value: Any, operator: str, text: str) -> bool:
    if operator == ":":
        return text.lower() in str(value or "").lower()
    return _values_compare(value or "", operator, text)


def _values_compare(value: Any, operator: str, wanted: Any) -> bool:
    if value is None:
        return operator == "!="
    return bool(_OPERATORS[operator](value, wanted))


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ":": lambda value, wanted: value == wanted,
    "=": lambda value, wanted: value == wanted,
    "!=": lambda value, wanted: value != wanted,
    "<": lambda value, wanted: value < wanted,
    "<=": lambda value, wanted: value <= wanted,
    ">": lambda value, wanted: value > wanted,
    ">=": lambda value, wanted: value >= wanted,
}
