"""Single operations on files: stitching, mixing, a frame of a film, and a larger picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from taskreel.adapters.media.film_operations import given_params
from taskreel.ports import Done, Generation, MediaWorkers, Output

_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
#: At most; the attempt itself may end sooner.
_OPERATION_SECONDS, _UPSCALE_SECONDS = 3600.0, 300.0


async def process_media(workers: MediaWorkers, request: Generation) -> Done:
    """Run one of the four operations on the input files."""
    params = request.params
    out = request.folder / f"{request.name}.{params['outputFormat']}"
    paths = [given.path for given in request.inputs]
    await workers.run(
        _OPERATIONS[params["operation"]], paths, params, out=out, timeout_seconds=_OPERATION_SECONDS
    )
    return Done(outputs=(Output(path=out),), data={"operation": params["operation"]})


async def upscale_image(workers: MediaWorkers, request: Generation) -> Done:
    """Resample a picture to a larger size; no model adds detail."""
    from taskreel.media.upscale import upscale_picture

    output_format = request.params.get("outputFormat", "png")
    out = request.folder / f"{request.name}{_SUFFIXES[output_format]}"
    scale = request.params["scale"]
    await workers.run(
        upscale_picture,
        request.inputs[0].path,
        scale=scale,
        out=out,
        timeout_seconds=_UPSCALE_SECONDS,
    )
    return Done(outputs=(Output(path=out),))


def _stitch_videos(files: Sequence[Path], params: Mapping[str, Any], out: Path) -> None:
    from taskreel.media.stitch import StitchOptions, stitch_videos

    chosen = given_params(params, "width", "height", "fps", "quality", "fit")
    if params.get("fill") and "fit" not in chosen:
        chosen["fit"] = "cover"
    stitch_videos(files, out=out, options=StitchOptions(**chosen))


def _stitch_audio(files: Sequence[Path], params: Mapping[str, Any], out: Path) -> None:
    from taskreel.media.audio import stitch_audio

    gap, fade = params.get("gapSeconds") or 0.0, params.get("crossfadeSeconds") or 0.0
    stitch_audio(files, out=out, gap_seconds=gap, crossfade_seconds=fade)


def _mix_music(files: Sequence[Path], params: Mapping[str, Any], out: Path) -> None:
    from taskreel.media.audio import VoiceOverOptions, mix_music

    voice, music = files
    names = {
        "lead_seconds": "leadSeconds",
        "tail_seconds": "tailSeconds",
        "music_gain_db": "musicGainDb",
        "duck_db": "duckDb",
        "target_lufs": "targetLufs",
    }
    chosen = {
        ours: params[theirs] for ours, theirs in names.items() if params.get(theirs) is not None
    }
    mix_music(voice, music, out=out, options=VoiceOverOptions(**chosen))


def _extract_frame(files: Sequence[Path], params: Mapping[str, Any], out: Path) -> None:
    from taskreel.media.frames import extract_frame

    (video,) = files
    extract_frame(video, out=out, at_seconds=params.get("atSeconds"))


_OPERATIONS: Mapping[str, Callable[..., None]] = {
    "video-stitch": _stitch_videos,
    "audio-stitch": _stitch_audio,
    "music-mix": _mix_music,
    "frame-extract": _extract_frame,
}
