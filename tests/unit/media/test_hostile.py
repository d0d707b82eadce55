"""Files that lie, break off or want to hurt: a clear permanent error for each, and soon."""

from __future__ import annotations

import base64
import re
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import av
import pytest
from av.stream import Disposition
from PIL import Image

from taskreel.domain.errors import PermanentError
from taskreel.media.analyse import analyse_file
from taskreel.media.animate import MotionOptions, animate_pictures
from taskreel.media.animations import is_animated
from taskreel.media.assemble import assemble_films
from taskreel.media.audio import mix_music, stitch_audio
from taskreel.media.audio_io import read_audio_frames
from taskreel.media.compose import compose_film
from taskreel.media.frames import extract_frame
from taskreel.media.loudness import measure_loudness
from taskreel.media.open_media import open_picture
from taskreel.media.probe import probe_file
from taskreel.media.scenes import FilmOptions, Scene
from taskreel.media.stitch import stitch_videos
from taskreel.media.upscale import upscale_picture
from unit.media.decode_results import convert_sound


def refused(work: Callable[[], object]) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        work()
    return caught.value


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


def works(path: Path, out: Path) -> list[Callable[[], object]]:
    """All that takes a foreign file."""
    return [
        lambda: upscale_picture(path, scale=2, out=out.with_suffix(".png")),
        lambda: animate_pictures(
            [path], options=MotionOptions(seconds=1, width=64, height=64), out=out
        ),
        lambda: compose_film([Scene(visual=path, seconds=1)], out=out),
        lambda: stitch_videos([path], out=out),
        lambda: extract_frame(path, out=out.with_suffix(".png")),
        lambda: convert_sound(path, out=out.with_suffix(".mp3")),
        lambda: stitch_audio([path], out=out.with_suffix(".mp3")),
        lambda: mix_music(path, path, out=out.with_suffix(".mp3")),
        lambda: measure_loudness(path),
        lambda: analyse_file(path),
    ]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("gone.png", None, "missing_media"),
        ("empty.mp4", b"", "empty_media"),
        ("noise.bin", bytes(range(128, 255)) * 40, "unsupported_media"),
        ("cut.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None),
        ("cut.mp4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", None),
        ("cut.webm", b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x86webm", None),
        ("cut.wav", b"RIFF\x24\0\0\0WAVEfmt ", None),
        ("cut.mp3", b"ID3\x04\0\0\0\0\0\0", None),
    ],
)
def test_every_work_refuses_files_that_are_absent_empty_or_broken(
    tmp_path: Path, out: Path, name: str, content: bytes | None, code: str | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for work in works(path, out):
        error = refused(work)
        assert name in error.message
        assert code is None or error.code == code
    assert not [left for left in tmp_path.iterdir() if left != path], (
        "a refused work leaves no half-made file"
    )


def test_a_text_named_like_a_picture_is_refused_as_a_text(tmp_path: Path, out: Path) -> None:
    path = tmp_path / "holiday.png"
    path.write_text("I am no picture.")
    assert (
        refused(
            lambda: animate_pictures(
                [path], options=MotionOptions(seconds=1, width=64, height=64), out=out
            )
        ).code
        == "not_an_image"
    )
    assert refused(lambda: stitch_videos([path], out=out)).code == "not_a_recording"


def test_a_playlist_named_like_a_video_is_never_followed(
    tmp_path: Path, out: Path, tone: Path
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{tone}\n#EXT-X-ENDLIST\n")
    assert (
        refused(lambda: convert_sound(path, out=out.with_suffix(".wav"))).code
        == "unsupported_media"
    )


def test_a_picture_that_claims_a_huge_size_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    for work in (lambda: probe_file(path), lambda: open_picture(path)):
        assert refused(work).code == "media_too_large"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused_and_not_half_shown(
    detailed: Path, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "cut.png"
    data = detailed.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert refused(lambda: open_picture(path)).code == "unreadable_media"


@pytest.fixture(
    params=["whole.mp4", "whole.mov", "whole.webm", "whole.mp3", "whole.wav", "whole.flac"]
)
def whole(request: pytest.FixtureRequest, red: Path, tone: Path, tmp_path: Path) -> Path:
    """Three seconds, with sound; films have their index in front, as the web wants it."""
    path = tmp_path / str(request.param)
    if path.suffix in (".mp4", ".mov", ".webm"):
        compose_film(
            [Scene(visual=red, seconds=3)],
            out=path,
            music=tone,
            options=FilmOptions(width=96, height=64, fps=12),
        )
    else:
        convert_sound(tone, out=path)
    return path


@pytest.mark.parametrize("share", [0.4, 0.67])
def test_what_is_cut_off_is_refused_and_says_where(whole: Path, out: Path, share: float) -> None:
    analyse_file(whole)
    cut = whole.with_name("cut" + whole.suffix)
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    works: list[Callable[[], object]] = [
        lambda: analyse_file(cut),
        lambda: convert_sound(cut, out=out.with_suffix(".wav")),
    ]
    if whole.suffix in (".mp4", ".mov", ".webm"):
        works += [
            lambda: stitch_videos([whole, cut], out=out),
            lambda: extract_frame(cut, out=out.with_suffix(".png")),
            lambda: extract_frame(cut, out=out.with_suffix(".png"), at_seconds=2.9),
            lambda: assemble_films([cut], None, outs=[out]),
            lambda: assemble_films([cut], whole, outs=[out]),
        ]
    for work in works:
        error = refused(work)
        assert error.code == "cut_off_media", error.message
        assert re.search(r"cut\.\w+ is cut off after [012]\.\d of 3\.[01] s", error.message)
    assert not out.exists()


def test_a_header_without_streams_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41\0\0\0\x08moov")
    assert refused(lambda: analyse_file(path)).code == "no_streams"


def test_a_song_with_a_cover_is_a_song(tone: Path, red: Path, tmp_path: Path, out: Path) -> None:
    song = tmp_path / "song.mp3"
    with av.open(str(song), "w") as container:
        sound = container.add_stream("libmp3lame", rate=48_000, layout="stereo")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 160, 90, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.start_encoding()
        with av.open(str(red)) as picture:
            for frame in picture.decode(video=0):
                container.mux(cover.encode(frame.reformat(format="yuvj420p")))
            container.mux(cover.encode(None))
        for samples in read_audio_frames(tone):
            samples.pts = None
            container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    found = analyse_file(song)
    assert (found.info.content_type, found.info.has_video, found.video) == (
        "audio/mpeg",
        False,
        None,
    )
    assert refused(lambda: stitch_videos([song], out=out)).code == "no_video"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"%PDF-1.7\n1 0 obj\n<< >>\nendobj\n", "PDF"),
        (b"PK\x03\x04letter", "ZIP"),
        (b"#EXTM3U\n#EXTINF:3,\na.mp4\n", "playlist"),
        (b"\xef\xbb\xbf#EXTM3U\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
        (b"v=0\r\no=- 0 0 IN IP4 10.0.0.1\r\n", "SDP"),
        (b"{\\rtf1 Hello}", "RTF"),
        (b"<?xml version='1.0'?><MPD/>", "XML"),
        (b"  <!DOCTYPE html><p>404", "web page"),
    ],
)
def test_documents_and_lists_are_no_texts(content: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_bytes(content)
    error = refused(lambda: analyse_file(path))
    assert named in error.message
    assert "UTF-8 text" in error.message


def test_sound_where_pictures_are_needed_and_the_reverse(
    tone: Path, silent_clip: Path, out: Path
) -> None:
    assert refused(lambda: stitch_videos([tone], out=out)).code == "no_video"
    assert refused(lambda: extract_frame(tone, out=out.with_suffix(".png"))).code == "no_video"
    assert (
        refused(lambda: convert_sound(silent_clip, out=out.with_suffix(".mp3"))).code == "no_audio"
    )
    assert refused(lambda: measure_loudness(silent_clip)).code == "no_audio"


def test_nothing_to_work_on_and_senseless_wishes_are_refused(
    red: Path, silent_clip: Path, out: Path
) -> None:
    wishes = [
        lambda: animate_pictures(
            [], options=MotionOptions(seconds=1, width=64, height=64), out=out
        ),
        lambda: animate_pictures(
            [red], options=MotionOptions(seconds=0, width=64, height=64), out=out
        ),
        lambda: animate_pictures(
            [red], options=MotionOptions(seconds=1, width=8, height=64), out=out
        ),
        lambda: animate_pictures(
            [red],
            options=MotionOptions(seconds=1, width=64, height=64),
            out=out.with_suffix(".avi"),
        ),
        lambda: stitch_videos([], out=out),
        lambda: stitch_audio([], out=out.with_suffix(".mp3")),
        lambda: compose_film([], out=out),
        lambda: extract_frame(silent_clip, out=out.with_suffix(".png"), at_seconds=99),
        lambda: extract_frame(silent_clip, out=out.with_suffix(".png"), at_seconds=-1),
        lambda: upscale_picture(red, scale=1, out=out.with_suffix(".png")),
        lambda: upscale_picture(red, scale=2, out=out.with_suffix(".xyz")),
    ]
    for wish in wishes:
        refused(wish)
    assert not out.exists()


def test_a_png_whose_compressed_text_is_huge_is_unreadable(tmp_path: Path) -> None:
    """It was an internal error, and the job was tried again."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    text = b"Comment\0\0" + zlib.compress(b"\0" * (64 << 20))
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"zTXt", text)
        + chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 4) * 4))
        + chunk(b"IEND", b"")
    )
    assert refused(lambda: open_picture(path)).code == "unreadable_media"


def test_sound_of_an_unknown_codec_is_refused_by_name(tmp_path: Path) -> None:
    """The fuzzer found it: a track without a decoder has no rate and no size."""
    file = tmp_path / "odd.wav"
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(160))
    data = bytearray(file.read_bytes())
    data[20:24] = b"\1\1\0\0"  # the codec's number, and the channels
    file.write_bytes(data)
    with pytest.raises(PermanentError, match=r"The audio track of odd\.wav is in a format") as it:
        probe_file(file)
    assert it.value.code == "unsupported_media"


#: A GIF of two frames that goes on behind its first as if another began there.
_BROKEN_GIF = base64.b64decode(
    "R0lGODlhCAAIAIEAAP8AAAAAAAAAAAAAACH5BAAEAAAALAAAAAAIAAgAAAgPAAEIHEiwoMGDCBMqTBgQAAAIAAgAAAgPAAEI"
    "HEiwoMGDCBMqTBgQACH5BAEEAAEALAAAAAAIAAgAgQAA/wAAADs="
)


def test_a_gif_that_breaks_off_within_a_frame_is_unreadable(tmp_path: Path) -> None:
    """Found by the coverage-guided fuzzer: Pillow's IndexError was taken for a fault of ours."""
    path = tmp_path / "broken.gif"
    path.write_bytes(_BROKEN_GIF)
    assert refused(lambda: is_animated(path)).code == "unreadable_media"


@pytest.mark.parametrize(
    ("part", "damaged"), [(b"av1C", b"av0C"), (b"mdat\x12\x00", b"mdat\x1a\x00")]
)
def test_an_avif_that_cannot_be_decoded_is_unreadable(
    tmp_path: Path, part: bytes, damaged: bytes
) -> None:
    """Found by the coverage-guided fuzzer: libavif's RuntimeError, at the opening or after it."""
    path = tmp_path / "broken.avif"
    Image.frombytes("RGB", (8, 8), Random(3).randbytes(192)).save(path)
    content = path.read_bytes()
    assert part in content
    path.write_bytes(content.replace(part, damaged))
    assert refused(lambda: open_picture(path)).code == "unreadable_media"
