"""The local provider: real pictures and videos, drawn on this machine from the prompt and a seed, with no network.

It can be told to misbehave (`options.studio`), so that every path of a job can be rehearsed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from taskreel.domain.errors import PermanentError, RateLimitedError, TemporaryError
from taskreel.media.workers import Workers
from taskreel.ports import Capability, Clock, Done, Generation, Model, Output, Pending

_SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
_IMAGE_SECONDS, _UPSCALE_SECONDS, _VIDEO_SECONDS = 120.0, 300.0, 1500.0

LABEL = "Made by studio, Taskreel's local provider; no generation service was called."


class Studio:
    """`Provider` without a service behind it."""

    name = "studio"

    def __init__(self, workers: Workers, clock: Clock) -> None:
        self._workers = workers
        self._clock = clock

    def models(self) -> Sequence[Model]:
        return tuple(Model(name=f"studio-{capability}", capability=capability) for capability in _MAKERS)

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
        mode, times, seconds = behaviour["mode"], behaviour.get("times", 1), behaviour.get("seconds", 1.0)
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
                    "The studio was told to ask for patience.", retry_after=timedelta(seconds=seconds)
                )
            case "crash" if early:
                await self._workers.run(_die, timeout_seconds=_IMAGE_SECONDS)
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
        outputs = await maker(self._workers, request)
        return Done(outputs=outputs, data={"generator": LABEL, "seed": request.params["seed"]})


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


async def _image(workers: Workers, request: Generation) -> tuple[Output, ...]:
    from taskreel.media.draw import draw  # noqa: PLC0415 - numpy and Pillow, in the workers only

    params = request.params
    out = _target(request, params.get("outputFormat", "png"))
    size = {"width": params["width"], "height": params["height"], "seed": params["seed"]}
    await workers.run(draw, params["prompt"], **size, out=out, timeout_seconds=_IMAGE_SECONDS)
    return (Output(path=out),)


async def _upscale(workers: Workers, request: Generation) -> tuple[Output, ...]:
    from taskreel.media.upscale import upscale  # noqa: PLC0415 - Pillow, in the workers only

    out = _target(request, request.params.get("outputFormat", "png"))
    scale = request.params["scale"]
    await workers.run(upscale, request.inputs[0].path, scale=scale, out=out, timeout_seconds=_UPSCALE_SECONDS)
    return (Output(path=out),)


async def _video(workers: Workers, request: Generation) -> tuple[Output, ...]:
    from taskreel.media.animate import animate  # noqa: PLC0415 - libav, in the workers only

    params = request.params
    out = request.folder / f"{request.name}.mp4"
    images = [given.path for given in request.inputs] or await _stills(workers, request)
    await workers.run(
        animate,
        images,
        prompt=params["prompt"],
        seed=params["seed"],
        seconds=params["duration"],
        width=params["width"],
        height=params["height"],
        fps=params["fps"],
        out=out,
        timeout_seconds=_VIDEO_SECONDS,
        on_progress=lambda fraction: request.report(0.1 + 0.85 * fraction),
    )
    return (Output(path=out),)


async def _stills(workers: Workers, request: Generation) -> list[Path]:
    """A video from words alone: one picture for every four seconds, then the camera moves through them."""
    from taskreel.media.draw import draw  # noqa: PLC0415 - numpy and Pillow, in the workers only

    params = request.params
    count = max(1, min(6, round(params["duration"] / 4)))
    files = [request.folder / f"{request.name}-still-{index}.png" for index in range(count)]
    for index, file in enumerate(files):
        size = {"width": params["width"], "height": params["height"], "seed": params["seed"] + index}
        await workers.run(draw, params["prompt"], **size, out=file, timeout_seconds=_IMAGE_SECONDS)
        request.report(0.1 * (index + 1) / count)
    return files


def _target(request: Generation, output_format: str) -> Path:
    return request.folder / f"{request.name}{_SUFFIX[output_format]}"


_MAKERS = {Capability.IMAGE: _image, Capability.VIDEO: _video, Capability.UPSCALE: _upscale}
