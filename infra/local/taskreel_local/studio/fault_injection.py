"""Failures on request (`options.studio`), for tests, rehearsals and benchmarks."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from taskreel.domain.errors import PermanentError, RateLimitedError, TemporaryError
from taskreel.domain.value import Value
from taskreel.ports import Clock, Done, Generation, MediaWorkers, Pending, Provider

_CRASH_SECONDS = 120.0


class StudioOptions(Value):
    """Behaviour of the dev stack's own providers, for benchmarks and rehearsals.

    They misbehave on the first `times` attempts (`pending`: for `times` polls), then work. `noop`
    makes nothing, and `sleep` nothing after `seconds`.
    """

    mode: Literal[
        "noop",
        "sleep",
        "slow",
        "fail-temporary",
        "fail-permanent",
        "rate-limit",
        "pending",
        "crash",
    ]
    times: int = Field(default=1, ge=1, le=1000)
    seconds: float = Field(default=1.0, ge=0, le=3600)


class FaultInjector:
    """`Provider` that does as `options.studio` says, and else as the provider behind it.

    The provider behind it must answer at once: `poll` of an operation of its own is not passed on.
    """

    def __init__(self, provider: Provider, workers: MediaWorkers, clock: Clock) -> None:
        self.name = provider.name
        self._provider = provider
        self._workers = workers
        self._clock = clock

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        fault = request.params.get("studio")
        if fault is not None:
            answer = await self._inject_fault(StudioOptions.model_validate(fault), request)
            if answer is not None:
                return answer
        return await self._provider.start(request, idempotency_key=idempotency_key)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        polls_left = int(operation["pollsLeft"])
        if polls_left > 0:
            return _make_pending(polls_left - 1, operation)
        return await self._provider.start(request, idempotency_key="")

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Nothing goes on between two polls."""

    async def close(self) -> None:
        await self._provider.close()

    async def _inject_fault(
        self, fault: StudioOptions, request: Generation
    ) -> Done | Pending | None:
        """Fail or answer as `fault` says; None where the work should be done now."""
        early = request.attempt <= fault.times
        match fault.mode:
            case "noop" | "sleep":
                request.report(0.5)
                if fault.mode == "sleep":
                    await self._clock.sleep(fault.seconds)
                note = f"{fault.mode}: nothing was made, as options.studio asks"
                return Done(data={"generator": "The dev stack's fault injection", "note": note})
            case "pending":
                operation = {"polls": fault.times, "seconds": fault.seconds}
                return _make_pending(fault.times - 1, operation)
            case "fail-permanent":
                message = "The studio fails permanently, as options.studio asks."
                raise PermanentError(message, code="studio_failed")
            case "fail-temporary" if early:
                message = "The studio fails this time, as options.studio asks."
                raise TemporaryError(message, code="studio_failed")
            case "rate-limit" if request.waits < fault.times:
                message = "The studio limits the rate, as options.studio asks."
                raise RateLimitedError(message, retry_after=timedelta(seconds=fault.seconds))
            case "crash" if early:
                await self._workers.run(kill_process, timeout_seconds=_CRASH_SECONDS)
            case "slow" if early:
                await self._wait_slowly(fault.seconds, request)
            case _:
                pass
        return None

    async def _wait_slowly(self, seconds: float, request: Generation) -> None:
        """Take that long, and report progress."""
        steps = max(1, min(100, round(seconds / 0.25)))
        for step in range(steps):
            await self._clock.sleep(seconds / steps)
            request.report(0.9 * (step + 1) / steps)


def _make_pending(polls_left: int, operation: Mapping[str, Any]) -> Pending:
    polls = operation["polls"]
    return Pending(
        operation={**operation, "pollsLeft": polls_left},
        poll_after=timedelta(seconds=operation["seconds"]),
        progress=(polls - 1 - polls_left) / polls,
    )


def kill_process() -> None:
    """Kill this worker process, as a fault in a codec does."""
    os.kill(os.getpid(), signal.SIGKILL)
