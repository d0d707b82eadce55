"""Sound as arrays of shape (2, n), float32 in -1 to 1 at 48 kHz, read and written as a stream."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import av
import numpy as np
import numpy.typing as npt

from taskreel.domain.errors import PermanentError
from taskreel.media.open_media import open_stream
from taskreel.media.output_file import OutputFile
from taskreel.media.sound_track import SOUND_RATE, SoundTrack, make_sound_frame
from taskreel.media.truncation import check_not_truncated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Samples: TypeAlias = npt.NDArray[np.float32]

#: The samples that streams work on at a time. Memory depends on it, not on a sound's length.
CHUNK = SOUND_RATE // 2


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """A sound file's container and codec; `bit_rate` is None for lossless codecs."""

    container: str
    codec: str
    bit_rate: int | None


SOUND_FORMATS = {
    ".wav": SoundFormat("wav", "pcm_s16le", None),
    ".flac": SoundFormat("flac", "flac", None),
    ".mp3": SoundFormat("mp3", "libmp3lame", 192_000),
    ".m4a": SoundFormat("ipod", "aac", 160_000),
    ".opus": SoundFormat("ogg", "libopus", 96_000),
    ".ogg": SoundFormat("ogg", "libopus", 96_000),
}


def read_audio_frames(path: Path) -> Iterator[av.AudioFrame]:
    """Decode the first audio track as 48 kHz stereo float frames.

    Raises PermanentError for a file without sound and for one that is damaged or cut off.
    """
    with open_stream(path, need="audio") as container:
        stream = container.streams.audio[0]
        mono = stream.channels == 1
        resampler = av.AudioResampler(
            format="fltp", layout="mono" if mono else "stereo", rate=SOUND_RATE
        )
        found = False
        decoded = check_not_truncated(path, container, stream, container.decode(stream))
        for frame in chain(decoded, [None]):  # None flushes the resampler
            if frame is not None:
                frame.pts = None  # the resampler would insert silence where time stamps have gaps
                found = True
            for ready in resampler.resample(frame):
                yield _duplicate_channel(ready) if mono else ready
        if not found:
            message = f"{path.name} has an audio track without sound; choose another file."
            raise PermanentError(message, code="no_audio", file=path.name)


def measure_sound_seconds(path: Path) -> float:
    """Measure the length by decoding: headers of compressed sound only estimate it."""
    return sum(frame.samples for frame in read_audio_frames(path)) / SOUND_RATE


def _duplicate_channel(frame: av.AudioFrame) -> av.AudioFrame:
    """Put one channel on both sides at full level; libav's own matrix would take 3 dB off."""
    return make_sound_frame(np.repeat(to_samples(frame), 2, axis=0))


def to_samples(frame: av.AudioFrame) -> Samples:
    """Return the samples of a float frame."""
    return np.asarray(frame.to_ndarray(), np.float32)


class SoundReader:
    """Reads a sound in pieces of any length; zeros follow its end."""

    def __init__(self, frames: Iterator[av.AudioFrame]) -> None:
        self._frames = frames
        self._buffered: list[Samples] = []
        self._buffered_count = 0
        self._ended = False

    @classmethod
    def open(cls, path: Path) -> SoundReader:
        """Return a reader of a file's first audio track."""
        return cls(read_audio_frames(path))

    @classmethod
    def open_looped(cls, path: Path) -> SoundReader:
        """Return an endless reader: the sound starts again at its end."""
        return cls(_repeat_frames(path))

    def read(self, count: int) -> Samples:
        """Return exactly `count` samples."""
        while self._buffered_count < count and not self._ended:
            self._read_frame()

        available = np.concatenate([np.zeros((2, 0), np.float32), *self._buffered], axis=1)
        piece, rest = available[:, :count], available[:, count:]
        self._buffered = [rest]
        self._buffered_count = rest.shape[1]

        missing = count - piece.shape[1]
        return np.pad(piece, ((0, 0), (0, missing))) if missing else piece

    @property
    def is_empty(self) -> bool:
        """True when only zeros follow."""
        while self._buffered_count == 0 and not self._ended:
            self._read_frame()
        return self._buffered_count == 0

    def _read_frame(self) -> None:
        frame = next(self._frames, None)
        if frame is None:
            self._ended = True
            return
        samples = to_samples(frame)
        self._buffered.append(samples)
        self._buffered_count += samples.shape[1]


def _repeat_frames(path: Path) -> Iterator[av.AudioFrame]:
    while True:
        yield from read_audio_frames(path)


class SoundWriter(OutputFile):
    """A sound file being written, as a context; it is removed when the context ends by an error."""

    def __init__(self, out: Path) -> None:
        form = find_sound_format(out)
        super().__init__(out, container=form.container)
        self._track = SoundTrack(self._container, form.codec, form.bit_rate)

    @property
    def seconds(self) -> float:
        """The length of the written sound."""
        return self._track.seconds

    def add_samples(self, samples: Samples) -> None:
        """Append samples; values outside -1 to 1 are clipped."""
        if samples.shape[1]:
            self._track.add_frame(make_sound_frame(np.clip(samples, -1, 1)))

    def add_frames(self, frames: Iterable[av.AudioFrame]) -> None:
        """Append 48 kHz stereo float frames."""
        for frame in frames:
            self._track.add_frame(frame)

    def _flush_streams(self) -> None:
        self._track.finish()


def find_sound_format(out: Path) -> SoundFormat:
    """Return the format of `out`'s suffix; raises PermanentError for one that is not supported."""
    found = SOUND_FORMATS.get(out.suffix.lower())
    if found is None:
        suffix = out.suffix or "no suffix"
        message = f"Sound is written as {', '.join(SOUND_FORMATS)}; {out.name} has {suffix}."
        raise PermanentError(message, code="unsupported_format")
    return found


def split_seconds(seconds: float) -> Iterator[tuple[int, int]]:
    """Split a duration into chunks: (start, count) in samples."""
    total = round(seconds * SOUND_RATE)
    for start in range(0, total, CHUNK):
        yield start, min(CHUNK, total - start)


def compute_fade_gain(
    start: int, count: int, total: int, fade_in: float, fade_out: float
) -> Samples:
    """Return the gains of `count` samples from `start` on, of a sound of `total` samples.

    `fade_in` and `fade_out` are in seconds.
    """
    at = np.arange(start, start + count, dtype=np.float32)
    rise = at / max(fade_in * SOUND_RATE, 1)
    fall = (total - at) / max(fade_out * SOUND_RATE, 1)
    shape = np.clip(np.minimum(rise, fall), 0, 1)
    return np.asarray(np.sin(shape * (np.pi / 2)) ** 2, np.float32)
