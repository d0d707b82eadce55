"""Pictures and clips: drawn from the prompt, animated, enlarged."""

from __future__ import annotations

from pathlib import Path

from taskreel.ports import Done, Generation, MediaWorkers, Output

_SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
_IMAGE_SECONDS, _UPSCALE_SECONDS, _VIDEO_SECONDS = 120.0, 300.0, 1500.0


async def make_image(workers: MediaWorkers, request: Generation) -> Done:
    """A scene painted from the prompt's words."""
    from taskreel.media.draw import draw

    params = request.params
    out = _target(request, params.get("outputFormat", "png"))
    size = {"width": params["width"], "height": params["height"], "seed": params["seed"]}
    await workers.run(draw, params["prompt"], **size, out=out, timeout_seconds=_IMAGE_SECONDS)
    return Done(outputs=(Output(path=out),))


async def upscale_image(workers: MediaWorkers, request: Generation) -> Done:
    """The same picture, larger."""
    from taskreel.media.upscale import upscale_picture

    out = _target(request, request.params.get("outputFormat", "png"))
    scale = request.params["scale"]
    await workers.run(
        upscale_picture,
        request.inputs[0].path,
        scale=scale,
        out=out,
        timeout_seconds=_UPSCALE_SECONDS,
    )
    return Done(outputs=(Output(path=out),))


async def make_video(workers: MediaWorkers, request: Generation) -> Done:
    """Camera moves over the given pictures, or over some drawn from the prompt."""
    from taskreel.media.animate import animate_pictures

    params = request.params
    out = request.folder / f"{request.name}.mp4"
    images = [given.path for given in request.inputs] or await _stills(workers, request)
    await workers.run(
        animate_pictures,
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
    return Done(outputs=(Output(path=out),))


async def _stills(workers: MediaWorkers, request: Generation) -> list[Path]:
    """A video from words alone: one picture for every four seconds, then the camera moves through them."""
    from taskreel.media.draw import draw

    params = request.params
    count = max(1, min(6, round(params["duration"] / 4)))
    files = [request.folder / f"{request.name}-still-{index}.png" for index in range(count)]
    for index, file in enumerate(files):
        size = {
            "width": params["width"],
            "height": params["height"],
            "seed": params["seed"] + index,
        }
        await workers.run(draw, params["prompt"], **size, out=file, timeout_seconds=_IMAGE_SECONDS)
        request.report(0.1 * (index + 1) / count)
    return files


def _target(request: Generation, output_format: str) -> Path:
    return request.folder / f"{request.name}{_SUFFIX[output_format]}"
