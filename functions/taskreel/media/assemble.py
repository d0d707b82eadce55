"""Scene videos and one master sound into films in several formats; what can be copied is not encoded again."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

from taskreel.domain.errors import PermanentError
from taskreel.media.ending import to_the_end
from taskreel.media.opening import open_stream
from taskreel.media.probe import MediaInfo, probe
from taskreel.media.sound import Reader, fade_gain
from taskreel.media.stitch import stitch_videos
from taskreel.media.writing import SOUND_RATE, Quality, SoundTrack, format_of, sound_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av.container import OutputContainer
    from av.video.stream import VideoStream

SOUND_FADE_SECONDS = 1.5  # where the master sound is longer than the pictures


def assemble(  # noqa: PLR0913  # the options of one piece of work
    scene_videos: Sequence[Path],
    master_audio: Path | None,
    *,
    outs: Sequence[Path],
    width: int | None = None,
    height: int | None = None,
    fps: int = 30,
    quality: Quality = "standard",
    on_progress: Callable[[float], None] | None = None,
) -> tuple[MediaInfo, ...]:
    """One film a path in `outs` (.mp4, .mov, .webm): the scenes in turn, under the master sound instead of their own.

    The pictures decide the length: a shorter sound is followed by silence, a longer one fades out. H.264 scenes that
    are alike are copied, not encoded again. Raises PermanentError for nothing to assemble or no output.
    """
    if not scene_videos or not outs:
        raise PermanentError("At least one scene video and one output format are needed.", code="no_inputs")
    for out in outs:
        format_of(out)
    with tempfile.TemporaryDirectory(prefix="taskreel-assemble-") as folder:
        master = Path(folder) / "master.mp4"
        _master(scene_videos, master_audio, master, (width, height), fps, quality)
        for index, out in enumerate(outs):
            _deliver(master, out, fps, quality)
            if on_progress:
                on_progress((index + 1) / len(outs))
    return tuple(probe(out) for out in outs)


def remux(source: Path, out: Path) -> MediaInfo:
    """The same streams in another container (.mp4 ↔ .mov), nothing encoded."""
    with open_stream(source) as container, av.open(str(out), "w", options=format_of(out).options) as target:
        streams = {
            stream: target.add_stream_from_template(stream)
            for stream in (*container.streams.video[:1], *container.streams.audio[:1])
        }
        for packet in container.demux(list(streams)):
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                target.mux(packet)
    return probe(out)


def _master(
    clips: Sequence[Path],
    audio: Path | None,
    out: Path,
    size: tuple[int | None, int | None],
    fps: int,
    quality: Quality,
) -> None:
    if audio is None:
        stitch_videos(clips, out=out, width=size[0], height=size[1], fps=fps, quality=quality)
        return
    if size == (None, None) and _alike(clips):
        _copy_pictures(clips, audio, out)
        return
    silent = out.with_name("pictures.mp4")
    stitch_videos(clips, out=silent, width=size[0], height=size[1], fps=fps, quality=quality)
    _copy_pictures([silent], audio, out)


def _alike(clips: Sequence[Path]) -> bool:
    """Can the clips' packets follow one another in one H.264 stream? Only with the same parameter sets."""
    marks = set()
    for clip in clips:
        with open_stream(clip, need="video") as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            marks.add((context.name, context.extradata, stream.width, stream.height, stream.time_base))
    return len(marks) == 1 and next(iter(marks))[0] == "h264"


def _copy_pictures(clips: Sequence[Path], audio: Path, out: Path) -> None:
    total = round(sum(_picture_seconds(clip) for clip in clips) * SOUND_RATE)
    with av.open(str(out), "w", options={"movflags": "+faststart"}) as target:
        with open_stream(clips[0]) as first:
            stream = target.add_stream_from_template(first.streams.video[0])
        track = SoundTrack(target, "aac", 160_000)
        sound = _Sound(track, Reader.of(audio), total)
        offset = Fraction(0)
        for clip in clips:
            offset = _copy(clip, target, stream, offset, sound)
        sound.until(total)
        track.finish()


def _copy(clip: Path, target: OutputContainer, stream: VideoStream, offset: Fraction, sound: _Sound) -> Fraction:
    """Copy one clip's packets `offset` seconds later, and the sound beside them; returns the next clip's offset."""
    end = offset
    for packet in _packets(clip):
        base = packet.time_base
        shift = round(offset / base)
        packet.pts, packet.dts = (packet.pts or 0) + shift, (packet.dts or 0) + shift
        end = max(end, (packet.pts + (packet.duration or 0)) * base)
        packet.stream = stream
        target.mux(packet)
        sound.until(round(end * SOUND_RATE))
    return end


@dataclass(frozen=True)
class _Sound:
    """The master sound on its way into the film: as long as the pictures, faded out where it would go on."""

    track: SoundTrack
    reader: Reader
    total: int  # samples

    def until(self, sample: int) -> None:
        start, end = round(self.track.seconds * SOUND_RATE), min(sample, self.total)
        while start < end:
            count = min(end - start, SOUND_RATE // 2)
            piece = self.reader.read(count)
            if start + count > self.total - SOUND_FADE_SECONDS * SOUND_RATE and not self.reader.ended:
                piece = piece * fade_gain(start, count, self.total, 0, SOUND_FADE_SECONDS)
            self.track.append(sound_frame(piece))
            start += count


def _packets(clip: Path) -> Iterator[av.Packet[VideoStream]]:
    with open_stream(clip, need="video") as container:
        stream = container.streams.video[0]
        for packet in to_the_end(clip, container, stream, container.demux(stream)):
            if packet.dts is not None:
                yield packet


def _picture_seconds(clip: Path) -> Fraction:
    with open_stream(clip, need="video") as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            return stream.duration * stream.time_base
    return Fraction(probe(clip).duration_seconds or 0).limit_denominator(SOUND_RATE)


def _deliver(master: Path, out: Path, fps: int, quality: Quality) -> None:
    match out.suffix.lower():
        case ".mp4":
            shutil.copyfile(master, out)
        case ".mov":
            remux(master, out)
        case _:
            stitch_videos([master], out=out, fps=fps, quality=quality)
