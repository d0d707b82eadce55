"""Writing a film: encoders per container and quality, one clock for the pictures and one for the sound."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, cast

import av
import av.error
import numpy as np
import numpy.typing as npt

from taskreel.domain.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

Quality = Literal["draft", "standard", "high"]
Size: TypeAlias = tuple[int, int]
Picture: TypeAlias = npt.NDArray[
    np.uint8
]  # planar 4:2:0 (I420), shape (height * 3 // 2, width), BT.709, limited range

SOUND_RATE = 48_000
MAX_SIDE = 4096
SMALLEST_SIDE = 16
BT709 = 1  # primaries, transfer and matrix; ITU-T H.273
LIMITED_RANGE = 1
THREADS = min(
    8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)

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

MP3_QUALITY = 5  # LAME's own default, of 0 best … 9
MP3_FRAME_SAMPLES = 1152
ENCODER_OPTIONS = {
    "flac": {
        "compression_level": "1"
    },  # what is kept while mixing: half of PCM's size, at little cost
}


@dataclass(frozen=True, slots=True)
class FilmFormat:
    """A container and the codecs that go into it."""

    video: str
    audio: str
    settings: dict[str, dict[str, str]]
    audio_bit_rate: int
    options: dict[str, str]


FORMATS = {
    ".mp4": FilmFormat("libx264", "aac", H264, 160_000, {"movflags": "+faststart"}),
    ".mov": FilmFormat("libx264", "aac", H264, 160_000, {"movflags": "+faststart"}),
    ".webm": FilmFormat("libvpx-vp9", "libopus", VP9, 112_000, {}),
}


def find_film_format(out: Path) -> FilmFormat:
    """The format that `out`'s suffix asks for; raises PermanentError for one that is not written here."""
    found = FORMATS.get(out.suffix.lower())
    if found is None:
        message = (
            f"Films are written as .mp4, .webm or .mov, not {out.suffix or 'without a suffix'}."
        )
        raise PermanentError(message, code="unsupported_format")
    return found


def to_even_size(width: int, height: int) -> Size:
    """The size rounded down to even numbers, which 4:2:0 video needs; raises PermanentError for a senseless one."""
    if not (SMALLEST_SIDE <= width <= MAX_SIDE and SMALLEST_SIDE <= height <= MAX_SIDE):
        message = (
            f"A film is {SMALLEST_SIDE} to {MAX_SIDE} pixels wide and high, not {width} x {height}."
        )
        raise PermanentError(message, code="bad_size")
    return width - width % 2, height - height % 2


class FilmWriter:
    """An output file as a context; `picture` and `sound` append, each at its own end.

    Feed both at about the same pace: the muxer holds back the one that is ahead. Leaving the context by an error
    removes the half-written file.
    """

    def __init__(
        self, out: Path, *, size: Size, fps: int, quality: Quality = "standard", sound: bool = True
    ) -> None:
        self._out = out
        self._fps = fps
        form = find_film_format(out)
        self._container: OutputContainer = av.open(str(out), "w", options=form.options)
        self._container.metadata["encoder"] = "Taskreel"
        self._video = _video_stream(self._container, form, size, fps, quality)
        self._sound = (
            SoundTrack(self._container, form.audio, form.audio_bit_rate) if sound else None
        )
        self._pictures = 0

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
            self._container.mux(self._video.encode(None))
            if self._sound:
                self._sound.finish()
        finally:
            self._container.close()

    @property
    def seconds(self) -> float:
        """How long the pictures are."""
        return self._pictures / self._fps

    @property
    def sound_seconds(self) -> float:
        """How long the sound is."""
        return self._sound.seconds if self._sound else 0.0

    def picture(self, picture: Picture) -> None:
        """Append one picture."""
        self.frame(av.VideoFrame.from_ndarray(picture, format="yuv420p"))

    def frame(self, frame: av.VideoFrame) -> None:
        """Append one decoded or filtered frame of the film's size, yuv420p."""
        frame.pts, frame.time_base = self._pictures, Fraction(1, self._fps)
        frame.pict_type = av.video.frame.PictureType.NONE
        self._pictures += 1
        self._container.mux(self._video.encode(frame))

    def sound(self, frames: Iterable[av.AudioFrame]) -> None:
        """Append sound frames, already 48 kHz stereo float planar."""
        if self._sound:
            for frame in frames:
                self._sound.append(frame)

    def silence_until(self, seconds: float) -> None:
        """Fill up the sound with silence to a time."""
        if self._sound:
            self._sound.silence_until(seconds)


