"""Detect files that end before their stated length: cut off during upload, or forged."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import av
import av.error

from taskreel.domain.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.stream import Stream

    Part = TypeVar("Part", bound=av.VideoFrame | av.AudioFrame | av.Packet[Any])

MISSING_SECONDS = 0.5  # may be missing: headers round, encoders pad
#: Formats without a stated length: libav takes it from the last packet, wherever that is.
SELF_MEASURED = {"aac", "mpegts", "ogg"}
#: An MP3 that counts its frames; libav only estimates the length of others.
XING = re.compile(rb"Xing|Info|VBRI")
ENDLESS = {0, 2**32 - 1}  # the size in a RIFF file that was written as a stream


def check_not_truncated(
    path: Path, container: InputContainer, stream: Stream, parts: Iterable[Part]
) -> Iterator[Part]:
    """Yield the frames or packets; raise PermanentError if they end half a second early.

    "Early" is before the length that the header states.
    """
    base, begin = stream.time_base or Fraction(0), stream.start_time or 0
    stated = _read_stated_seconds(path, container, stream)
    end: int | None = None
    try:
        for part in parts:
            stamp = part.dts if part.pts is None else part.pts
            other = isinstance(part, av.Packet) and part.stream_index != stream.index
            if stamp is not None and not other:
                end = max(end or 0, stamp + (part.duration or 0))
            yield part
    except av.error.InvalidDataError:  # half a packet: say that the file is cut off, not damaged
        _require_end(path, end and float((end - begin) * base), stated)
        raise
    _require_end(path, end and float((end - begin) * base), stated)


def _require_end(path: Path, end: float | None, stated: float | None) -> None:
    if end is not None and stated is not None and end < stated - MISSING_SECONDS:
        message = (
            f"{path.name} is cut off after {end:.1f} of {stated:.1f} s; export or upload it again."
        )
        raise PermanentError(message, code="cut_off_media", file=path.name)


def _read_stated_seconds(path: Path, container: InputContainer, stream: Stream) -> float | None:
    """Return the length that the header states; None if it states none or an unreliable one."""
    reader = container.format.name
    if reader in SELF_MEASURED or (reader == "mp3" and not _counts_frames(path)):
        return None
    if tag := stream.metadata.get("DURATION"):  # Matroska: 00:00:03.023000000
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if stream.duration and stream.time_base:
        length = float(stream.duration * stream.time_base)
        return length * _compute_missing_factor(path) if reader in {"wav", "avi"} else length
    alone = len(container.streams) == 1 or reader == "flv"
    return container.duration / av.time_base if container.duration and alone else None


def _counts_frames(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(10)
        tag_bytes = sum(
            byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False)
        )
        file.seek(10 + tag_bytes if head.startswith(b"ID3") else 0)
        return XING.search(file.read(256)) is not None


def _compute_missing_factor(path: Path) -> float:
    """Return stated size / actual size of a RIFF file: libav computes the length of the latter."""
    with path.open("rb") as file:
        head = file.read(8)
    stated = int.from_bytes(head[4:8], "little")
    return 1.0 if stated in ENDLESS else max(1.0, (stated + 8) / path.stat().st_size)
