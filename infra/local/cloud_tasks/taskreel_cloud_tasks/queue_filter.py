"""The filter of ListQueues.

Examples: `state: PAUSED`, `state=RUNNING OR state=PAUSED`, `NOT state:DISABLED`, `name:part`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from taskreel_cloud_tasks.api_errors import invalid_argument
from taskreel_cloud_tasks.messages import Queue

QueuePredicate = Callable[[Queue], bool]

_TERM = re.compile(r"\s*(NOT\s+|-)?(state|name)\s*(:|=|!=)\s*\"?([^\s\"()]+)\"?\s*", re.ASCII)


def parse_filter(text: str) -> QueuePredicate:
    """Return the predicate of a filter; OR binds weaker than AND. Raises ApiError.

    Supports the part of Cloud Logging's syntax that applies to queues.
    """
    if not text.strip():
        return lambda _queue: True
    alternatives = [
        [_parse_term(term) for term in re.split(r"\s+AND\s+", part)]
        for part in re.split(r"\s+OR\s+", text)
    ]
    return lambda queue: any(all(term(queue) for term in terms) for terms in alternatives)


def _parse_term(text: str) -> QueuePredicate:
    match = _TERM.fullmatch(text)
    if match is None:
        raise invalid_argument(f"Invalid filter: '{text.strip()[:100]}' cannot be understood.")
    negated, field, operator, value = match.groups()
    matches = _by_state(value) if field == "state" else _by_name(value, operator)
    inverted = bool(negated) != (operator == "!=")
    return lambda queue: matches(queue) != inverted


def _by_state(value: str) -> QueuePredicate:
    return lambda queue: queue.state.name == value.upper()


def _by_name(value: str, operator: str) -> QueuePredicate:
    return (
        (lambda queue: value in queue.name)
        if operator == ":"
        else (lambda queue: queue.name == value)
    )
