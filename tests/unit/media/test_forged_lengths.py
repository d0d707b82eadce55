"""Files whose headers state another length than their content has."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest

from forged_media import (
    forge_flac,
    forge_mp3,
    forge_mp4,
    forge_webm,
    make_sound,
    squeeze_times,
)
from taskreel.media.probe import probe_file

SECONDS = 20
FORGED = {
    "mp3": lambda: forge_mp3(make_sound("mp3", "libmp3lame")),
    "flac": lambda: forge_flac(make_sound("flac", "flac")),
    "mp4": lambda: forge_mp4(make_sound("mp4", "aac")),
    "webm": lambda: forge_webm(make_sound("webm", "libopus", rate=48_000)),
}


@pytest.mark.parametrize("kind", FORGED)
def test_the_length_of_a_forged_file_is_that_of_its_packets(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"forged.{kind}"
    path.write_bytes(FORGED[kind]())
    stated = probe_file(path).duration_seconds
    assert stated is not None
    assert stated < 3, "the header is believed by a probe that reads no packets"
    assert probe_file(path, every_packet=True).duration_seconds == pytest.approx(SECONDS, abs=0.2)


@pytest.mark.parametrize(
    ("kind", "codec", "rate"),
    [("mp4", "aac", 16_000), ("webm", "libopus", 48_000), ("mpegts", "aac", 16_000)],
)
def test_packets_whose_times_lie_are_measured_by_their_sound(
    kind: str, codec: str, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / f"squeezed.{kind}"
    path.write_bytes(squeeze_times(make_sound(kind, codec, rate=rate), kind, 20))
    stated = probe_file(path).duration_seconds
    assert stated is not None
    assert stated < 3, "header and times say the same"
    assert probe_file(path, every_packet=True).duration_seconds == pytest.approx(SECONDS, abs=0.3)


@pytest.mark.parametrize(
    ("kind", "codec", "rate"),
    [
        ("mp3", "libmp3lame", 16_000),
        ("mp4", "aac", 16_000),
        ("webm", "libopus", 48_000),
        ("ogg", "libopus", 48_000),
        ("wav", "pcm_s16le", 16_000),
        ("adts", "aac", 16_000),
        ("mpegts", "aac", 16_000),
    ],
)
def test_an_honest_file_has_the_same_length_both_ways(
    kind: str, codec: str, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / f"honest.{kind}"
    path.write_bytes(make_sound(kind, codec, rate=rate))
    stated = probe_file(path).duration_seconds
    measured = probe_file(path, every_packet=True).duration_seconds
    assert measured == pytest.approx(SECONDS, abs=0.3)
    # A length that libav estimates by the rate of the first packets may be wrong.
    assert kind == "adts" or measured == pytest.approx(stated, abs=0.1)


def test_a_second_sound_that_cannot_be_decoded_does_not_matter(tmp_path: Path) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        for stream in [container.add_stream("libopus", rate=48_000) for _ in range(2)]:
            frame = av.AudioFrame(format="s16", layout="stereo", samples=48_000)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.rate, frame.pts = 48_000, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    content = bytearray(file.getvalue())
    at = content.rindex(b"A_OPUS")
    content[at : at + 6] = b"A_XPUS"
    path = tmp_path / "two.webm"
    path.write_bytes(content)
    assert probe_file(path, every_packet=True).duration_seconds == pytest.approx(1, abs=0.1)
