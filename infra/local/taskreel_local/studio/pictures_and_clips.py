"""Pictures and clips, drawn from the prompt and animated."""

from __future__ import annotations

from pathlib import Path

from taskreel.ports import Done, Generation, MediaWorkers, Output

_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
_IMAGE_SECONDS, _VIDEO_SECONDS = 120.0, 1500.0


async def make_image(workers: MediaWorkers, request: Generation) -> Done:
    """Paint a scene from the prompt's words."""
    from taskreel_local.studio.drawing.draw_picture import draw

    params = request.params
    out = _output_path(request, params.get("outputFormat", "png"))
    size = {"width": params["width"], "height": params["height"], "seed": params["seed"]}
    await workers.run(draw, params["prompt"], **size, out=out, timeout_seconds=_IMAGE_SECONDS)
    return Done(outputs=(Output(path=out),))


async def make_video(workers: MediaWorkers, request: Generation) -> Done:
    """Move the camera over the given pictures, or over some drawn from the prompt."""
    from taskreel.media.animate import MotionOptions, animate_pictures

    params = request.params
    out = request.folder / f"{request.name}.mp4"
    images = [given.path for given in request.inputs] or await _draw_stills(workers, request)
    await workers.run(
        animate_pictures,
        images,
        options=MotionOptions(
            prompt=params["prompt"],
            seed=params["seed"],
            seconds=params["duration"],
            width=params["width"],
            height=params["height"],
            fps=params["fps"],
        ),
        out=out,
        timeout_seconds=_VIDEO_SECONDS,
        on_progress=lambda fraction: request.report(0.1 + 0.85 * fraction),
    )
    return Done(outputs=(Output(path=out),))


async def _draw_stills(workers: MediaWorkers, request: Generation) -> list[Path]:
    """Draw one picture for every four seconds of a video from words alone."""
    from taskreel_local.studio.drawing.draw_picture import draw

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


def _output_path(request: Generation, output_format: str) -> Path:
    return request.folder / f"{request.name}{_SUFFIXES[output_format]}"
