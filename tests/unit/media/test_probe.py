from __future__ import annotations

import hashlib
import shutil
import struct
from pathlib import Path

import av
import pytest
from PIL import Image

from taskreel.media.frames import extract_frame
from taskreel.media.probe import probe_file
from taskreel.media.sniff import detect_kind
from taskreel.media.stitch import stitch_videos
from unit.media.decode_results import convert_sound


def test_a_picture_is_known_by_its_content_whatever_its_name(red: Path, tmp_path: Path) -> None:
    disguised = tmp_path / "red.mp4"
    shutil.copy(red, disguised)
    info = probe_file(disguised)
    assert (info.content_type, info.width, info.height) == ("image/png", 160, 90)
    assert info.sha256 == hashlib.sha256(red.read_bytes()).hexdigest()
    assert info.bytes == red.stat().st_size
    assert info.duration_seconds is None


def test_a_picture_on_its_side_is_measured_as_it_is_shown(red: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[274] = 6
    Image.open(red).save(turned, exif=exif)
    info = probe_file(turned)
    assert (info.width, info.height) == (90, 160)


def test_a_clip_tells_size_rate_codecs_and_length(silent_clip: Path) -> None:
    info = probe_file(silent_clip)
    assert (info.content_type, info.width, info.height, info.fps) == ("video/mp4", 160, 90, 15)
    assert info.codecs == ("h264",)
    assert info.has_video
    assert not info.has_audio
    assert info.duration_seconds == pytest.approx(1.0, abs=0.07)


def test_a_clip_filmed_sideways_is_measured_and_shown_upright(
    silent_clip: Path, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.mp4"
    with av.open(str(silent_clip)) as source, av.open(str(turned), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    info = probe_file(turned)
    assert (info.width, info.height) == (90, 160)
    still = extract_frame(turned, out=tmp_path / "still.png")
    film = stitch_videos([turned], out=tmp_path / "film.mp4")
    assert (still.width, still.height) == (film.width, film.height) == (90, 160)


def test_a_webm_with_sound_has_both_codecs(sounding_clip: Path) -> None:
    info = probe_file(sounding_clip)
    assert info.content_type == "video/webm"
    assert info.codecs == ("vp9", "opus")
    assert info.has_audio


def test_a_header_that_states_too_little_is_seen_through_where_every_packet_counts(
    sounding_clip: Path, tmp_path: Path
) -> None:
    content = bytearray(sounding_clip.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3  # the Duration of Matroska, in milliseconds
    content[at : at + 8] = struct.pack(">d", 100.0)
    lying = tmp_path / "lying.webm"
    lying.write_bytes(content)
    assert probe_file(lying).duration_seconds == pytest.approx(0.1)
    whole = probe_file(lying, every_packet=True).duration_seconds
    assert whole == pytest.approx(1.2, abs=0.1)
    honest = probe_file(sounding_clip).duration_seconds
    assert probe_file(sounding_clip, every_packet=True).duration_seconds == honest


@pytest.mark.parametrize(
    ("suffix", "content_type"),
    [
        (".wav", "audio/wav"),
        (".mp3", "audio/mpeg"),
        (".opus", "audio/ogg"),
        (".m4a", "audio/mp4"),
        (".flac", "audio/flac"),
    ],
)
def test_sounds_of_all_formats_are_told_apart(
    tone: Path, tmp_path: Path, suffix: str, content_type: str
) -> None:
    info = convert_sound(tone, out=tmp_path / f"sound{suffix}")
    assert info.content_type == content_type
    assert info.duration_seconds == pytest.approx(3.0, abs=0.08)
    assert (info.sample_rate, info.channels, info.has_video) == (48_000, 2, False)


def test_text_and_json_are_texts(tmp_path: Path) -> None:
    note, data = tmp_path / "a", tmp_path / "b"
    note.write_text("Es war einmal … " * 400, encoding="utf-8")
    data.write_text('{"scenes": []}')
    assert (detect_kind(note).content_type, detect_kind(data).content_type) == (
        "text/plain",
        "application/json",
    )
