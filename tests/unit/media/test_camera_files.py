"""Clips as cameras and services make them: HDR, odd pixels, interlaced, any rate, alike."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pytest
from PIL import Image

from taskreel.domain.errors import PermanentError
from taskreel.media.audio_io import measure_sound_seconds
from taskreel.media.compose import compose_film
from taskreel.media.frames import extract_frame
from taskreel.media.probe import probe_file
from taskreel.media.scenes import FilmOptions, Scene
from taskreel.media.stitch import StitchOptions, stitch_videos
from unit.media.decode_results import has_colour, read_sound, read_video_frames

#: BT.709 to BT.2020 primaries (ITU-R BT.2087).
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
PQ, HLG, BT2020, BT2020_MATRIX = 16, 18, 9, 9


def encode_pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084."""
    y = (nits / 10_000) ** 0.1593017578125
    coded: np.ndarray = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    return coded


def encode_hlg(nits: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100 for a screen of 1000 cd/m²."""
    luma: np.ndarray = nits @ np.array([0.2627, 0.6780, 0.0593]) / 1000
    scene = nits / 1000 * (np.maximum(luma, 1e-9)[..., None] ** (1 / 1.2 - 1))
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    coded: np.ndarray = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    return coded


def write_clip(
    path: Path,
    pictures: list[np.ndarray],
    *,
    rate: Fraction | int = 25,
    pixel_format: str = "yuv420p",
    transfer: int | None = None,
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    codec: str = "libx264",
) -> Path:
    """Encode RGB pictures (8 or 16 bit); with `transfer` they are coded BT.2020 already."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {"crf": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        if aspect:
            stream.sample_aspect_ratio = aspect
        if transfer:
            context = stream.codec_context
            context.color_primaries, context.color_trc = BT2020, transfer
            context.colorspace, context.color_range = BT2020_MATRIX, 1
        for number, picture in enumerate(pictures):
            deep = picture.dtype == np.uint16
            frame = av.VideoFrame.from_ndarray(picture, format="rgb48le" if deep else "rgb24")
            matrix = "bt2020" if transfer else "bt709" if picture.shape[0] >= 720 else "bt601"
            frame = convert(frame, f"iw:ih:out_color_matrix={matrix}:out_range=tv", pixel_format)
            frame.pts, frame.time_base = number, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def convert(frame: av.VideoFrame, scale: str, pixel_format: str) -> av.VideoFrame:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    graph.link_nodes(
        source,
        graph.add("scale", scale),
        graph.add("format", pixel_format),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    graph.push(None)
    made = graph.pull()
    assert isinstance(made, av.VideoFrame)
    return made


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (160, 90)) -> np.ndarray:
    return np.full((size[1], size[0], 3), colour, np.uint8)


@pytest.mark.parametrize(("transfer", "encode"), [(PQ, encode_pq), (HLG, encode_hlg)])
@pytest.mark.parametrize("colour", [(120, 120, 120), (150, 60, 40), (60, 90, 150), (60, 120, 60)])
def test_an_hdr_clip_has_the_same_colours_on_an_ordinary_screen(
    transfer: int, encode: object, colour: tuple[int, int, int], tmp_path: Path
) -> None:
    """Tones well below paper white (203 cd/m²) are the same in HDR and in BT.709."""
    linear = (np.array(colour) / 255) ** 2.2
    coded = np.clip(encode(TO_BT2020 @ linear * 203), 0, 1)  # type: ignore[operator]
    deep = np.full((90, 160, 3), np.round(coded * 65535), np.uint16)
    clip = write_clip(
        tmp_path / "hdr.mp4",
        [deep] * 4,
        pixel_format="yuv420p10le",
        transfer=transfer,
        codec="libx265",
        options={"crf": "8", "x265-params": "log-level=none"},
    )
    stitch_videos([clip], out=tmp_path / "film.mp4")
    shown = read_video_frames(tmp_path / "film.mp4")[1]
    extract_frame(clip, out=tmp_path / "frame.png", at_seconds=0)
    with Image.open(tmp_path / "frame.png") as still:
        for picture in (shown, np.asarray(still.convert("RGB"))):
            assert has_colour(picture, colour, within=20), picture[45, 80]


def test_light_above_paper_white_is_not_clipped_to_one_tone(tmp_path: Path) -> None:
    ramp = np.linspace(100, 480, 160)[None, :, None] * np.ones((90, 1, 3))
    deep = np.round(encode_pq(ramp) * 65535).astype(np.uint16)
    clip = write_clip(
        tmp_path / "bright.mp4",
        [deep] * 3,
        pixel_format="yuv420p10le",
        transfer=PQ,
        codec="libx265",
        options={"crf": "8", "x265-params": "log-level=none"},
    )
    stitch_videos([clip], out=tmp_path / "film.mp4")
    row = read_video_frames(tmp_path / "film.mp4")[0][45, :, 1].astype(int)
    assert row[30] < row[70] < row[110] < row[150]


def test_pixels_that_are_not_square_are_shown_in_their_shape(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "pal.mp4", [plain((200, 40, 40), (144, 116))] * 3, aspect=Fraction(64, 45)
    )
    info = probe_file(clip)
    assert (info.width, info.height) == (204, 116)
    film = stitch_videos([clip], out=tmp_path / "film.webm")
    assert (film.width, film.height) == (204, 116)
    frame = extract_frame(clip, out=tmp_path / "frame.png")
    assert (frame.width, frame.height) == (204, 116)


def test_an_untagged_hd_clip_is_read_as_bt709(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "hd.mp4", [plain((32, 64, 192), (1280, 720))] * 2)
    extract_frame(clip, out=tmp_path / "frame.png", at_seconds=0)
    with Image.open(tmp_path / "frame.png") as still:
        assert has_colour(np.asarray(still), (32, 64, 192), within=4)


def test_an_interlaced_clip_is_shown_without_combs(tmp_path: Path) -> None:
    """A white bar moves 12 pixels from field to field: alternate rows show it in two places."""
    pictures = []
    for number in range(8):
        picture = plain((20, 20, 20), (192, 96))
        for field in (0, 1):
            left = 10 + (2 * number + field) * 12 % 120
            picture[field::2, left : left + 30] = 235
        pictures.append(picture)
    clip = write_clip(
        tmp_path / "interlaced.mp4",
        pictures,
        options={"crf": "8", "x264-params": "interlaced=1:tff=1"},
    )
    stitch_videos([clip], out=tmp_path / "film.webm", options=StitchOptions(quality="high"))
    for source, combed in ((clip, True), (tmp_path / "film.webm", False)):
        grey = read_video_frames(source)[3].astype(int).mean(axis=2)
        comb = np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).max(axis=0)
        assert (np.sort(comb)[-10:].mean() > 80) == combed, source.name


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (Fraction(24), 24),
        (Fraction(24000, 1001), 23.976),
        (Fraction(60), 60),
        (Fraction(120), 60),
        (Fraction(10), 10),
    ],
)
def test_a_film_has_the_rate_of_its_first_clip(
    rate: Fraction, shown: float, tmp_path: Path
) -> None:
    pictures = [plain((number * 4 % 250, 90, 90)) for number in range(int(rate))]
    clip = write_clip(tmp_path / "clip.mp4", pictures, rate=rate)
    film = stitch_videos([clip], out=tmp_path / "film.webm")
    assert film.fps == pytest.approx(shown, abs=0.01)
    asked = stitch_videos([clip], out=tmp_path / "asked.mp4", options=StitchOptions(fps=25))
    assert asked.fps == 25


