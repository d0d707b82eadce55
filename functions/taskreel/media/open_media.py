"""Open files of unknown origin: limits are checked first, errors become PermanentError."""

from __future__ import annotations

import io
import struct
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal

import av
import av.error
import numpy as np
from av.stream import Disposition
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from taskreel.domain.errors import PermanentError
from taskreel.media.sniff import Kind, detect_kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_IMAGE_PIXELS = 8192 * 8192
BYTE = 255  # the greatest value of 8 bits
MAX_VIDEO_PIXELS = 8192 * 4320

Need = Literal["video", "audio"]


@contextmanager
def open_image_header(path: Path) -> Iterator[Image.Image]:
    """Open an image without decoding its pixels.

    Raises PermanentError for a file that is no image, and for one of more than 67 million pixels:
    a small file may claim a size that would fill the memory.
    """
    kind = detect_kind(path)
    if kind.family != "image":
        message = (
            f"{path.name} is {kind.content_type}, not an image;"
            " use PNG, JPEG, WebP, GIF, AVIF or HEIC."
        )
        raise PermanentError(message, code="not_an_image", file=path.name)
    if kind.reader == "HEIF":
        _register_heif()
    with _translate_errors(path), warnings.catch_warnings():
        # Our own limit, below, is the stricter one.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path, formats=[kind.reader]) as image:
            _require_size(path, *image.size, MAX_IMAGE_PIXELS)
            yield image


@cache
def _register_heif() -> None:
    """Teach Pillow to read HEIC; the library is imported only where such a file is opened."""
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False)


def open_image(path: Path) -> Image.Image:
    """Decode an image, upright, as RGB, or as RGBA if it has transparency."""
    with open_image_header(path) as image:
        upright = _reduce_depth(ImageOps.exif_transpose(image))
        transparent = upright.has_transparency_data
        mode = "RGBA" if transparent else "RGB"
        return _convert_to_srgb(upright, image.info.get("icc_profile"), mode)


def _reduce_depth(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow's own conversion cuts it off at 255."""
    if not image.mode.startswith("I"):
        return image
    deep = np.asarray(image).astype(np.float32)
    top = 65535.0 if deep.max(initial=0) > BYTE else float(BYTE)
    return Image.fromarray(np.clip(deep / top * BYTE + 0.5, 0, BYTE).astype(np.uint8))


def _convert_to_srgb(image: Image.Image, profile: bytes | None, mode: str) -> Image.Image:
    """Convert to sRGB by the picture's colour profile; one that cannot be read is ignored."""
    if not profile or image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image.convert(mode)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        opaque = image.convert("RGB") if image.mode == "RGBA" else image
        shown = ImageCms.profileToProfile(opaque, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert(mode)
    if shown is None:
        return image.convert(mode)
    if mode == "RGBA":
        shown.putalpha(image.convert("RGBA").getchannel("A"))
    return shown


def open_picture(path: Path) -> Image.Image:
    """Decode an image as RGB, transparent parts on white."""
    image = open_image(path)
    if image.mode == "RGB":
        return image
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image).convert("RGB")


@contextmanager
def open_stream(path: Path, *, need: Need | None = None) -> Iterator[InputContainer]:
    """Open a video or sound file by its content; libav's errors inside the block are translated.

    Raises PermanentError for other files, for a missing track that is needed, and for pictures of
    more than 35 million pixels.
    """
    kind = detect_kind(path)
    if kind.family != "stream":
        message = (
            f"{path.name} is {kind.content_type}, not video or sound; use MP4, MOV, WebM, MP3, WAV"
            " or OGG."
        )
        raise PermanentError(message, code="not_a_recording", file=path.name)
    with _translate_errors(path), _open_container(path, kind) as container:
        _require_decoders(path, container)
        _require_tracks(path, container, need)
        for stream in container.streams.video:
            _require_size(path, stream.width or 0, stream.height or 0, MAX_VIDEO_PIXELS)
        yield container


def find_video_stream(container: InputContainer) -> VideoStream | None:
    """Return the video track, or None; the cover picture of a song is none."""
    shown = (
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    )
    return next((stream for stream in shown if stream.width), None)


def _open_container(path: Path, kind: Kind) -> InputContainer:
    # Only local files: a playlist inside a media file must not make libav open addresses.
    return av.open(str(path), format=kind.reader, options={"protocol_whitelist": "file"})


def _require_decoders(path: Path, container: InputContainer) -> None:
    """Refuse pictures, and the first sound, for which there is no decoder: they have no size."""
    for stream in (*container.streams.video, *container.streams.audio[:1]):
        # Its type says that there is always one; of an unknown codec it is None.
        if getattr(stream, "codec_context", None) is None:
            message = (
                f"The {stream.type} track of {path.name} is in a format that cannot be decoded; "
                "export it again with a usual codec, such as H.264, AAC or PCM."
            )
            raise PermanentError(message, code="unsupported_media", file=path.name)


def _require_tracks(path: Path, container: InputContainer, need: Need | None) -> None:
    pictures, sound = find_video_stream(container) is not None, bool(container.streams.audio)
    if not pictures and not sound:
        message = f"{path.name} has neither a video nor an audio track; export or upload it again."
        raise PermanentError(message, code="no_streams", file=path.name)
    if need == "video" and not pictures:
        message = f"{path.name} has no video track; use a file with pictures."
        raise PermanentError(message, code="no_video", file=path.name)
    if need == "audio" and not sound:
        message = f"{path.name} has no audio track; use a file with sound."
        raise PermanentError(message, code="no_audio", file=path.name)


def _require_size(path: Path, width: int, height: int, limit: int) -> None:
    if width * height > limit:
        message = (
            f"{path.name} is {width} x {height} pixels; at most {limit:,} pixels are supported."
            " Make it smaller."
        )
        raise PermanentError(
            message, code="media_too_large", file=path.name, width=width, height=height
        )


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError:
        message = f"{path.name} has more pixels than are supported; make it smaller."
        raise PermanentError(message, code="media_too_large", file=path.name) from None
    except MemoryError:
        raise
    except (
        UnidentifiedImageError,
        av.error.FFmpegError,
        OSError,
        SyntaxError,
        EOFError,
        ValueError,  # Pillow: a text chunk that is too large once decompressed
        IndexError,  # Pillow: a GIF that ends within a frame
        RuntimeError,  # libavif's and libheif's, of a picture that cannot be decoded
        struct.error,  # Pillow: a field that is shorter than its length says
    ) as exc:
        message = (
            f"{path.name} is damaged or cut off and cannot be read; export or upload it again."
        )
        raise PermanentError(
            message, code="unreadable_media", file=path.name, reason=str(exc)
        ) from exc
