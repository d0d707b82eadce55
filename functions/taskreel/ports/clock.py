"""The port of the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Cancel the call; harmless after it was made."""


class Clock(Protocol):
    """The time, which tests control."""

    def now(self) -> datetime:
        """The present time, aware, in UTC."""

    async def sleep(self, seconds: float, /) -> None:
        """Wait that many seconds."""

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        """Call `callback` once, after that many seconds."""
