"""The number of attempts that may run at once in the whole engine, whatever the queues allow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from taskreel_cloud_tasks.clock import SECOND, Clock

_log = logging.getLogger(__name__)

_FIRST_PAUSE = SECOND // 20
_LONGEST_PAUSE = SECOND
_LOG_EVERY = 10 * SECOND
_STARTS_A_TURN = 32
"""Most attempts of all queues that are started in one turn of the event loop."""


class DispatchSlots:
    """One slot an attempt. Queues that find none free are called when there is one.

    After a shortage (see `file_descriptors`) none is free for a moment: 50 ms, doubled with each
    further one up to a second, so that others can finish.
    """

    def __init__(self, clock: Clock, limit: Callable[[], int]) -> None:
        self._clock = clock
        self._limit = limit
        self._used = 0
        self._started = 0
        self._waiting: dict[Callable[[], None], None] = {}  # in the order of arrival
        self._pause = 0
        self._paused_until = 0
        self._logged_at = -_LOG_EVERY

    def has_free_slot(self, call_when_free: Callable[[], None]) -> bool:
        """Return True if an attempt may start; if not, `call_when_free` is called later, once."""
        now = self._clock.now()
        if self._used < self._limit() and now >= self._paused_until:
            return True
        self._waiting.setdefault(call_when_free)
        return False

    def forget(self, call_when_free: Callable[[], None]) -> None:
        """Call a queue no more."""
        self._waiting.pop(call_when_free, None)

    def has_turn(self) -> bool:
        """Return True if another attempt may start in this turn of the event loop.

        The first requests of a burst are on their way before the last ones are prepared.
        """
        return self._started < _STARTS_A_TURN

    def use_turn(self) -> None:
        """Count a start in this turn of the event loop."""
        if not self._started:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._started += 1

    def _end_turn(self) -> None:
        self._started = 0

    def take(self) -> None:
        """Take a slot; RunTask may take one when none is free."""
        self._used += 1

    def free(self) -> None:
        """Free a slot."""
        self._used -= 1
        self._pause = 0
        if self._waiting and self._clock.now() >= self._paused_until:
            self._call_waiting()

    def free_after_shortage(self, detail: str) -> int:
        """Free a slot, start nothing for a moment, and return the end of that moment."""
        now = self._clock.now()
        self._used -= 1
        if now >= self._paused_until:
            self._pause = min(max(_FIRST_PAUSE, self._pause * 2), _LONGEST_PAUSE)
            self._paused_until = now + self._pause
            self._clock.call_at(self._paused_until, self._call_waiting)
        if now - self._logged_at >= _LOG_EVERY:
            self._logged_at = now
            _log.warning(
                "%s: no attempt is counted, the tasks are dispatched again. %d attempts run; "
                "raise the limit of open files (ulimit -n) or lower the queues' "
                "maxConcurrentDispatches.",
                *(detail, self._used),
            )
        return self._paused_until

    def _call_waiting(self) -> None:
        """Call the queues that wait, the longest first; those that find no slot wait again."""
        waiting, self._waiting = self._waiting, {}
        for call in waiting:
            call()
