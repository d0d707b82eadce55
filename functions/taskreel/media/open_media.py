"""Opening foreign files: limits first, and every reader's complaint becomes one clear PermanentError."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import av
import av.error
from av.stream import Disposition
from PIL import Image, ImageOps, UnidentifiedImageError

from taskreel.domain.errors import PermanentError
from taskreel.media.sniff import Kind, detect_kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_IMAGE_PIXELS = 8192 * 8192
MAX_VIDEO_PIXELS = 8192 * 4320

Need = Literal["video", "audio"]


@contextmanager
def image_header(path: Path) -> Iterator[Image.Image]:
    """The image, its pixels not decoded yet; refuses what is no image or would be too large in memory."""
    kind = detect_kind(path)
    if kind.family != "image":
        message = (
            f"{path.name} is {kind.content_type}, not an image; send PNG, JPEG, WebP, GIF or AVIF."
        )
        raise PermanentError(message, code="not_an_image", file=path.name)
    with _unreadable(path), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", Image.DecompressionBombWarning
        )  # the limit here is the stricter one
        with Image.open(path, formats=[kind.reader]) as image:
            _refuse_large(path, *image.size, MAX_IMAGE_PIXELS)
            yield image


def open_image(path: Path) -> Image.Image:
    """The decoded image, upright, as RGB, or RGBA where it has transparency."""
    with image_header(path) as image:
        upright = ImageOps.exif_transpose(image)
        transparent = upright.has_transparency_data
        return upright.convert("RGBA" if transparent else "RGB")


def open_picture(path: Path) -> Image.Image:
    """The decoded image as RGB, transparency laid on white."""
    image = open_image(path)
    if image.mode == "RGB":
        return image
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image).convert("RGB")


@contextmanager
def open_stream(path: Path, *, need: Need | None = None) -> Iterator[InputContainer]:
    """The video or sound file, opened by what it contains; libav's errors inside the block are translated too."""
    kind = detect_kind(path)
    if kind.family != "stream":
        message = f"{path.name} is {kind.content_type}, not video or sound; send MP4, MOV, WebM, MP3, WAV or OGG."
        raise PermanentError(message, code="not_a_recording", file=path.name)
    with _unreadable(path), _container(path, kind) as container:
        _refuse_lacking(path, container, need)
        for stream in container.streams.video:
            _refuse_large(path, stream.width or 0, stream.height or 0, MAX_VIDEO_PIXELS)
        yield container


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The track of moving pictures; a song's cover is none."""
    shown = (
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    )
    return next((stream for stream in shown if stream.width), None)


def _container(path: Path, kind: Kind) -> InputContainer:
    return av.open(str(path), format=kind.reader, options={"protocol_whitelist": "file"})


def _refuse_lacking(path: Path, container: InputContainer, need: Need | None) -> None:
    pictures, sound = picture_stream(container) is not None, bool(container.streams.audio)
    if not pictures and not sound:
        message = f"{path.name} has neither picture nor sound; export or upload it again."
        raise PermanentError(message, code="no_streams", file=path.name)
    if need == "video" and not pictures:
        message = f"{path.name} has no picture; a video is needed here."
        raise PermanentError(message, code="no_video", file=path.name)
    if need == "audio" and not sound:
        message = f"{path.name} has no sound; a file with an audio track is needed here."
        raise PermanentError(message, code="no_audio", file=path.name)


def _refuse_large(path: Path, width: int, height: int, limit: int) -> None:
    if width * height > limit:
        message = f"{path.name} is {width} x {height} pixels; at most {limit:,} can be worked on. Make it smaller."
        raise PermanentError(
            message, code="media_too_large", file=path.name, width=width, height=height
        )


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError:
        message = f"{path.name} claims more pixels than can be worked on; make it smaller."
        raise PermanentError(message, code="media_too_large", file=path.name) from None
    except MemoryError:
        raise
    except (UnidentifiedImageError, av.error.FFmpegError, OSError, SyntaxError, EOFError) as exc:
        message = (
            f"{path.name} is damaged or cut off and cannot be read; export or upload it again."
        )
        raise PermanentError(
            message, code="unreadable_media", file=path.name, reason=str(exc)
        ) from exc
