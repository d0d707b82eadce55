"""An event loop without sockets and threads, whose time passes when nothing else can happen.

Calls to the outside world stop at a `pause`. When no callback is ready, the loop lets one of the
paused calls go on, and which one the tape says; or it lets time pass. One such choice is a step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from simulation.tape import Tape

#: Time passes although calls wait in one of so many choices, by a second at most.
_TIME_PASSES_IN = 12
_LONGEST_PASSAGE = 1.0
#: A step never takes more callbacks: else the code spins.
MOST_CALLBACKS_PER_STEP = 200_000


class StuckError(Exception):
    """Nothing can happen any more although the simulation has not ended."""


class _Inline(ThreadPoolExecutor):
    """Runs a call for a thread at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it belongs to the caller that waits
            future.set_exception(error)
        return future


@dataclass(eq=False, slots=True)
class Pause:
    """A call that waits for its turn."""

    future: asyncio.Future[None]
    task: asyncio.Task[Any] | None
    #: False while the instance that calls is dead or frozen.
    may_go_on: Callable[[], bool]


@dataclass
class Schedule:
    """The choice of the next call: any of them, or by priorities that change now and then (PCT).

    With priorities one task runs as long as it can, so that orders are found that need one task to
    be much slower than others; the tape says when a task loses its rank.
    """

    tape: Tape
    by_priority: bool = False
    _ranks: WeakKeyDictionary[asyncio.Task[Any], int] = field(default_factory=WeakKeyDictionary)
    _lowest: int = 0

    def choose(self, pauses: list[Pause]) -> Pause:
        """The pause that ends now."""
        if not self.by_priority:
            return pauses[self.tape.draw(len(pauses))]
        chosen = max(pauses, key=self._rank)
        if chosen.task is not None and self.tape.happens(20):
            self._lowest -= 1
            self._ranks[chosen.task] = self._lowest
        return chosen

    def _rank(self, pause: Pause) -> int:
        if pause.task is None:
            return 0
        rank = self._ranks.get(pause.task)
        if rank is None:
            rank = self._ranks[pause.task] = self.tape.draw(1 << 20)
        return rank


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop of one simulation."""

    def __init__(self, tape: Tape, schedule: Schedule) -> None:
        super().__init__()
        self._selector = self  # asked by the base class when no callback is ready
        self._clock_resolution = 1e-6
        self._now = 0.0
        #: The newest time that a machine's clock has shown, but for its skew.
        self.last_reading = 0.0
        self._tape = tape
        self._schedule = schedule
        self._pauses: list[Pause] = []
        #: Called after each step, when all that follows from it has been done.
        self.after_step: Callable[[], None] = lambda: None
        self.steps = 0
        self._callbacks = 0
        #: The error that ends the simulation, of a task that nobody awaits.
        self.failed: BaseException | None = None
        #: While set, pauses end at once.
        self.is_ending = False
        self.set_default_executor(_Inline())

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    @property
    def by_priority(self) -> bool:
        """True if tasks have priorities."""
        return self._schedule.by_priority

    async def pause(self, may_go_on: Callable[[], bool]) -> None:
        """Wait until the schedule lets the caller go on."""
        if self.is_ending:
            return
        pause = Pause(self.create_future(), asyncio.current_task(), may_go_on)
        self._pauses.append(pause)
        await pause.future

    def select(self, timeout: float | None) -> list[Any]:
        """Let the next thing happen; called by the base class, with 0 while callbacks wait."""
        if timeout is not None and timeout <= 0:
            self._callbacks += 1
            if self._callbacks > MOST_CALLBACKS_PER_STEP:
                raise StuckError("callbacks follow each other without end")
            return []
        self._callbacks = 0
        if self.failed is not None:
            raise self.failed
        self.after_step()
        waiting = [one for one in self._pauses if one.may_go_on()]
        if waiting and not self._lets_time_pass(timeout):
            self.steps += 1
            chosen = self._schedule.choose(waiting)
            self._pauses.remove(chosen)
            if not chosen.future.done():  # its caller was cancelled
                chosen.future.set_result(None)
            return []
        if timeout is None:
            raise StuckError("nothing can happen any more")
        self._now += timeout
        return []

    def _lets_time_pass(self, timeout: float | None) -> bool:
        if timeout is None or timeout > _LONGEST_PASSAGE:
            return False
        return self._tape.draw(_TIME_PASSES_IN) == _TIME_PASSES_IN - 1

    def end_pauses(self) -> None:
        """Let every paused call go on, now and from now on: the simulation is over."""
        self.is_ending = True
        for pause in self._pauses:
            if not pause.future.done():
                pause.future.set_result(None)
        self._pauses.clear()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody else could wake this loop."""
