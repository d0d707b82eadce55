"""ListQueues' filter: `state: PAUSED`, `state=RUNNING OR state=PAUSED`, `NOT state:DISABLED`, `name:part`."""

from __future__ import annotations

import re
from collections.abc import Callable

from taskreel_local.emulators.cloudtasks.api_errors import invalid
from taskreel_local.emulators.cloudtasks.messages import Queue

QueuePredicate = Callable[[Queue], bool]

_TERM = re.compile(r"\s*(NOT\s+|-)?(state|name)\s*(:|=|!=)\s*\"?([^\s\"()]+)\"?\s*", re.ASCII)


def parse(text: str) -> QueuePredicate:
    """What a filter lets through; the part of Logging's syntax that suits queues. OR binds weaker than AND."""
    if not text.strip():
        return lambda _queue: True
    ways = [
        [_term(term) for term in re.split(r"\s+AND\s+", way)] for way in re.split(r"\s+OR\s+", text)
    ]
    return lambda queue: any(all(term(queue) for term in way) for way in ways)


def _term(text: str) -> QueuePredicate:
    match = _TERM.fullmatch(text)
    if match is None:
        raise invalid(f"Invalid filter: '{text.strip()[:100]}' cannot be understood.")
    negated, field, operator, value = match.groups()
    test = _by_state(value) if field == "state" else _by_name(value, operator)
    wrong_way = bool(negated) != (operator == "!=")
    return lambda queue: test(queue) != wrong_way


def _by_state(value: str) -> QueuePredicate:
    return lambda queue: queue.state.name == value.upper()


def _by_name(value: str, operator: str) -> QueuePredicate:
    return (
        (lambda queue: value in queue.name)
        if operator == ":"
        else (lambda queue: queue.name == value)
    )
