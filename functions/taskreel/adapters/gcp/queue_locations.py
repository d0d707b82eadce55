"""Cloud Tasks in several locations: a task goes to the first one that takes it.

A location whose calls fail is passed over for some seconds, longer each time; then one call tries
it again, so that tasks return to it once it works. One that an administrator drains gets no tasks.

The name of a task prevents a second one in its own queue only. A call whose answer was lost may
have stored the task, which is then created in the next location too, and both are delivered. That
costs a delivery and nothing else: a delivery must claim its job before it does anything, and the
second one finds the job claimed, ended or waiting for another delivery.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from google.api_core.exceptions import GoogleAPICallError
from msgspec.structs import replace

from taskreel.adapters.gcp.queue_shards import add_stats
from taskreel.domain.errors import QueueError, TaskreelError
from taskreel.ports import QueueStats, Task

log = logging.getLogger(__name__)

#: A location that failed is passed over for so long, doubled with each further failure.
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0
#: Orders to drain a location are read so often, and for so long at most.
ORDER_AGE_SECONDS = 10.0
_ORDER_SECONDS = 2.0
_NAME = re.compile(r"[a-z]+(-[a-z0-9]+)*")
#: Refusals that every location would repeat: they say nothing about the location.
_REFUSALS = frozenset({grpc.StatusCode.INVALID_ARGUMENT})

#: Creates tasks in a location; with `hurried`, in a part of the time, as another one can take them.
#: Returns the errors of tasks by their position, and raises QueueError when all failed.
CreateTasks: TypeAlias = Callable[[str, Sequence[Task], bool], Awaitable[Mapping[int, QueueError]]]
#: Reads the names of the locations that get no tasks.
ReadDrained: TypeAlias = Callable[[], Awaitable[Collection[str]]]


@dataclass(slots=True)
class _State:
    """The failures of a location since its last success, and until when it is passed over."""

    failures: int = 0
    passed_over_until: float = 0.0
    #: True while one call tries it again.
    is_tried: bool = False


class Locations:
    """The locations of one deployment's queues, in the order in which they are preferred."""

    def __init__(
        self,
        names: Sequence[str],
        read_drained: ReadDrained | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._states = {name: _State() for name in names}
        self._read_drained = read_drained
        self._now = now
        self._drained: frozenset[str] = frozenset()
        self._drained_read_at = float("-inf")

    async def create_tasks(
        self, tasks: Sequence[Task], create: CreateTasks
    ) -> Mapping[int, QueueError]:
        """Create tasks in the first location that takes them; return the errors by position."""
        await self._refresh_drained()
        order = self._choose_order()
        errors: dict[int, QueueError] = {}
        waiting = list(range(len(tasks)))
        for name in order:
            sent = [tasks[place] for place in waiting]
            try:
                failed = await create(name, sent, name != order[-1])
            except QueueError as error:
                failed = dict.fromkeys(range(len(sent)), error)
            found = {waiting[place]: error for place, error in failed.items()}
            errors = {place: errors[place] for place in errors if place not in waiting} | found
            # A task that no location would take is its caller's fault, and closes none of them.
            waiting = [place for place, error in found.items() if not _is_refusal(error)]
            self._note_result(name, has_failed=bool(waiting))
            if not waiting:
                break
        return errors

    async def read_stats(
        self, queue: str, read: Callable[[str], Awaitable[QueueStats]]
    ) -> QueueStats:
        """Read the state of a queue in every location; `read` reads that of one.

        A location that does not answer is None in `locations`, and missing in the sums. Raises
        QueueError when none answers.
        """
        found = await asyncio.gather(*map(read, self._states), return_exceptions=True)
        answers: dict[str, QueueStats | None] = {}
        errors: list[QueueError] = []
        for name, one in zip(self._states, found, strict=True):
            if isinstance(one, QueueStats):
                answers[name] = one
            elif isinstance(one, QueueError):
                answers[name] = None
                errors.append(one)
            else:
                raise one
        if len(errors) == len(answers):
            raise errors[0]
        sums = add_stats(queue, [one for one in answers.values() if one is not None])
        return replace(sums, locations=answers)

    def _choose_order(self) -> list[str]:
        """The locations to try: those that work, then those that failed; no drained one.

        A location whose pause is over is tried by the call that asks now, and passed over by the
        others until that one has its answer.
        """
        now = self._now()
        allowed = [name for name in self._states if name not in self._drained]
        # With every location drained by mistake, the first one serves.
        names = allowed or list(self._states)[:1]
        working = [name for name in names if self._states[name].passed_over_until <= now]
        for state in (self._states[name] for name in working):
            if state.failures:
                state.is_tried = True
                state.passed_over_until = now + FIRST_PAUSE_SECONDS
        return working + [name for name in names if name not in working]

    def _note_result(self, name: str, *, has_failed: bool) -> None:
        state = self._states[name]
        if not has_failed:
            if state.failures:
                log.info(
                    "a location takes tasks again",
                    extra={"action": "location_recovered", "location": name},
                )
            self._states[name] = _State()
            return
        if state.failures and state.passed_over_until > self._now() and not state.is_tried:
            return  # calls that began at once fail at once, and count as one failure
        state.failures, state.is_tried = state.failures + 1, False
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (state.failures - 1), LONGEST_PAUSE_SECONDS)
        state.passed_over_until = self._now() + pause
        log.warning(
            "a location takes no tasks; they go to the next one",
            extra={"action": "location_failed", "location": name},
        )

    async def _refresh_drained(self) -> None:
        """Read the orders again once they are old; the last ones hold while they cannot be read."""
        if self._read_drained is None or self._now() - self._drained_read_at < ORDER_AGE_SECONDS:
            return
        self._drained_read_at = self._now()  # first: callers that come meanwhile do not read too
        try:
            async with asyncio.timeout(_ORDER_SECONDS):
                self._drained = frozenset(await self._read_drained())
        except (TaskreelError, TimeoutError):
            log.warning(
                "the orders to drain locations cannot be read; the last ones hold",
                extra={"action": "location_orders_unread"},
            )


def _is_refusal(error: QueueError) -> bool:
    cause = error.__cause__
    return isinstance(cause, GoogleAPICallError) and cause.grpc_status_code in _REFUSALS


def parse_locations(first: str, text: str | None) -> Sequence[str]:
    """Parse `europe-west1,europe-west3`, the locations behind the first. Raises ValueError."""
    names = [name.strip() for name in text.split(",")] if text else []
    if wrong := [name for name in names if not _NAME.fullmatch(name)]:
        raise ValueError(
            f"locations={text!r} must be LOCATION,…, such as locations=europe-west1; "
            f"{wrong[0]!r} is none"
        )
    return tuple(dict.fromkeys((first, *names)))