def test_no_frame_of_a_24_fps_clip_is_doubled_in_a_composition(tmp_path: Path) -> None:
    pictures = [plain((number * 10, 255 - number * 10, 60)) for number in range(24)]
    clip = write_clip(tmp_path / "clip.mp4", pictures, rate=24)
    options = FilmOptions(width=160, height=90, transition="cut")
    made = compose_film([Scene(visual=clip)], out=tmp_path / "film.mp4", options=options)
    assert made.info.fps == 24
    reds = [frame[45, 80, 0] for frame in read_video_frames(tmp_path / "film.mp4")]
    assert len(reds) == 24
    assert all(later > earlier for earlier, later in pairwise(reds))


@pytest.mark.parametrize("fit", ["cover", "contain", "blur"])
def test_fit_says_how_a_clip_of_another_shape_is_shown(fit: str, tmp_path: Path) -> None:
    tall = plain((40, 200, 60), (90, 160))
    tall[:10] = (200, 30, 30)
    clip = write_clip(tmp_path / "tall.mp4", [tall] * 3)
    options = StitchOptions(width=160, height=90, fit=fit)  # type: ignore[arg-type]
    stitch_videos([clip], out=tmp_path / "film.mp4", options=options)
    frame = read_video_frames(tmp_path / "film.mp4")[0].astype(int)
    left, top = frame[45, 8], frame[2, 80]
    assert (top[0] > 120) == (fit != "cover"), "the clip's red top is cut off by cover alone"
    assert (left.max() < 30) == (fit == "contain"), "only contain has black bars"


