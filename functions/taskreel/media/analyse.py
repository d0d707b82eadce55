"""Real measurements of a picture, a video, a sound or a text: what can be known without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from taskreel.domain.errors import PermanentError
from taskreel.media.audio_io import read_audio_frames, to_samples
from taskreel.media.frames import FrameShape, read_clip_pictures
from taskreel.media.loudness import Loudness, LoudnessMeter
from taskreel.media.open_media import open_picture
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.text_stats import TextFacts, measure_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Expected = Literal["script", "image", "video", "audio", "text"]
Grey: TypeAlias = npt.NDArray[np.float32]

LOOK_SIDE = 160  # pixels: colours and cuts show at this size
LOOK_FPS = 8
CUT_DIFFERENCE = 0.115  # mean change of brightness and colour from one look to the next …
CUT_OVER_USUAL = 3.2  # … and this many times what is usual around it
QUIET_DB = -50.0
MAX_TEXT_BYTES = 5_000_000
COLOURS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """A dominant colour as #rrggbb and the share of the picture it covers."""

    hex: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """`brightness`, `contrast`, `saturation` and `sharpness` go from 0 to 1."""

    colours: tuple[Colour, ...]
    brightness: float
    contrast: float
    saturation: float
    sharpness: float
    aspect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """`silent_share` of the time is under -50 dB."""

    loudness: Loudness
    silent_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """`shots` are (start, length) in seconds; `motion` is the usual change between looks, 0…1."""

    shots: tuple[tuple[float, float], ...]
    motion: float
    brightness: float
    colours: tuple[Colour, ...]
    aspect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What applies to the file; the rest is None."""

    info: MediaInfo
    image: ImageFacts | None = None
    video: VideoFacts | None = None
    audio: AudioFacts | None = None
    text: TextFacts | None = None


def analyse_file(path: Path, *, expected: Expected | None = None) -> Analysis:
    """Measure a file by what it contains. Streams: any length.

    Raises PermanentError for what cannot be read and for what is not as `expected`.
    """
    info = probe_file(path)
    if expected is not None and not _is(info, expected):
        message = f"{path.name} is {info.content_type}; contentType says {expected}. Leave it out or say what it is."
        raise PermanentError(message, code="unexpected_media", file=path.name)
    if info.content_type.startswith(("text/", "application/json")):
        return Analysis(info=info, text=measure_text(_text(path, info.bytes)))
    if info.content_type.startswith("image/"):
        return Analysis(info=info, image=measure_image(open_picture(path)))
    return Analysis(
        info=info,
        video=measure_video(path, info) if info.has_video else None,
        audio=measure_audio(path) if info.has_audio else None,
    )


def _is(info: MediaInfo, expected: Expected) -> bool:
    match expected:
        case "image":
            return info.content_type.startswith("image/")
        case "video":
            return info.has_video
        case "audio":
            return info.has_audio
        case "text" | "script":
            return info.content_type.startswith(("text/", "application/json"))


def measure_image(image: Image.Image) -> ImageFacts:
    """Colours, light and sharpness of an RGB picture."""
    width, height = image.size
    small = image.copy()
    small.thumbnail((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small.convert("L"), np.float32) / 255
    saturation = np.asarray(small.convert("HSV").getchannel("S"), np.float32) / 255
    return ImageFacts(
        colours=dominant_colours(small),
        brightness=round(float(grey.mean()), 3),
        contrast=round(min(float(grey.std()) * 2, 1.0), 3),
        saturation=round(float(saturation.mean()), 3),
        sharpness=round(_sharpness(image), 3),
        aspect=describe_aspect(width, height),
    )


def measure_audio(path: Path) -> AudioFacts:
    """Loudness (EBU R 128) and silence of a file's first audio track."""
    meter, quiet, total = LoudnessMeter(peaks=True), 0, 0
    limit = 10 ** (QUIET_DB / 20)
    for frame in read_audio_frames(path):
        samples = to_samples(frame)
        meter.hear(samples)
        count = samples.shape[1]
        total += count
        quiet += count if float(np.sqrt(np.mean(samples**2))) < limit else 0
    return AudioFacts(loudness=meter.result(), silent_share=round(quiet / max(total, 1), 3))


