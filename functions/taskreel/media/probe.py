"""Facts of a media file: type, size, checksum, dimensions, duration."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from av.audio.stream import AudioStream
from PIL import ExifTags

from taskreel.media.frame_filters import read_pixel_aspect
from taskreel.media.open_media import find_video_stream, open_image_header, open_stream
from taskreel.media.sniff import detect_kind

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SIDEWAYS = range(5, 9)  # EXIF orientations that swap width and height
#: Encoders pad the end of a sound, which headers may leave out.
_HEADER_SLACK_SECONDS = 0.5
#: No camera films faster: more pictures play for longer than their times say.
_MOST_PICTURES_A_SECOND = 240
#: Nothing is bought for a longer file, so its end need not be searched.
_MOST_SECONDS = 7 * 3600.0
#: Types of containers without pictures.
SOUND_ONLY = {"video/mp4": "audio/mp4", "video/webm": "audio/webm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """Facts of one file; those that do not apply are None. Sizes are as displayed, in pixels."""

    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    fps: float | None = None
    codecs: tuple[str, ...] = ()
    has_video: bool = False
    has_audio: bool = False
    sample_rate: int | None = None
    channels: int | None = None


def probe_file(path: Path, *, every_packet: bool = False) -> MediaInfo:
    """Read a file's facts from its content. Raises PermanentError for an unreadable file.

    With `every_packet` its length is that of what is in it, where it states a shorter one: its
    sound is decoded.
    """
    kind = detect_kind(path)
    file = MediaInfo(
        content_type=kind.content_type, bytes=path.stat().st_size, sha256=_hash_file(path)
    )
    match kind.family:
        case "image":
            return _read_image(path, file)
        case "stream":
            return _read_stream(path, file, every_packet=every_packet)
        case "text":
            return file


def read_duration(container: InputContainer) -> float | None:
    """Return the seconds of the header, else those of its packets (live WebM, raw AAC)."""
    if container.duration:
        return container.duration / av.time_base
    ends = [
        float((packet.pts + (packet.duration or 0)) * packet.time_base)
        for packet in container.demux()
        if packet.pts is not None
    ]
    return max(ends, default=None)


def _measure_length(container: InputContainer) -> float | None:
    """The seconds for which a service may play and bill the file; None for one without packets.

    Header and times are what the file says of itself. A service decodes it: so many seconds as
    there are samples of sound, however close together their packets claim to be.
    """
    stated = container.duration / av.time_base if container.duration else 0.0
    tracks: dict[int, _Track] = {}
    for packet in container.demux([*container.streams.video, *container.streams.audio]):
        track = tracks.setdefault(packet.stream_index, _Track())
        track.add(packet)
        if track.decoded > _MOST_SECONDS:
            break
    has_jumps = container.format.name == "mpegts"  # its times may begin anew
    lengths = [
        max(one.decoded, 0.0 if has_jumps else one.last - one.first)
        for one in tracks.values()
        if one.is_known
    ]
    longest = max(lengths, default=0.0)
    return longest if longest > stated + _HEADER_SLACK_SECONDS else stated or longest or None


@dataclass(slots=True)
class _Track:
    """The length of one track, by the times of its packets and by their content, in seconds."""

    first: float = math.inf
    last: float = -math.inf
    decoded: float = 0.0

    @property
    def is_known(self) -> bool:
        """True once it has a packet with a time, or content."""
        return self.decoded > 0 or self.first < math.inf

    def add(self, packet: Packet[Any]) -> None:
        """Count a packet. One before the begin of an edit is only decoded, and not played."""
        if isinstance(packet.stream, AudioStream):
            self.decoded += _count_sound_seconds(packet)
        elif packet.size:
            self.decoded += 1 / _MOST_PICTURES_A_SECOND
        if packet.pts is None or packet.is_discard:
            return
        begin = float(packet.pts * packet.time_base)
        end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
        self.first, self.last = min(self.first, begin), max(self.last, end)


def _count_sound_seconds(packet: Packet[Any]) -> float:
    # Its type says that there is always a decoder; a second sound of an unknown codec has none.
    if getattr(packet.stream, "codec_context", None) is None:
        return 0.0
    try:
        frames = cast("list[av.AudioFrame]", packet.decode())
    except av.error.InvalidDataError:
        return 0.0  # players go on behind a damaged packet
    return sum(frame.samples / frame.sample_rate for frame in frames if frame.sample_rate)


def _read_image(path: Path, file: MediaInfo) -> MediaInfo:
    with open_image_header(path) as image:
        width, height = image.size
        if image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS:
            width, height = height, width
        return replace(file, width=width, height=height, codecs=((image.format or "").lower(),))


def _read_stream(path: Path, file: MediaInfo, *, every_packet: bool) -> MediaInfo:
    with open_stream(path) as container:
        video = find_video_stream(container)
        audio = next(iter(container.streams.audio), None)
        width, height = _read_shown_size(container, video) if video else (None, None)
        content_type = file.content_type
        if not video:
            content_type = SOUND_ONLY.get(content_type, content_type)
        return replace(
            file,
            content_type=content_type,
            width=width,
            height=height,
            fps=float(video.average_rate) if video and video.average_rate else None,
            has_video=video is not None,
            has_audio=audio is not None,
            sample_rate=audio.rate if audio else None,
            channels=audio.channels if audio else None,
            codecs=tuple(stream.codec_context.name for stream in (video, audio) if stream),
            duration_seconds=(_measure_length if every_packet else read_duration)(container),
        )


def _read_shown_size(container: InputContainer, video: VideoStream) -> tuple[int, int]:
    """Return the size as shown: phones film sideways, and the first frame has the rotation.

    Pixels that are not square count as shown too: enlarged to squares.
    """
    frame = next(container.decode(video), None)
    sideways = frame is not None and frame.rotation % 180 != 0
    width, height, aspect = video.width, video.height, read_pixel_aspect(video)
    if aspect > 1:
        width = round(width * aspect / 2) * 2
    elif aspect < 1:
        height = round(height / aspect / 2) * 2
    return (height, width) if sideways else (width, height)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
