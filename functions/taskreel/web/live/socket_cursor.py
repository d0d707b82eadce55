"""The offset of a socket.io connection: what it follows, and its position in each.

The stock client sends back two texts when it connects again: the `pid` of the connection's start,
and the offset, which is the last text argument of the last event. Both are cursors of this form, so
that any instance can go on, with nothing remembered:

    own@1732….1732….job_x~jobId:job_y@1732….1732….job_y

A `pid` also ends with a random name, so that it is one client's alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from taskreel.app.live.job_reader import JobReader
from taskreel.app.live.job_scope import Scope, ScopeKind
from taskreel.domain.stream_position import StreamPosition

_MOST_CHARACTERS = 8000
_NAME = "#"


def format_cursor(reader: JobReader) -> str:
    """The reader's scopes with their positions."""
    return "~".join(
        f"{_format_scope(opened.scope)}@{reader.positions[opened.source]}"
        for opened in reader.scopes
        if opened.source in reader.positions
    )


def make_pid(reader: JobReader) -> str:
    """The reader's cursor, with a name of its own."""
    return f"{format_cursor(reader)}{_NAME}{secrets.token_hex(6)}"


def parse_cursor(text: object) -> dict[Scope, StreamPosition] | None:
    """Read what `format_cursor` wrote; None for anything else."""
    if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
        return None
    found: dict[Scope, StreamPosition] = {}
    for part in text.split("~"):
        name, _, at = part.rpartition("@")
        scope, position = _parse_scope(name), StreamPosition.parse(at)
        if scope is None or position is None:
            return None
        found[scope] = position
    return found


def choose_cursor(pid: object, offset: object) -> dict[Scope, StreamPosition] | None:
    """The place to go on from: the offset, but never before the start of the connection.

    A client whose stream was begun again has the new `pid` beside the offset of the old one until
    the first event. None without a `pid` of ours.
    """
    start = parse_cursor(pid.partition(_NAME)[0]) if isinstance(pid, str) else None
    if start is None:
        return None
    last = parse_cursor(offset)
    if last is None or not _is_later(last, start):
        return start
    return last


def _is_later(last: Mapping[Scope, StreamPosition], start: Mapping[Scope, StreamPosition]) -> bool:
    return all(position >= start[scope] for scope, position in last.items() if scope in start)


def list_scope_names(scopes: Sequence[Scope]) -> list[dict[str, object]]:
    """The scopes as a client writes them."""
    return [
        {scope.kind.value: True if scope.kind is ScopeKind.OWN else scope.name} for scope in scopes
    ]


def _format_scope(scope: Scope) -> str:
    return scope.kind if scope.kind is ScopeKind.OWN else f"{scope.kind}:{quote(scope.name, '')}"


def _parse_scope(text: str) -> Scope | None:
    kind, _, name = text.partition(":")
    if kind not in set(ScopeKind):
        return None
    return Scope(ScopeKind(kind), unquote(name))
