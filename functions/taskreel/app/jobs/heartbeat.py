"""The heartbeat of a run: a regular call that holds its lease while it works, until its limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from taskreel.domain.errors import LeaseLostError
from taskreel.ports import Clock, Timer

#: Firestore takes about one write a second to one document.
TICK_SECONDS = 1.0


class Heartbeat:
    """Awaits `beat` at every tick of the clock for which `is_due` is true.

    Driven by a timer of the services' clock: a run that ends before the first beat, as most do, has
    no task but its own. A tick comes a second after the last one or the end of its beat. `end` is
    called once the work has taken `limit`, of a second at the least, and not before the first tick:
    a run that has ended by then needs no other timer.
    """

    def __init__(
        self,
        clock: Clock,
        is_due: Callable[[], bool],
        beat: Callable[[], Awaitable[None]],
        *,
        limit: timedelta,
        end: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._is_due = is_due
        self._beat = beat
        self._limit = limit
        self._end = end
        self._timer: Timer | None = None
        self._end_timer: Timer | None = None
        self._beating: asyncio.Future[None] | None = None
        #: The run, while it works.
        self._run: asyncio.Task[object] | None = None
        self._error: BaseException | None = None

    async def guard(self, work: Awaitable[None]) -> None:
        """Await `work` while the heart beats. A beat that fails cancels the work.

        Raises the error of that beat, once the work has ended, unless somebody else cancelled the
        work as well. A lost lease comes before an error of the work: nothing may be written then.
        """
        run = self._run = asyncio.current_task()
        if run is None:
            raise RuntimeError("a heartbeat guards the work of a task")
        cancellations = run.cancelling()
        self._set_timer()
        try:
            await work
        except asyncio.CancelledError:
            # An uncancel for the heartbeat's own: what remains is of a deadline or of a stop.
            if self._error is None or run.uncancel() > cancellations:
                raise
            raise self._error from None
        except Exception as error:
            if self._error is not None:
                run.uncancel()
            if isinstance(self._error, LeaseLostError):
                raise self._error from error
            raise
        finally:
            self._stop()
        if self._error is not None:
            run.uncancel()
            raise self._error

    def _set_timer(self) -> None:
        self._timer = self._clock.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        if self._end_timer is None:
            left = self._limit.total_seconds() - TICK_SECONDS
            self._end_timer = self._clock.call_later(max(0.0, left), self._end)
        if not self._is_due():
            self._set_timer()
            return
        self._beating = asyncio.ensure_future(self._beat())
        self._beating.add_done_callback(self._end_beat)

    def _end_beat(self, beating: asyncio.Future[None]) -> None:
        error = None if beating.cancelled() else beating.exception()
        if self._run is None:
            return
        self._beating = None
        if error is None:
            self._set_timer()
        else:
            self._error = error
            self._run.cancel()

    def _stop(self) -> None:
        self._run = None
        for timer in (self._timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        if self._beating is not None:
            # Its write goes on: other callers may share it, and the fence checks it.
            self._beating.cancel()
