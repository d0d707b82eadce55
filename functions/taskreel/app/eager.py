"""Run a coroutine as far as it goes without waiting: what never waits needs no timers."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class EagerWork(Generic[T]):
    """A coroutine that has run to its first wait, or to its end; await it for its result.

    Most requests have their body at once, and much work never waits. A time-out or a heartbeat is
    worth its timers only once there is something to wait for: while `done` is False. The task that
    builds it is the one that must await it.
    """

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        """Begin `work`. Raises what it raises before its first wait."""
        self._work = work
        self._wait: Any = None
        self.done = False
        #: Its result, once it is done.
        self.result: T
        try:
            self._wait = work.send(None)
        except StopIteration as end:
            self.done = True
            self.result = end.value

    def __await__(self) -> Generator[Any, Any, T]:
        """Go on from the wait at which the work stopped."""
        if self.done:
            return self.result
        while True:
            try:
                yield self._wait
            except BaseException as error:  # noqa: BLE001 - a cancellation is for the work
                try:
                    self._wait = self._work.throw(error)
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return] # of the work itself
            else:
                result: T = yield from self._work.__await__()
                return result
