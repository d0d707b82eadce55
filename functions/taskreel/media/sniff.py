"""Detect a file's kind from its first bytes. This is a security boundary.

libav and Pillow are given one reader and never guess: by guessing, libav would read a text file
named like a video as a playlist, and open the files and addresses in it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from taskreel.domain.errors import PermanentError

if TYPE_CHECKING:
    from pathlib import Path

Family = Literal["image", "stream", "text"]

HEAD_BYTES = 4096
TS_PACKET_BYTES = 188
TS_SYNC = b"G"
#: The sync word, then a valid version and layer.
MPEG_AUDIO_FRAME = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]")
PARSED_AS_TEXT = "text/plain"
#: Documents and playlists that resemble text: (start in lower case, name).
NO_TEXT: tuple[tuple[bytes, str], ...] = (
    (b"%pdf-", "a PDF document"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"#extm3u", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"v=0\r\n", "a session description (SDP)"),
    (b"v=0\n", "a session description (SDP)"),
    (b"{\\rtf", "an RTF document"),
    (b"%!ps", "a PostScript document"),
    (b"<?xml", "an XML document"),
    (b"<svg", "an SVG drawing"),
    (b"<mpd", "a playlist"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
)
READABLE = (
    "PNG, JPEG, WebP, GIF, AVIF, HEIC, MP4, MOV, WebM, MKV, AVI, MP3, WAV, OGG, FLAC, AAC or"
    " UTF-8 text"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A file's kind; `reader` is Pillow's name of an image format, or libav's of a container."""

    family: Family
    content_type: str
    reader: str = ""


JPEG = Kind("image", "image/jpeg", "JPEG")
MOV = Kind("stream", "video/quicktime", "mov")
MP4 = Kind("stream", "video/mp4", "mov")
MP3 = Kind("stream", "audio/mpeg", "mp3")

STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", Kind("image", "image/png", "PNG")),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF8", Kind("image", "image/gif", "GIF")),
    (b"BM", Kind("image", "image/bmp", "BMP")),
    (b"II*\0", Kind("image", "image/tiff", "TIFF")),
    (b"MM\0*", Kind("image", "image/tiff", "TIFF")),
    (b"OggS", Kind("stream", "audio/ogg", "ogg")),
    (b"fLaC", Kind("stream", "audio/flac", "flac")),
    (b"FLV\x01", Kind("stream", "video/x-flv", "flv")),
    (b"ID3", MP3),
    (b"\xff\xf1", Kind("stream", "audio/aac", "aac")),
    (b"\xff\xf9", Kind("stream", "audio/aac", "aac")),
)
RIFF = {
    b"WEBP": Kind("image", "image/webp", "WEBP"),
    b"WAVE": Kind("stream", "audio/wav", "wav"),
    b"AVI ": Kind("stream", "video/x-msvideo", "avi"),
}
BRANDS = {
    b"avif": Kind("image", "image/avif", "AVIF"),
    b"avis": Kind("image", "image/avif", "AVIF"),
    b"qt  ": MOV,
}
#: HEIC, as telephones write it. `mif1` is any picture: the other brands tell which.
HEIC = Kind("image", "image/heic", "HEIF")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis")
PICTURE_BRANDS = (*HEIC_BRANDS, b"mif1")
OLD_MOV_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip")


def detect_kind(path: Path) -> Kind:
    """Return the kind of a file; raises PermanentError if it is missing, empty or unsupported."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except (FileNotFoundError, IsADirectoryError):
        raise PermanentError(
            f"The file {path.name} does not exist.", code="missing_media"
        ) from None
    if not head:
        message = f"{path.name} is empty (0 bytes); upload or create it again."
        raise PermanentError(message, code="empty_media", file=path.name)
    foreign = _find_foreign_kind(head)
    kind = None
    if not foreign:
        kind = _match_container(head) or _match_start(head) or _match_text(head)
    if kind is None:
        found = foreign or "of an unknown kind"
        message = f"{path.name} is {found}, which is not supported; use {READABLE}."
        raise PermanentError(message, code="unsupported_media", file=path.name)
    return kind


def _find_foreign_kind(head: bytes) -> str | None:
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return next((name for beginning, name in NO_TEXT if start.startswith(beginning)), None)


def _match_start(head: bytes) -> Kind | None:
    for start, kind in STARTS:
        if head.startswith(start):
            return kind
    if MPEG_AUDIO_FRAME.match(head):
        return MP3
    if head[:1] == head[TS_PACKET_BYTES : TS_PACKET_BYTES + 1] == TS_SYNC:
        return Kind("stream", "video/mp2t", "mpegts")
    return None


def _match_container(head: bytes) -> Kind | None:
    """Match containers whose type follows their first word: RIFF, ISO base media, Matroska."""
    if head.startswith(b"RIFF"):
        return RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _match_brand(head)
    if head[4:8] in OLD_MOV_ATOMS:
        return MOV
    if head.startswith(b"\x1aE\xdf\xa3"):
        return Kind(
            "stream", "video/webm" if b"webm" in head[:64] else "video/x-matroska", "matroska"
        )
    return None


def _match_brand(head: bytes) -> Kind:
    brand = head[8:12]
    if brand in PICTURE_BRANDS:
        length = min(int.from_bytes(head[:4]), 256)
        others = [head[at : at + 4] for at in range(16, length, 4)]
        avif = brand not in HEIC_BRANDS and b"avif" in others
        return BRANDS[b"avif"] if avif else HEIC
    return BRANDS.get(brand, MP4)


def _match_text(head: bytes) -> Kind | None:
    try:
        text = head.decode()
    except UnicodeDecodeError as exc:
        # A character may be cut at the end of what was read.
        if len(head) < HEAD_BYTES or exc.start < HEAD_BYTES - 3:
            return None
        text = head[: exc.start].decode()
    if "\0" in text:
        return None
    return Kind("text", "application/json" if text.lstrip()[:1] in ("{", "[") else PARSED_AS_TEXT)
