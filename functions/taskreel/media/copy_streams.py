"""Join clips that are alike by copying their packets: no generation is lost, and it takes no time.

Alike means that one decoder, set up once by the first clip, can go on with the next one: the same
codecs, parameter sets, size and time base.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from taskreel.media.encode import find_film_format
from taskreel.media.frame_filters import read_pixel_aspect
from taskreel.media.open_media import find_video_stream, open_stream
from taskreel.media.output_file import OutputFile
from taskreel.media.truncation import check_not_truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

    Stream = VideoStream | AudioStream

COPIED_CONTAINERS = (".mp4", ".mov")
COPIED_SOUND = ("aac", "mp3")
#: The sound of a clip may end so much before or after its pictures; else silence would be missing.
SOUND_SLACK_SECONDS = 0.15


def can_be_copied(clips: Sequence[Path], out: Path) -> bool:
    """True if the clips' packets may follow one another in one file of `out`'s kind."""
    if out.suffix.lower() not in COPIED_CONTAINERS:
        return False
    first = _read_signature(clips[0])
    return first is not None and all(_read_signature(clip) == first for clip in clips[1:])


def copy_clips(
    clips: Sequence[Path], out: Path, on_progress: Callable[[float], None] | None = None
) -> None:
    """Write the clips one after another; `can_be_copied` must have said that they are alike."""
    with _CopiedFilm(out) as film:
        for index, clip in enumerate(clips):
            film.append(clip)
            if on_progress:
                on_progress((index + 1) / len(clips))


def _read_signature(clip: Path) -> tuple[Any, ...] | None:
    """The properties that clips must share; None for a clip that must be decoded."""
    with open_stream(clip, need="video") as container:
        video = find_video_stream(container)
        if video is None or video.codec_context.name != "h264":
            return None
        if not video.codec_context.extradata or not video.duration:
            return None
        if not _begins_upright(container, video):
            return None
        sound = _read_sound_signature(container, video)
        if sound is None:
            return None
        context = video.codec_context
        return (
            *(context.extradata, video.width, video.height, video.time_base, video.average_rate),
            *(read_pixel_aspect(video), context.pix_fmt, *sound),
        )


def _begins_upright(container: InputContainer, video: VideoStream) -> bool:
    """True if the first packet is a key frame that is shown, and as it was filmed."""
    for number, packet in enumerate(container.demux(video)):
        if number == 0 and (not packet.is_keyframe or packet.is_discard):
            return False  # cut by an edit list: only a decoder can begin there
        for frame in packet.decode():
            return frame.rotation == 0
    return False


def _read_sound_signature(container: InputContainer, video: VideoStream) -> tuple[Any, ...] | None:
    if not container.streams.audio:
        return ()
    audio = container.streams.audio[0]
    context = audio.codec_context
    if context.name not in COPIED_SOUND or not audio.duration or not audio.time_base:
        return None
    shown = (video.duration or 0) * (video.time_base or Fraction(1))
    if abs(float(audio.duration * audio.time_base - shown)) > SOUND_SLACK_SECONDS:
        return None
    layout = context.layout.name
    return context.name, context.extradata, context.rate, layout, audio.time_base


@dataclass
class _Track:
    """One stream of the film; `end` is where its last packet ends, in its time base."""

    stream: Any
    end: int | None = None
    last_dts: int | None = field(default=None)


class _CopiedFilm(OutputFile):
    def __init__(self, out: Path) -> None:
        super().__init__(out, options=find_film_format(out).options)
        self._container.metadata["encoder"] = "Taskreel"
        self._tracks: list[_Track] = []
        self._offset = Fraction(0)  # seconds: the end of the pictures so far

    def append(self, clip: Path) -> None:
        """Append a clip's packets behind the pictures written so far."""
        with open_stream(clip, need="video") as container:
            video = find_video_stream(container)
            assert video is not None  # can_be_copied has read it  # noqa: S101
            streams: list[Any] = [video, *container.streams.audio[:1]]
            if not self._tracks:
                self._tracks = [
                    _Track(self._container.add_stream_from_template(stream)) for stream in streams
                ]
            places = {stream.index: place for place, stream in enumerate(streams)}
            begin = (video.start_time or 0) * (video.time_base or Fraction(1))
            packets = container.demux(streams)
            for packet in check_not_truncated(clip, container, video, packets):
                if packet.dts is not None and packet.pts is not None:
                    self._write(packet, places[packet.stream.index], self._offset - begin)
            pictures = self._tracks[0]
            self._offset = (pictures.end or 0) * Fraction(video.time_base or 1)

    def _write(self, packet: Any, place: int, offset: Fraction) -> None:
        track = self._tracks[place]
        base = packet.time_base
        shift = round(offset / base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        # Sound that the clip before already covers, such as an encoder's first silent packet.
        overlaps = track.end is not None and packet.pts + (packet.duration or 0) / 2 <= track.end
        if place and overlaps:
            return
        if track.last_dts is not None and packet.dts <= track.last_dts:
            packet.dts = track.last_dts + 1
            packet.pts = max(packet.pts, packet.dts)
        track.last_dts = packet.dts
        track.end = max(track.end or 0, packet.pts + (packet.duration or 0))
        packet.stream = track.stream
        self._container.mux(packet)

    def _flush_streams(self) -> None:
        """Nothing is held back: packets are written as they come."""
