"""The audio stream of an output file: resampling, encoding, and LAME for MP3."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer

SOUND_RATE = 48_000
MP3_QUALITY = 5  # LAME's default; 0 is the best and slowest, 9 the worst
MP3_FRAME_SAMPLES = 1152
SILENCE_CHUNK = 4096  # samples
#: FLAC holds intermediate sound while mixing: half the size of PCM, at little cost on this level.
ENCODER_OPTIONS = {"flac": {"compression_level": "1"}}


class SoundTrack:
    """An audio stream of a container. Takes frames of any length and counts samples.

    Encoders want frames of one size; a FIFO collects samples until one is full.
    """

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
        self._lame = (
            _LameEncoder(self._stream, bit_rate) if codec == "libmp3lame" and bit_rate else None
        )
        self._fifo = av.AudioFifo()
        self._written = 0
        form = "s16" if self._lame else self._stream.format.name
        self._convert = av.AudioResampler(format=form, layout="stereo", rate=rate)

    @property
    def seconds(self) -> float:
        """The length of the appended sound in seconds."""
        return self._sample_count / self._rate

    @property
    def _sample_count(self) -> int:
        return self._written + (self._fifo.samples if self._fifo else 0)

    def add_frame(self, frame: av.AudioFrame) -> None:
        """Append a frame: encode as many whole encoder frames as there are samples for."""
        frame.pts = None  # the resampler would insert silence where time stamps have gaps
        for converted in self._convert.resample(frame):
            converted.pts = None
            self._fifo.write(converted)
        size = self._stream.codec_context.frame_size or 1024
        while self._fifo.samples >= size:
            self._encode_frame(self._fifo.read(size))

    def add_silence_until(self, seconds: float) -> None:
        """Append silence up to a time; nothing where the sound is already as long."""
        missing = round(seconds * self._rate) - self._sample_count
        while missing > 0:
            count = min(missing, SILENCE_CHUNK)
            self.add_frame(make_silence(count, self._rate))
            missing -= count

    def finish(self) -> None:
        """Encode the remaining samples. The stream takes no more."""
        for converted in self._convert.resample(None):
            self._fifo.write(converted)
        if self._fifo.samples:
            self._encode_frame(self._fifo.read(0, partial=True))
        self._container.mux(self._lame.finish() if self._lame else self._stream.encode(None))

    def _encode_frame(self, frame: av.AudioFrame | None) -> None:
        if frame is None:
            return
        frame.pts = self._written
        frame.time_base = Fraction(1, self._rate)
        frame.sample_rate = self._rate
        self._written += frame.samples
        self._container.mux(self._lame.encode(frame) if self._lame else self._stream.encode(frame))


class _LameEncoder:
    """LAME from the lameenc wheel, several times as fast as the one in PyAV's wheel.

    PyAV's LAME was built without its assembler code. The stream still belongs to PyAV's encoder,
    which tells how many samples a player must skip at the start: the number is the same for both,
    so a sound has its exact length when it is played.
    """

    def __init__(self, stream: AudioStream, bit_rate: int) -> None:
        import lameenc  # only where MP3 is written

        self._stream = stream
        self._encoder = lameenc.Encoder()
        self._encoder.silence()
        self._encoder.set_in_sample_rate(stream.rate)
        self._encoder.set_channels(2)
        self._encoder.set_bit_rate(bit_rate // 1000)
        self._encoder.set_quality(MP3_QUALITY)
        self._parser = av.CodecContext.create("mp3", "r")
        self._skipped = _encode_first_packet(stream).get_sidedata("skip_samples")
        self._received = self._written = 0  # samples

    def encode(self, frame: av.AudioFrame) -> list[av.Packet[AudioStream]]:
        """Encode 16-bit samples and return the packets that are complete."""
        self._received += frame.samples
        packets = self._parse_packets(self._encoder.encode(frame.to_ndarray().tobytes()))
        if packets and packets[0].pts == 0:
            packets[0].set_sidedata(self._skipped)
        return packets

    def finish(self) -> list[av.Packet[AudioStream]]:
        """Return the remaining packets; the last one says how many of its samples to discard."""
        packets = [*self._parse_packets(self._encoder.flush()), *self._parse_packets(b"")]
        begin = int.from_bytes(bytes(self._skipped)[:4], "little")
        surplus = max(self._written - begin - self._received, 0)
        # AV_PKT_DATA_SKIP_SAMPLES: samples to skip at the start and at the end, two reason bytes.
        self._skipped.update(struct.pack("<IIBB", 0, surplus, 0, 0))
        packets[-1].set_sidedata(self._skipped)
        return packets

    def _parse_packets(self, data: bytes) -> list[av.Packet[AudioStream]]:
        packets = cast("list[av.Packet[AudioStream]]", self._parser.parse(bytes(data)))
        for packet in packets:
            packet.stream, packet.time_base = self._stream, Fraction(1, self._stream.rate)
            packet.pts = packet.dts = self._written
            packet.duration = MP3_FRAME_SAMPLES
            self._written += MP3_FRAME_SAMPLES
        return packets


def _encode_first_packet(stream: AudioStream) -> av.Packet[AudioStream]:
    """Encode silence up to the first packet, with an encoder that is not used for anything else."""
    quiet = av.AudioFrame(stream.format.name, "stereo", MP3_FRAME_SAMPLES)
    quiet.sample_rate = stream.rate
    for _ in range(10):
        for packet in stream.encode(quiet):
            return packet
    raise RuntimeError("PyAV's MP3 encoder returned no packet for ten frames of silence")


def make_silence(samples: int, rate: int = SOUND_RATE) -> av.AudioFrame:
    """Return a frame of silence, stereo float planar."""
    return make_sound_frame(np.zeros((2, samples), np.float32), rate)


def make_sound_frame(samples: npt.NDArray[np.float32], rate: int = SOUND_RATE) -> av.AudioFrame:
    """Return a frame of float samples of shape (2, n), -1 to 1."""
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples), format="fltp", layout="stereo"
    )
    frame.sample_rate = rate
    return frame
