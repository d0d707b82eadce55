"""Sounds, and the same with headers that state another length."""

from __future__ import annotations

import io
import struct

import av


def make_sound(kind: str, codec: str, *, rate: int = 16_000, seconds: int = 20) -> bytes:
    """Silence of that length."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        for second in range(seconds):
            frame = av.AudioFrame(format=stream.format.name, layout="mono", samples=rate)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.rate, frame.pts = rate, second * rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def forge_mp3(content: bytes, frames: int = 10) -> bytes:
    """An MP3 that counts only so many frames."""
    at = max(content.find(b"Xing"), content.find(b"Info"))
    assert at > 0
    return content[: at + 8] + struct.pack(">I", frames) + content[at + 12 :]


def forge_mp4(content: bytes) -> bytes:
    """An MP4 of which the film and each track state a second, without an edit list."""
    forged = bytearray(content.replace(b"edts", b"free"))
    for name, before in ((b"mvhd", 12), (b"mdhd", 12), (b"tkhd", 16)):
        at = forged.find(name)
        assert at > 0
        # Version 0: after the times come the time scale (not of a tkhd: its id) and the length.
        place = at + 4 + before + 4
        scale = 1000 if name == b"tkhd" else struct.unpack(">I", forged[place - 4 : place])[0]
        forged[place : place + 4] = struct.pack(">I", scale)
    return bytes(forged)


def forge_webm(content: bytes) -> bytes:
    """A WebM that states a second."""
    at = content.find(b"\x44\x89\x88")
    assert at > 0
    return content[: at + 3] + struct.pack(">d", 1000.0) + content[at + 11 :]


def forge_flac(content: bytes) -> bytes:
    """A FLAC that states eight thousand samples."""
    assert content.startswith(b"fLaC")
    # 36 bits of STREAMINFO, after four bits of another number.
    return content[:21] + bytes([content[21] & 0xF0]) + struct.pack(">I", 8000) + content[26:]


def squeeze_times(content: bytes, kind: str, times: int) -> bytes:
    """The same packets, which claim to follow each other so many times faster."""
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(content), "r") as source,
        av.open(file, "w", format=kind) as target,
    ):
        sound = source.streams.audio[0]
        stream = target.add_stream_from_template(sound)
        for packet in source.demux(sound):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts, packet.dts = packet.pts // times, packet.dts // times
            packet.duration = (packet.duration or 0) // times
            packet.stream = stream
            target.mux(packet)
    return file.getvalue()
