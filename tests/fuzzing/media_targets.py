"""Every opener of media: the probe, and what decodes pictures, animations, sounds, clips, texts."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import wave
import zipfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

from fuzzing.target import Target
from taskreel.media.analyse import analyse_file
from taskreel.media.animations import animations_as_clips, is_animated
from taskreel.media.audio_io import measure_sound_seconds
from taskreel.media.copy_streams import can_be_copied
from taskreel.media.frame_filters import FrameShape
from taskreel.media.frames import extract_frame, read_clip_frames, read_frame_rate
from taskreel.media.open_media import open_image, open_picture
from taskreel.media.probe import probe_file

_SHAPE = FrameShape((16, 16), Fraction(10))
#: What is behind so many frames is decoded as what was before.
_MOST_FRAMES = 20


def _give_file(read: Callable[[Path], object], data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="taskreel-fuzz-") as folder:
        path = Path(folder, "input.bin")
        path.write_bytes(data)
        with warnings.catch_warnings():
            # Pillow warns of what is odd in a picture, and pytest makes that an error.
            warnings.simplefilter("ignore")
            read(path)


def _decode_picture(path: Path) -> None:
    open_image(path)
    open_picture(path)


def _decode_clip(path: Path) -> None:
    read_frame_rate(path)
    can_be_copied([path, path], path.with_suffix(".mp4"))
    for _ in islice(read_clip_frames(path, _SHAPE), _MOST_FRAMES):
        pass
    extract_frame(path, out=path.with_suffix(".png"))


def _decode_animation(path: Path) -> None:
    is_animated(path)
    with animations_as_clips([path], path.parent):
        pass


# ── Examples ─────────────────────────────────────────────────────────────────────────────────────


def _draw_picture(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture = Image.frombytes("RGB", (8, 8), Random(3).randbytes(192))
    picture.save(file, kind, **options)
    return file.getvalue()


def _draw_turned() -> bytes:
    """A JPEG with an orientation and a colour profile."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _draw_picture("JPEG", exif=exif.tobytes(), icc_profile=b"no profile")


def _draw_animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=40)
    return file.getvalue()


def _record_silence() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(160))
    return file.getvalue()


def _film(container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as film:
        stream = film.add_stream(codec, rate=10)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for grey in (0, 128):
            pixels = np.full((16, 16, 3), grey, np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode(None))
    return file.getvalue()


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "a")
    return file.getvalue()


_PICTURES: Sequence[bytes] = [
    *(_draw_picture(kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF")),
    _draw_turned(),
]
_SOUNDS: Sequence[bytes] = [
    _record_silence(),
    b"ID3\4\0\0\0\0\0\0\xff\xfb\x90\0",
]
_CLIPS: Sequence[bytes] = [
    _film("mp4", "mpeg4"),
    _film("avi", "mpeg4"),
    b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08moov",
]
_TEXTS: Sequence[bytes] = [
    b"INT. KITCHEN - DAY\n\nADA\nIs it done?\n",
    json.dumps({"scenes": [{"speaker": "ada"}]}).encode(),
]

MEDIA_TARGETS: dict[str, Target] = {
    name: Target(partial(_give_file, read), seeds)
    for name, read, seeds in (
        ("media", probe_file, [*_PICTURES, *_SOUNDS, *_CLIPS, _zip()]),
        ("packets", partial(probe_file, every_packet=True), [*_SOUNDS, *_CLIPS]),
        ("picture", _decode_picture, _PICTURES),
        ("animation", _decode_animation, [_draw_animation("GIF"), _draw_animation("WEBP")]),
        ("sound", measure_sound_seconds, _SOUNDS),
        ("clip", _decode_clip, _CLIPS),
        ("analysis", analyse_file, [*_PICTURES, *_SOUNDS, *_CLIPS, *_TEXTS]),
    )
}
