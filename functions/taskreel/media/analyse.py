"""Measurements of a picture, a video, a sound or a text, without an AI model."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from taskreel.domain.errors import PermanentError
from taskreel.media.audio_io import read_audio_frames, to_samples
from taskreel.media.find_shots import SAMPLE_FPS, ShotFinder
from taskreel.media.frame_filters import FrameShape
from taskreel.media.frames import read_clip_pictures
from taskreel.media.loudness import Loudness, LoudnessMeter
from taskreel.media.open_media import open_picture
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.text_stats import TextFacts, measure_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Expected = Literal["script", "image", "video", "audio", "text"]
Grey: TypeAlias = npt.NDArray[np.float32]

SAMPLE_SIDE = 160  # pixels: enough for colours and cuts, and an hour of video fits in memory
#: Samples for the dominant colours, one every two seconds.
MAX_COLOUR_SAMPLES = 60
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
    """Facts of a picture; brightness, contrast, saturation and sharpness are 0 to 1."""

    colours: tuple[Colour, ...]
    brightness: float
    contrast: float
    saturation: float
    sharpness: float
    aspect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFacts:
    """Loudness of a sound, and the share of its time under -50 dB."""

    loudness: Loudness
    silent_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """Facts of a video: `shots` are (start, length) in seconds, `motion` is 0 to 1."""

    shots: tuple[tuple[float, float], ...]
    motion: float
    brightness: float
    colours: tuple[Colour, ...]
    aspect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The facts of a file; those that do not apply to its kind are None."""

    info: MediaInfo
    image: ImageFacts | None = None
    video: VideoFacts | None = None
    audio: AudioFacts | None = None
    text: TextFacts | None = None


def analyse_file(path: Path, *, expected: Expected | None = None) -> Analysis:
    """Measure a file by its content. Memory does not grow with its length.

    Raises PermanentError for a file that cannot be read or is of another kind than `expected`.
    """
    info = probe_file(path)
    if expected is not None and not _has_kind(info, expected):
        message = (
            f"{path.name} is {info.content_type}, but contentType says {expected}: correct"
            " contentType or leave it out."
        )
        raise PermanentError(message, code="unexpected_media", file=path.name)
    if info.content_type.startswith(("text/", "application/json")):
        return Analysis(info=info, text=measure_text(_read_text(path, info.bytes)))
    if info.content_type.startswith("image/"):
        return Analysis(info=info, image=measure_image(open_picture(path)))
    return Analysis(
        info=info,
        video=measure_video(path, info) if info.has_video else None,
        audio=measure_audio(path) if info.has_audio else None,
    )


def _has_kind(info: MediaInfo, expected: Expected) -> bool:
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
    """Measure colours, light and sharpness of an RGB picture."""
    width, height = image.size
    small = image.copy()
    small.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small.convert("L"), np.float32) / 255
    saturation = np.asarray(small.convert("HSV").getchannel("S"), np.float32) / 255
    return ImageFacts(
        colours=find_dominant_colours(small),
        brightness=round(float(grey.mean()), 3),
        contrast=round(min(float(grey.std()) * 2, 1.0), 3),
        saturation=round(float(saturation.mean()), 3),
        sharpness=round(_measure_sharpness(image), 3),
        aspect=describe_aspect(width, height),
    )


def measure_audio(path: Path) -> AudioFacts:
    """Measure loudness (EBU R 128) and silence of a file's first audio track."""
    meter = LoudnessMeter(peaks=True)
    quiet = total = 0
    limit = 10 ** (QUIET_DB / 20)
    for frame in read_audio_frames(path):
        samples = to_samples(frame)
        meter.add_samples(samples)
        count = samples.shape[1]
        total += count
        if float(np.sqrt(np.mean(samples**2))) < limit:
            quiet += count
    return AudioFacts(
        loudness=meter.compute_loudness(), silent_share=round(quiet / max(total, 1), 3)
    )


def measure_video(path: Path, info: MediaInfo) -> VideoFacts:
    """Measure shots, motion, light and colours of small pictures, eight for each second."""
    finder = ShotFinder()
    light, seen = 0.0, 0
    colour_samples: list[npt.NDArray[np.uint8]] = []
    for sample in _read_samples(path, info):
        finder.add_sample(sample)
        light += float(sample[: sample.shape[0] * 2 // 3].mean())  # the Y plane of I420
        if seen % (SAMPLE_FPS * 2) == 0 and len(colour_samples) < MAX_COLOUR_SAMPLES:
            colour_samples.append(sample)
        seen += 1
    if seen == 0:
        raise PermanentError(
            f"{path.name} has no frame that can be decoded; export it again.",
            code="no_video",
            file=path.name,
        )
    length, changes = info.duration_seconds or seen / SAMPLE_FPS, finder.changes
    return VideoFacts(
        shots=finder.list_shots(length),
        motion=round(min(float(np.median(changes)) * 10, 1.0), 3) if changes else 0.0,
        brightness=round((light / seen - 16) / 219, 3),
        colours=find_dominant_colours(_join_samples(colour_samples)),
        aspect=describe_aspect(info.width or 1, info.height or 1),
    )


def find_dominant_colours(image: Image.Image) -> tuple[Colour, ...]:
    """Find up to six typical colours, the largest share first (median cut, then k-means)."""
    small = image.convert("RGB")
    small.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.BOX)
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
    """Return a common ratio such as 16:9 if the shape is within 1 % of it, else one like 1.43:1."""
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


def _read_text(path: Path, size: int) -> str:
    if size > MAX_TEXT_BYTES:
        message = (
            f"{path.name} has {size:,} bytes; a text may have at most {MAX_TEXT_BYTES:,}. Split it."
        )
        raise PermanentError(message, code="media_too_large", file=path.name)
    return path.read_text(encoding="utf-8", errors="replace")


def _measure_sharpness(image: Image.Image) -> float:
    """Measure the finest detail, 0 to 1: the spread of the Laplacian on a saturating scale."""
    grey = image.convert("L")
    grey.thumbnail((1024, 1024), Image.Resampling.BOX)
    edges = np.asarray(
        grey.filter(ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), 1, 128)), np.float32
    )
    spread = float(edges[1:-1, 1:-1].std()) if min(edges.shape) > 2 else 0.0
    return spread / (spread + 12)


def _read_samples(path: Path, info: MediaInfo) -> Iterator[npt.NDArray[np.uint8]]:
    scale = SAMPLE_SIDE / max(info.width or 1, info.height or 1)
    width, height = (
        max(16, round((side or 16) * scale / 2) * 2) for side in (info.width, info.height)
    )
    return read_clip_pictures(path, FrameShape((width, height), Fraction(SAMPLE_FPS)))


def _join_samples(samples: list[npt.NDArray[np.uint8]]) -> Image.Image:
    """Put samples side by side as one RGB picture."""
    parts = [
        av.VideoFrame.from_ndarray(sample, format="yuv420p")
        .reformat(format="rgb24", src_colorspace="ITU709")
        .to_ndarray()
        for sample in samples
    ]
    return Image.fromarray(np.concatenate(parts, axis=1).astype(np.uint8))
