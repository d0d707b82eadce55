"""Write films: the encoders of each container and quality, and the writer that feeds them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import av
import numpy as np
import numpy.typing as npt

from taskreel.domain.errors import PermanentError
from taskreel.media.film_text import FilmText, write_text
from taskreel.media.output_file import OutputFile
from taskreel.media.sound_track import SoundTrack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from av.container import OutputContainer
    from av.video.stream import VideoStream

Quality = Literal["draft", "standard", "high"]
Size: TypeAlias = tuple[int, int]
#: Planar 4:2:0 (I420) of shape (height * 3 // 2, width), BT.709, limited range.
Picture: TypeAlias = npt.NDArray[np.uint8]

MAX_SIDE = 4096
SMALLEST_SIDE = 16
BT709 = 1  # primaries, transfer and matrix; ITU-T H.273
LIMITED_RANGE = 1
MAX_THREADS = 8


def _count_usable_cores() -> int:
    """The processors that this process may use: in a container often fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# Beyond eight threads encoders gain little, and each one holds frames of its own in memory.
THREADS = min(MAX_THREADS, _count_usable_cores())

H264 = {
    "draft": {"preset": "ultrafast", "crf": "27"},
    "standard": {"preset": "veryfast", "crf": "21"},
    "high": {"preset": "medium", "crf": "17"},
}
_VP9 = {"row-mt": "1", "b": "0", "tile-columns": "2", "frame-parallel": "0", "deadline": "realtime"}
VP9 = {
    "draft": {**_VP9, "cpu-used": "8", "crf": "40"},
    "standard": {**_VP9, "cpu-used": "7", "crf": "33"},
    "high": {**_VP9, "cpu-used": "4", "crf": "26", "deadline": "good"},
}
#: The index at the front: a browser starts to play before it has the whole file.
FAST_START = {"movflags": "+faststart"}


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """A container's codecs: encoder options by quality, and the container's own options."""

    video: str
    audio: str
    settings: dict[str, dict[str, str]]
    audio_bit_rate: int
    subtitles: str
    options: dict[str, str]


FORMATS = {
    ".mp4": FilmFormat("libx264", "aac", H264, 160_000, "mov_text", FAST_START),
    ".mov": FilmFormat("libx264", "aac", H264, 160_000, "mov_text", FAST_START),
    ".webm": FilmFormat("libvpx-vp9", "libopus", VP9, 112_000, "webvtt", {}),
}


def find_film_format(out: Path) -> FilmFormat:
    """Return the format of `out`'s suffix; raises PermanentError for any but .mp4, .webm, .mov."""
    found = FORMATS.get(out.suffix.lower())
    if found is None:
        suffix = out.suffix or "no suffix"
        message = f"Videos are written as .mp4, .webm or .mov; {out.name} has {suffix}."
        raise PermanentError(message, code="unsupported_format")
    return found


def to_even_size(width: int, height: int) -> Size:
    """Round a size down to even numbers, which 4:2:0 video needs.

    Raises PermanentError for a side under 16 or over 4096 pixels.
    """
    if not (SMALLEST_SIDE <= width <= MAX_SIDE and SMALLEST_SIDE <= height <= MAX_SIDE):
        message = (
            f"The video size {width} x {height} is not possible: width and height must be"
            f" {SMALLEST_SIDE} to {MAX_SIDE} pixels."
        )
        raise PermanentError(message, code="bad_size")
    return width - width % 2, height - height % 2


class FilmWriter(OutputFile):
    """A film being written, as a context: pictures and sound are appended independently.

    Feed both at about the same pace: the muxer holds the stream that is ahead in memory.
    Leaving the context by an error removes the unfinished file.
    """

    def __init__(
        self,
        out: Path,
        *,
        size: Size,
        fps: Fraction | int,
        quality: Quality = "standard",
        sound: bool = True,
        text: FilmText | None = None,
    ) -> None:
        form = find_film_format(out)
        super().__init__(out, options=form.options)
        self._fps = Fraction(fps)
        self._container.metadata["encoder"] = "Taskreel"
        self._video = _add_video_stream(self._container, form, size, fps, quality)
        self._sound: SoundTrack | None = None
        if sound:
            self._sound = SoundTrack(self._container, form.audio, form.audio_bit_rate)
        self._frame_count = 0
        if text:
            write_text(self._container, text, form.subtitles)

    @property
    def seconds(self) -> float:
        """The length of the pictures."""
        return float(self._frame_count / self._fps)

    @property
    def sound_seconds(self) -> float:
        """The length of the sound."""
        return self._sound.seconds if self._sound else 0.0

    def add_picture(self, picture: Picture) -> None:
        """Append one picture."""
        self.add_frame(av.VideoFrame.from_ndarray(picture, format="yuv420p"))

    def add_frame(self, frame: av.VideoFrame) -> None:
        """Append one decoded or filtered frame: yuv420p, of the film's size."""
        frame.pts = self._frame_count
        frame.time_base = 1 / self._fps
        # A decoded frame still says that it was a key frame; the encoder would make it one again.
        frame.pict_type = av.video.frame.PictureType.NONE
        self._frame_count += 1
        self._container.mux(self._video.encode(frame))

    def add_sound(self, frames: Iterable[av.AudioFrame]) -> None:
        """Append sound frames: 48 kHz stereo float planar."""
        if self._sound:
            for frame in frames:
                self._sound.add_frame(frame)

    def add_silence_until(self, seconds: float) -> None:
        """Fill up the sound with silence to a time."""
        if self._sound:
            self._sound.add_silence_until(seconds)

    def _flush_streams(self) -> None:
        self._container.mux(self._video.encode(None))
        if self._sound:
            self._sound.finish()


def _add_video_stream(
    container: OutputContainer, form: FilmFormat, size: Size, fps: Fraction | int, quality: Quality
) -> VideoStream:
    stream = cast(
        "VideoStream", container.add_stream(form.video, rate=fps, options=form.settings[quality])
    )
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.time_base = 1 / Fraction(fps)
    context = stream.codec_context
    context.thread_count = THREADS
    # Untagged video is shown with the colours of standard definition by many players.
    context.color_range, context.colorspace = LIMITED_RANGE, BT709
    context.color_primaries, context.color_trc = BT709, BT709
    return stream
