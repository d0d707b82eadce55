"""A provider that answers after a drawn time, can be down for a while, and counts what it sells."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from taskreel.domain.errors import PermanentError, ProviderDownError
from taskreel.ports import Clock, Done, Generation, Pending

#: A prompt that no attempt can serve.
POISON = "poison"
#: A prompt may state the time of its work: "… takes 4.2 s".
_GIVEN_TIME = re.compile(r"takes ([\d.]+) s")


class TimedProvider:
    """`Provider` whose work takes about `mean` seconds; it makes no files."""

    def __init__(self, name: str, clock: Clock, draw: random.Random, mean: float) -> None:
        self.name = name
        self._clock = clock
        self._draw = draw
        self.mean = mean
        self.down = False
        #: None answers when the work is done; else it is polled so often.
        self.poll_seconds: float | None = None
        self.calls = 0
        #: Completed work by idempotency key.
        self.sold: Counter[str] = Counter()

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        self.calls += 1
        if self.down:
            await self._clock.sleep(0.2)
            raise ProviderDownError("503 Service Unavailable")
        given = _GIVEN_TIME.search(str(request.params.get("prompt", "")))
        seconds = float(given[1]) if given else draw_seconds(self._draw, self.mean)
        if self.poll_seconds is not None:
            ready_at = self._clock.now().timestamp() + seconds
            self.sold[idempotency_key] += 1
            return self._build_pending(ready_at)
        await self._clock.sleep(seconds)
        if POISON in str(request.params):
            raise PermanentError("the input cannot be read", code="poison")
        self.sold[idempotency_key] += 1
        return Done(data={"made": request.name})

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        ready_at = float(operation["readyAt"])
        if self._clock.now().timestamp() < ready_at:
            return self._build_pending(ready_at)
        return Done(data={"made": request.name})

    def _build_pending(self, ready_at: float) -> Pending:
        wait = timedelta(seconds=self.poll_seconds or 1.0)
        return Pending(operation={"readyAt": ready_at}, poll_after=wait)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Nothing goes on after `start`."""

    async def close(self) -> None:
        """Nothing is open."""


def draw_seconds(draw: random.Random, mean: float) -> float:
    """The time of one run: log-normal, with a spread of half its mean."""
    return round(min(mean * draw.lognormvariate(-0.11, 0.47), 6 * mean), 3)