class SoundTrack:
    """An audio stream of a container: takes frames of any length, cuts them to the encoder's, counts samples."""

    def __init__(
        self, container: OutputContainer, codec: str, bit_rate: int | None, rate: int = SOUND_RATE
    ) -> None:
        self._container = container
        options = ENCODER_OPTIONS.get(codec, {})
        self._stream = cast(
            "AudioStream", container.add_stream(codec, rate=rate, layout="stereo", options=options)
        )
        if bit_rate:
            self._stream.bit_rate = bit_rate
        self._rate = rate
        self._lame = _Lame(self._stream, bit_rate) if codec == "libmp3lame" and bit_rate else None
        self._fifo = av.AudioFifo()
        self._written = 0
        form = "s16" if self._lame else self._stream.format.name
        self._convert = av.AudioResampler(format=form, layout="stereo", rate=rate)

    @property
    def seconds(self) -> float:
        """How much has been appended."""
        return self._samples / self._rate

    @property
    def _samples(self) -> int:
        return self._written + (self._fifo.samples if self._fifo else 0)

    def append(self, frame: av.AudioFrame) -> None:
        """Encode what fills whole encoder frames, keep the rest."""
        frame.pts = None
        for converted in self._convert.resample(frame):
            converted.pts = None
            self._fifo.write(converted)
        size = self._stream.codec_context.frame_size or 1024
        while self._fifo.samples >= size:
            self._encode(self._fifo.read(size))

    def silence_until(self, seconds: float) -> None:
        """Append silence to a time; nothing when it has passed."""
        missing = round(seconds * self._rate) - self._samples
        while missing > 0:
            count = min(missing, 4096)
            self.append(make_silence(count, self._rate))
            missing -= count

    def finish(self) -> None:
        """Encode the rest; the stream takes no more."""
        for converted in self._convert.resample(None):
            self._fifo.write(converted)
        if self._fifo.samples:
            self._encode(self._fifo.read(0, partial=True))
        self._container.mux(self._lame.finish() if self._lame else self._stream.encode(None))

    def _encode(self, frame: av.AudioFrame | None) -> None:
        if frame is None:
            return
        frame.pts, frame.time_base, frame.sample_rate = (
            self._written,
            Fraction(1, self._rate),
            self._rate,
        )
        self._written += frame.samples
        self._container.mux(self._lame.encode(frame) if self._lame else self._stream.encode(frame))


class _Lame:
    """LAME from a wheel of its own: several times as fast as PyAV's, which was built without its assembler code.

    PyAV's encoder stays the stream's and says what only it can: how many samples a player leaves out at the beginning,
    the same number for both. So a sound keeps its exact length.
    """

    def __init__(self, stream: AudioStream, bit_rate: int) -> None:
        import lameenc  # for those who write MP3

        self._stream = stream
        self._encoder = lameenc.Encoder()
        self._encoder.silence()
        self._encoder.set_in_sample_rate(stream.rate)
        self._encoder.set_channels(2)
        self._encoder.set_bit_rate(bit_rate // 1000)
        self._encoder.set_quality(MP3_QUALITY)
        self._cutter = av.CodecContext.create("mp3", "r")
        self._skipped = _first_packet(stream).get_sidedata("skip_samples")
        self._heard = self._written = 0  # samples

    def encode(self, frame: av.AudioFrame) -> list[av.Packet[AudioStream]]:
        """The packets that are ready with these samples, 16 bit."""
        self._heard += frame.samples
        packets = self._packets(self._encoder.encode(frame.to_ndarray().tobytes()))
        if packets and packets[0].pts == 0:
            packets[0].set_sidedata(self._skipped)
        return packets

    def finish(self) -> list[av.Packet[AudioStream]]:
        """The packets that are left."""
        packets = [*self._packets(self._encoder.flush()), *self._packets(b"")]
        begin = int.from_bytes(bytes(self._skipped)[:4], "little")
        surplus = max(self._written - begin - self._heard, 0)
        self._skipped.update(struct.pack("<IIBB", 0, surplus, 0, 0))
        packets[-1].set_sidedata(self._skipped)
        return packets

    def _packets(self, data: bytes) -> list[av.Packet[AudioStream]]:
        packets = cast("list[av.Packet[AudioStream]]", self._cutter.parse(bytes(data)))
        for packet in packets:
            packet.stream, packet.time_base = self._stream, Fraction(1, self._stream.rate)
            packet.pts = packet.dts = self._written
            packet.duration = MP3_FRAME_SAMPLES
            self._written += MP3_FRAME_SAMPLES
        return packets


def _first_packet(stream: AudioStream) -> av.Packet[AudioStream]:
    """Of an encoder that is not used otherwise."""
    quiet = av.AudioFrame(stream.format.name, "stereo", MP3_FRAME_SAMPLES)
    quiet.sample_rate = stream.rate
    for _ in range(10):
        for packet in stream.encode(quiet):
            return packet
    raise RuntimeError("LAME gives no packet")


def make_silence(samples: int, rate: int = SOUND_RATE) -> av.AudioFrame:
    """A frame of nothing: stereo float planar."""
    return make_sound_frame(np.zeros((2, samples), np.float32), rate)


def make_sound_frame(samples: npt.NDArray[np.float32], rate: int = SOUND_RATE) -> av.AudioFrame:
    """A frame of `(2, n)` samples in -1…1."""
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples), format="fltp", layout="stereo"
    )
    frame.sample_rate = rate
    return frame


def _video_stream(
    container: OutputContainer, form: FilmFormat, size: Size, fps: int, quality: Quality
) -> VideoStream:
    stream = cast(
        "VideoStream", container.add_stream(form.video, rate=fps, options=form.settings[quality])
    )
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    stream.time_base = Fraction(1, fps)
    context = stream.codec_context
    context.thread_count = THREADS
    context.color_range, context.colorspace = LIMITED_RANGE, BT709
    context.color_primaries, context.color_trc = BT709, BT709
    return stream
