"""The local provider: every capability on this machine, from the prompt and a seed, with no network.

Pictures are drawn, films composed, texts come from a grammar, speech from espeak-ng. It can be told to misbehave
(`options.studio`), so that every path of a job can be rehearsed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from taskreel.adapters.providers.studio.analysing import analyse_content
from taskreel.adapters.providers.studio.films import assemble_films, compose_film, process_media
from taskreel.adapters.providers.studio.personal import personalize
from taskreel.adapters.providers.studio.pictures import make_image, make_video, upscale_image
from taskreel.adapters.providers.studio.sound import compose_tune, speak_text
from taskreel.adapters.providers.studio.text import write_text
from taskreel.domain.errors import PermanentError, RateLimitedError, TemporaryError
from taskreel.ports import Capability, Clock, Done, Generation, Input, MediaWorkers, Pending

_CRASH_SECONDS = 120.0

LABEL = "Made by studio, Taskreel's local provider; no generation service was called."


class Studio:
    """`Provider` without a service behind it."""

    name = "studio"

    def __init__(self, workers: MediaWorkers, clock: Clock) -> None:
        self._workers = workers
        self._clock = clock

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        del idempotency_key  # the same request draws the same picture
        behaviour = request.params.get("studio")
        if behaviour is None:
            return await self._make(request)
        return await self._misbehave(behaviour, request)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        left = int(operation["pollsLeft"])
        if left <= 0:
            return await self._make(request)
        return _pending(left - 1, operation)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Nothing goes on between two polls."""

    async def close(self) -> None:
        """The workers belong to whoever made them."""

    async def _misbehave(self, behaviour: Mapping[str, Any], request: Generation) -> Done | Pending:
        mode, times, seconds = (
            behaviour["mode"],
            behaviour.get("times", 1),
            behaviour.get("seconds", 1.0),
        )
        early = request.attempt <= times
        match mode:
            case "noop":
                request.report(0.5)
                return Done(data={"generator": LABEL, "note": "noop: nothing was made, as asked"})
            case "pending":
                return _pending(times - 1, {"polls": times, "seconds": seconds})
            case "fail-permanent":
                raise PermanentError("The studio was told to fail for good.", code="studio_failed")
            case "fail-temporary" if early:
                raise TemporaryError("The studio was told to fail this time.", code="studio_failed")
            case "rate-limit" if request.waits < times:
                raise RateLimitedError(
                    "The studio was told to ask for patience.",
                    retry_after=timedelta(seconds=seconds),
                )
            case "crash" if early:
                await self._workers.run(_die, timeout_seconds=_CRASH_SECONDS)
            case "slow" if early:
                await self._dawdle(seconds, request)
            case _:
                pass
        return await self._make(request)

    async def _dawdle(self, seconds: float, request: Generation) -> None:
        """Take that long, with progress to be seen."""
        steps = max(1, min(100, round(seconds / 0.25)))
        for step in range(steps):
            await self._clock.sleep(seconds / steps)
            request.report(0.9 * (step + 1) / steps)

    async def _make(self, request: Generation) -> Done:
        maker = _MAKERS.get(request.capability)
        if maker is None:
            raise PermanentError(f"The studio makes no {request.capability}.", code="not_offered")
        try:
            done = await maker(self._workers, request)
        except PermanentError as error:
            raise _labelled(error, request.inputs) from error
        return replace(
            done, data={**(done.data or {}), "generator": LABEL, "seed": request.params["seed"]}
        )


def _labelled(error: PermanentError, inputs: Sequence[Input]) -> PermanentError:
    """The error with each input called what its owner knows it by."""
    message, details = error.message, dict(error.details)
    for given in inputs:
        message = message.replace(given.path.name, given.label)
        if details.get("file") == given.path.name:
            details["file"] = given.label
    return PermanentError(message, code=error.code, **details)


def _pending(left: int, operation: Mapping[str, Any]) -> Pending:
    polls = operation["polls"]
    return Pending(
        operation={**operation, "pollsLeft": left},
        poll_after=timedelta(seconds=operation["seconds"]),
        progress=(polls - 1 - left) / polls,
    )


def _die() -> None:
    """What a fault in a codec does to its process."""
    os.kill(os.getpid(), signal.SIGKILL)


_MAKERS = {
    Capability.IMAGE: make_image,
    Capability.VIDEO: make_video,
    Capability.UPSCALE: upscale_image,
    Capability.TEXT: write_text,
    Capability.SPEECH: speak_text,
    Capability.MUSIC: compose_tune,
    Capability.COMPOSE: compose_film,
    Capability.ASSEMBLE: assemble_films,
    Capability.PROCESS: process_media,
    Capability.ANALYSE: analyse_content,
    Capability.PERSONALIZE: personalize,
}
