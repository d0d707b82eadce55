"""A parser that a fuzzer gives bytes to, and what it may raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from taskreel.domain.errors import TaskreelError
from taskreel_cloud_tasks.api_errors import ApiError

NOW = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
_ACCEPTED = (TaskreelError, ApiError)


@dataclass(frozen=True, slots=True)
class Target:
    """A parser, and examples from which the bytes are made."""

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    #: The errors that it documents.
    accepted: tuple[type[Exception], ...] = _ACCEPTED

    def feed(self, data: bytes) -> None:
        """Give it the bytes. Raises what no parser may raise."""
        try:
            self.run(data)
        except self.accepted:
            return


def read_text(data: bytes) -> str:
    """The bytes as text; what is no UTF-8 is replaced."""
    return data.decode("utf-8", "replace")
