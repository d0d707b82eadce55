"""Sound as arrays: `(2, n)` float32 in -1…1 at 48 kHz, read and written as a stream, never whole."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Self, TypeAlias

import av
import av.error
import numpy as np
import numpy.typing as npt

from taskreel.domain.errors import PermanentError
from taskreel.media.encode import SOUND_RATE, SoundTrack, make_sound_frame
from taskreel.media.open_media import open_stream
from taskreel.media.truncation import check_not_truncated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

Samples: TypeAlias = npt.NDArray[np.float32]

CHUNK = SOUND_RATE // 2  # samples; what streams work on at a time


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """A sound file's container and codec; `bit_rate` None for lossless."""

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
    """The first audio track as 48 kHz stereo float frames; raises PermanentError where there is none."""
    with open_stream(path, need="audio") as container:
        stream = container.streams.audio[0]
        mono = stream.channels == 1
        convert = av.AudioResampler(
            format="fltp", layout="mono" if mono else "stereo", rate=SOUND_RATE
        )
        heard = False
        decoded = check_not_truncated(path, container, stream, container.decode(stream))
        for frame in chain(decoded, [None]):  # None: what the converter still holds
            if frame is not None:
                frame.pts, heard = None, True
            for ready in convert.resample(frame):
                yield _doubled(ready) if mono else ready
        if not heard:
            message = f"{path.name} has no sound in its audio track; choose another file."
            raise PermanentError(message, code="no_audio", file=path.name)


def measure_sound_seconds(path: Path) -> float:
    """The length by decoding: headers of compressed sound only estimate it."""
    return sum(frame.samples for frame in read_audio_frames(path)) / SOUND_RATE


def _doubled(frame: av.AudioFrame) -> av.AudioFrame:
    """One channel on both sides at full level; libav's own matrix would take 3 dB off."""
    return make_sound_frame(np.repeat(to_samples(frame), 2, axis=0))


def to_samples(frame: av.AudioFrame) -> Samples:
    """A float frame's samples."""
    return np.asarray(frame.to_ndarray(), np.float32)


class SoundReader:
    """Reads a source in pieces of any length; after its end come zeros."""

    def __init__(self, frames: Iterator[av.AudioFrame]) -> None:
        self._frames = frames
        self._left: list[Samples] = []
        self._count = 0
        self.ended = False

    @classmethod
    def of(cls, path: Path) -> SoundReader:
        """A reader of a file's first audio track."""
        return cls(read_audio_frames(path))

    @classmethod
    def looped(cls, path: Path) -> SoundReader:
        """A reader that begins again at the end, for ever."""
        return cls(_again(path))

    def read(self, count: int) -> Samples:
        """Exactly `count` samples."""
        while self._count < count and not self.ended:
            self._more()
        held = np.concatenate([np.zeros((2, 0), np.float32), *self._left], axis=1)
        piece, rest = held[:, :count], held[:, count:]
        self._left, self._count = [rest], rest.shape[1]
        if piece.shape[1] < count:
            piece = np.pad(piece, ((0, 0), (0, count - piece.shape[1])))
        return piece

    @property
    def empty(self) -> bool:
        """Nothing comes any more but zeros."""
        while self._count == 0 and not self.ended:
            self._more()
        return self._count == 0

    def _more(self) -> None:
        frame = next(self._frames, None)
        if frame is None:
            self.ended = True
            return
        samples = to_samples(frame)
        self._left.append(samples)
        self._count += samples.shape[1]


def _again(path: Path) -> Iterator[av.AudioFrame]:
    while True:
        yield from read_audio_frames(path)


class SoundWriter:
    """A sound file being written, as a context; by an error it is removed."""

    def __init__(self, out: Path, *, bit_rate: int | None = None) -> None:
        form = find_sound_format(out)
        self._out = out
        self._container = av.open(str(out), "w", format=form.container)
        self._track = SoundTrack(
            self._container, form.codec, bit_rate if form.bit_rate and bit_rate else form.bit_rate
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            with suppress(
                av.error.FFmpegError
            ):  # the first error tells more than what follows from it
                self._container.close()
            self._out.unlink(missing_ok=True)
            return
        try:
            self._track.finish()
        finally:
            self._container.close()

    @property
    def seconds(self) -> float:
        """How much has been written."""
        return self._track.seconds

    def write(self, samples: Samples) -> None:
        """Append samples."""
        if samples.shape[1]:
            self._track.append(make_sound_frame(np.clip(samples, -1, 1)))

    def frames(self, frames: Iterable[av.AudioFrame]) -> None:
        """Append 48 kHz stereo float frames."""
        for frame in frames:
            self._track.append(frame)


def find_sound_format(out: Path) -> SoundFormat:
    """The format that `out`'s suffix asks for; raises PermanentError for one that is not written here."""
    found = SOUND_FORMATS.get(out.suffix.lower())
    if found is None:
        message = f"Sound is written as {', '.join(SOUND_FORMATS)}, not {out.suffix or 'without a suffix'}."
        raise PermanentError(message, code="unsupported_format")
    return found


def split_seconds(seconds: float) -> Iterator[tuple[int, int]]:
    """(start, count) of the chunks of a duration, in samples."""
    total = round(seconds * SOUND_RATE)
    for start in range(0, total, CHUNK):
        yield start, min(CHUNK, total - start)


def compute_fade_gain(
    start: int, count: int, total: int, fade_in: float, fade_out: float
) -> Samples:
    """Gains of samples `start`… of a sound of `total` that fades in and out over seconds."""
    at = np.arange(start, start + count, dtype=np.float32)
    rise = at / max(fade_in * SOUND_RATE, 1)
    fall = (total - at) / max(fade_out * SOUND_RATE, 1)
    shape = np.clip(np.minimum(rise, fall), 0, 1)
    return np.asarray(np.sin(shape * (np.pi / 2)) ** 2, np.float32)
