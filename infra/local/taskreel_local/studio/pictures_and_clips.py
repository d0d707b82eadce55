"""Pictures and clips, drawn from the prompt and animated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taskreel.domain.errors import PermanentError
from taskreel.ports import Done, Generation, MediaWorkers, Output

_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
#: Shapes are at most so long; ratios so little apart count as one.
MOST_RATIO, SAME_RATIO = 4.0, 0.02
SMALLEST_SIDE = 64
_IMAGE_SECONDS, _VIDEO_SECONDS = 120.0, 1500.0


async def make_image(workers: MediaWorkers, request: Generation) -> Done:
    """Paint a scene from the prompt's words; given pictures are changed as they say."""
    params = request.params
    out = _output_path(request, params.get("outputFormat", "png"))
    work = _edit if request.inputs else _draw
    given = [[item.path for item in request.inputs]] if request.inputs else []
    await workers.run(work, *given, dict(params), out=out, timeout_seconds=_IMAGE_SECONDS)
    return Done(outputs=(Output(path=out),))


def _draw(params: Mapping[str, Any], *, out: Path) -> None:
    from taskreel_local.studio.drawing.draw_picture import draw

    width, height = choose_size(params)
    draw(params["prompt"], seed=params["seed"], width=width, height=height, out=out)


def _edit(pictures: Sequence[Path], params: Mapping[str, Any], *, out: Path) -> None:
    from taskreel.media.open_media import open_picture
    from taskreel_local.studio.drawing.edit_picture import edit_picture

    shape = open_picture(pictures[0]).size
    width, height = choose_size({"aspectRatio": f"{shape[0]}:{shape[1]}", **params})
    edit_picture(
        *pictures,
        prompt=params["prompt"],
        seed=params["seed"],
        width=width,
        height=height,
        out=out,
    )


def choose_size(params: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height; `aspectRatio` changes the shape and retains the number of pixels."""
    width, height = params["width"], params["height"]
    if not params.get("aspectRatio"):
        return width, height
    wide, high = (float(part) for part in params["aspectRatio"].split(":"))
    if wide <= 0 or high <= 0:
        message = f"aspectRatio is {params['aspectRatio']}; both of its numbers must be over 0."
        raise PermanentError(message, code="bad_parameters")
    ratio = min(max(wide / high, 1 / MOST_RATIO), MOST_RATIO)
    if abs(width / height / ratio - 1) < SAME_RATIO:
        return width, height
    area = width * height
    sides = ((area * ratio) ** 0.5, (area / ratio) ** 0.5)
    return _even(sides[0]), _even(sides[1])


def _even(side: float) -> int:
    return max(SMALLEST_SIDE, 2 * round(side / 2))


async def make_video(workers: MediaWorkers, request: Generation) -> Done:
    """Move the camera over the given pictures, or over some drawn from the prompt."""
    from taskreel.media.animate import MotionOptions, animate_pictures

    params = request.params
    out = request.folder / f"{request.name}.mp4"
    width, height = choose_size(params)
    images = [given.path for given in request.inputs] or await _draw_stills(workers, request)
    await workers.run(
        animate_pictures,
        images,
        options=MotionOptions(
            prompt=params["prompt"],
            seed=params["seed"],
            seconds=params["duration"],
            width=width,
            height=height,
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
    width, height = choose_size(params)
    count = max(1, min(6, round(params["duration"] / 4)))
    files = [request.folder / f"{request.name}-still-{index}.png" for index in range(count)]
    for index, file in enumerate(files):
        size = {"width": width, "height": height, "seed": params["seed"] + index}
        await workers.run(draw, params["prompt"], **size, out=file, timeout_seconds=_IMAGE_SECONDS)
        request.report(0.1 * (index + 1) / count)
    return files


def _output_path(request: Generation, output_format: str) -> Path:
    return request.folder / f"{request.name}{_SUFFIXES[output_format]}"