def measure_video(path: Path, info: MediaInfo) -> VideoFacts:
    """Shots, motion, light and colours, from small looks taken eight times a second."""
    changes: list[float] = []
    light, seen = 0.0, 0
    kept: list[npt.NDArray[np.uint8]] = []
    before: npt.NDArray[np.int16] | None = None
    for look in _looks(path, info):
        now = look.astype(np.int16)
        if before is not None:
            changes.append(float(np.abs(now - before).mean()) / 255)
        before = now
        light += float(look[: look.shape[0] * 2 // 3].mean())
        if seen % (LOOK_FPS * 2) == 0 and len(kept) < 60:  # enough for the colours of an hour
            kept.append(look)
        seen += 1
    if seen == 0:
        raise PermanentError(
            f"{path.name} has no frame that can be decoded.", code="no_video", file=path.name
        )
    length = info.duration_seconds or seen / LOOK_FPS
    return VideoFacts(
        shots=_shots(changes, length),
        motion=round(min(float(np.median(changes)) * 10, 1.0), 3) if changes else 0.0,
        brightness=round((light / seen - 16) / 219, 3),
        colours=dominant_colours(_sheet(kept)),
        aspect=describe_aspect(info.width or 1, info.height or 1),
    )


def dominant_colours(image: Image.Image) -> tuple[Colour, ...]:
    """Up to six colours that stand for the picture, the largest share first (median cut, then k-means)."""
    small = image.convert("RGB")
    small.thumbnail((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX)
    reduced = small.quantize(
        COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE
    )
    palette = reduced.getpalette() or []
    counts = sorted(
        ((int(count), index) for index, count in enumerate(reduced.histogram()) if count),
        reverse=True,
    )
    total = small.width * small.height
    return tuple(
        Colour(
            hex="#" + bytes(palette[3 * index : 3 * index + 3]).hex(), share=round(count / total, 3)
        )
        for count, index in counts
    )


def describe_aspect(width: int, height: int) -> str:
    """The shape as a ratio people know, like 16:9, else as reduced numbers to two places."""
    known = (
        (1, 1),
        (16, 9),
        (9, 16),
        (4, 3),
        (3, 4),
        (3, 2),
        (2, 3),
        (21, 9),
        (5, 4),
        (4, 5),
        (2, 1),
        (1, 2),
    )
    for across, down in known:
        if abs(width / height - across / down) < 0.01 * across / down:
            return f"{across}:{down}"
    return f"{width / height:.2f}:1"


def _text(path: Path, size: int) -> str:
    if size > MAX_TEXT_BYTES:
        message = f"{path.name} has {size:,} bytes; texts of up to {MAX_TEXT_BYTES:,} are measured. Split it."
        raise PermanentError(message, code="media_too_large", file=path.name)
    return path.read_text(encoding="utf-8", errors="replace")


def _sharpness(image: Image.Image) -> float:
    """How much of the finest detail there is: the spread of the Laplacian, put on a scale that levels off."""
    grey = image.convert("L")
    grey.thumbnail((1024, 1024), Image.Resampling.BOX)
    edges = np.asarray(
        grey.filter(ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), 1, 128)), np.float32
    )
    spread = float(edges[1:-1, 1:-1].std()) if min(edges.shape) > 2 else 0.0
    return spread / (spread + 12)


def _looks(path: Path, info: MediaInfo) -> Iterator[npt.NDArray[np.uint8]]:
    scale = LOOK_SIDE / max(info.width or 1, info.height or 1)
    width, height = (
        max(16, round((side or 16) * scale / 2) * 2) for side in (info.width, info.height)
    )
    return read_clip_pictures(path, FrameShape((width, height), LOOK_FPS))


def _shots(changes: list[float], length: float) -> tuple[tuple[float, float], ...]:
    """Cuts are changes far above what is usual in the second around them."""
    cuts = [0.0]
    for index, change in enumerate(changes):
        around = (
            changes[max(0, index - LOOK_FPS) : index] + changes[index + 1 : index + 1 + LOOK_FPS]
        )
        usual = float(np.median(around)) if around else 0.0
        if change > CUT_DIFFERENCE and change > CUT_OVER_USUAL * usual:
            cuts.append((index + 1) / LOOK_FPS)
    ends = [*cuts[1:], length]
    return tuple(
        (round(start, 3), round(max(end - start, 0.0), 3))
        for start, end in zip(cuts, ends, strict=True)
    )


def _sheet(looks: list[npt.NDArray[np.uint8]]) -> Image.Image:
    """The looks' colours side by side as one RGB picture."""
    parts = [
        av.VideoFrame.from_ndarray(look, format="yuv420p")
        .reformat(format="rgb24", src_colorspace="ITU709")
        .to_ndarray()
        for look in looks
    ]
    return Image.fromarray(np.concatenate(parts, axis=1).astype(np.uint8))