@pytest.fixture(params=[".gif", ".png", ".webp"])
def animation(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Red for half a second, then green and blue for a quarter each."""
    path = tmp_path / f"animation{request.param}"
    first, *others = (Image.new("RGB", (96, 64), colour) for colour in ("red", "lime", "blue"))
    first.save(path, save_all=True, append_images=others, duration=[500, 250, 250], loop=0)
    return path


def test_an_animated_picture_is_a_clip(animation: Path, tmp_path: Path) -> None:
    film = stitch_videos([animation, animation], out=tmp_path / "film.mp4")
    assert film.duration_seconds == pytest.approx(2.0, abs=0.05)
    frames = read_video_frames(tmp_path / "film.mp4")
    assert has_colour(frames[0], (255, 0, 0))
    assert has_colour(frames[len(frames) * 5 // 16], (0, 255, 0))
    assert has_colour(frames[-1], (0, 0, 255))


def test_an_animated_picture_starts_again_until_its_scene_ends(
    animation: Path, tmp_path: Path
) -> None:
    look = FilmOptions(width=96, height=64, transition="cut")
    scene = Scene(visual=animation, seconds=2.5)
    made = compose_film([scene], out=tmp_path / "film.mp4", options=look)
    assert made.info.duration_seconds == pytest.approx(2.5, abs=0.05)
    frames = read_video_frames(tmp_path / "film.mp4")
    second = len(frames) * 2 // 5
    assert has_colour(frames[second - 1], (0, 0, 255))
    assert has_colour(frames[second + 1], (255, 0, 0))


def test_a_long_animation_is_cut_by_its_scene_and_refused_without_one(tmp_path: Path) -> None:
    slow = tmp_path / "slow.gif"
    first, other = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))
    first.save(slow, save_all=True, append_images=[other], duration=[100, 650_000])
    look = FilmOptions(width=64, height=64, fps=10)
    made = compose_film([Scene(visual=slow, seconds=2.53)], out=tmp_path / "film.mp4", options=look)
    assert made.info.duration_seconds == pytest.approx(2.5, abs=0.05)
    with pytest.raises(PermanentError, match="may last 120 s"):
        stitch_videos([slow], out=tmp_path / "stitched.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "slow.gif"]


def test_an_animation_of_too_many_pixels_is_refused_before_it_is_decoded(
    animation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.media.animations.MOST_PIXELS", 96 * 64 * 3 - 1)
    with pytest.raises(PermanentError, match="pixels in all its frames"):
        stitch_videos([animation], out=tmp_path / "film.mp4")


def test_a_still_picture_of_an_animated_format_stays_a_picture(tmp_path: Path) -> None:
    Image.new("RGB", (96, 64), "red").save(tmp_path / "still.gif")
    with pytest.raises(PermanentError, match="not video or sound"):
        stitch_videos([tmp_path / "still.gif"], out=tmp_path / "film.mp4")


# ── Copying ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def alike(tmp_path: Path, detailed: Path, tone: Path) -> list[Path]:
    """Three clips of one encoder, with sound."""
    clips = []
    for number in range(3):
        clip = tmp_path / f"alike-{number}.mp4"
        look = FilmOptions(width=160, height=96, fps=24, seed=number)
        compose_film([Scene(visual=detailed, seconds=1.5)], out=clip, music=tone, options=look)
        clips.append(clip)
    return clips


def read_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_clips_that_are_alike_are_copied_without_loss(alike: list[Path], tmp_path: Path) -> None:
    film = stitch_videos(alike, out=tmp_path / "film.mp4")
    assert read_packets(tmp_path / "film.mp4") == [p for clip in alike for p in read_packets(clip)]
    assert film.duration_seconds == pytest.approx(4.5, abs=0.05)
    frames = read_video_frames(tmp_path / "film.mp4")
    expected = [frame for clip in alike for frame in read_video_frames(clip)]
    assert len(frames) == len(expected) == 108
    assert all(np.array_equal(a, b) for a, b in zip(frames, expected, strict=True))


def test_the_sound_of_copied_clips_stays_in_step(alike: list[Path], tmp_path: Path) -> None:
    stitch_videos(alike, out=tmp_path / "film.mp4")
    assert measure_sound_seconds(tmp_path / "film.mp4") == pytest.approx(4.5, abs=0.06)
    joined, alone = read_sound(tmp_path / "film.mp4"), read_sound(alike[0])
    for start in (0.0, 1.5, 3.0):
        begin = round((start + 0.6) * 48_000)
        part = joined[:, begin : begin + 24_000]
        same = alone[:, 28_800 : 28_800 + 24_000]
        assert np.sqrt((part**2).mean()) == pytest.approx(np.sqrt((same**2).mean()), rel=0.1)


@pytest.mark.parametrize(
    "options",
    [StitchOptions(width=128, height=96), StitchOptions(fps=12), StitchOptions(quality="draft")],
)
def test_what_is_asked_for_is_encoded_even_if_clips_are_alike(
    alike: list[Path], options: StitchOptions, tmp_path: Path
) -> None:
    stitch_videos(alike, out=tmp_path / "film.mp4", options=options)
    assert read_packets(tmp_path / "film.mp4") != [p for clip in alike for p in read_packets(clip)]


def test_clips_that_differ_are_not_copied(
    alike: list[Path], silent_clip: Path, tmp_path: Path
) -> None:
    film = stitch_videos([alike[0], silent_clip], out=tmp_path / "film.mp4")
    assert film.duration_seconds == pytest.approx(2.5, abs=0.1)
    assert (film.width, film.height, film.has_audio) == (160, 96, True)
