"""The times of a check that a connection repeats for as long as it is open."""

from __future__ import annotations

import time


class RegularCheck:
    """Due so many seconds after it was made, and then so often."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """The time until it is due; below zero behind that."""
        return self._next - time.monotonic()

    def take_turn(self) -> bool:
        """Tell if it is due, and begin to wait for the next turn."""
        if self.seconds_left > 0:
            return False
        self._next = time.monotonic() + self._seconds
        return True
