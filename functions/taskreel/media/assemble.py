"""Scene videos and one master sound into films in several formats; what can be copied is not encoded again."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import av

from taskreel.domain.errors import PermanentError
from taskreel.media.animate import animate_pictures
from taskreel.media.audio_io import SoundReader, compute_fade_gain, measure_sound_seconds
from taskreel.media.encode import (
    SMALLEST_SIDE,
    SOUND_RATE,
    Quality,
    SoundTrack,
    find_film_format,
    make_sound_frame,
)
from taskreel.media.frames import extract_frame
from taskreel.media.open_media import open_stream
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.stitch import stitch_videos
from taskreel.media.truncation import check_not_truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av.container import OutputContainer
    from av.video.stream import VideoStream

SOUND_FADE_SECONDS = 1.5  # where the master sound is much longer than the pictures
LONGEST_HOLD_SECONDS = (
    15.0  # of the last picture, for a voice to finish; music without an end fades out instead
)
TOLD_SECONDS = 0.3  # a smaller difference is not worth a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """One film an output; `note` says what was done where sound and pictures are not equally long."""

    films: tuple[MediaInfo, ...]
    note: str


def assemble_films(  # noqa: PLR0913  # the options of one piece of work
    scene_videos: Sequence[Path],
    master_audio: Path | None,
    *,
    outs: Sequence[Path],
    width: int | None = None,
    height: int | None = None,
    fps: int = 30,
    quality: Quality = "standard",
    on_progress: Callable[[float], None] | None = None,
) -> Assembly:
    """One film a path in `outs` (.mp4, .mov, .webm): the scenes in turn, under the master sound instead of their own.

    A shorter sound is followed by silence; for one up to 15 s longer the last picture is held, a still longer one fades
    out. H.264 scenes that are alike are copied, not encoded again. Raises PermanentError for nothing to assemble or no
    output.
    """
    if not scene_videos or not outs:
        raise PermanentError(
            "At least one scene video and one output format are needed.", code="no_inputs"
        )
    for out in outs:
        find_film_format(out)
    with tempfile.TemporaryDirectory(prefix="taskreel-assemble-") as folder:
        master = Path(folder) / "master.mp4"
        more = _longer_by(master_audio, scene_videos) if master_audio else 0.0
        clips = list(scene_videos)
        if TOLD_SECONDS < more <= LONGEST_HOLD_SECONDS:
            clips.append(_held(clips[-1], more, Path(folder), fps, quality))
        stitch = partial(stitch_videos, width=width, height=height, fps=fps, quality=quality)
        if master_audio is None:
            stitch(clips, out=master)
        else:
            if width or height or not _alike(clips):
                stitch(clips, out=Path(folder) / "pictures.mp4")
                clips = [Path(folder) / "pictures.mp4"]
            _copy_pictures(clips, master_audio, master, fades=more > LONGEST_HOLD_SECONDS)
        for index, out in enumerate(outs):
            _deliver(master, out, fps, quality)
            if on_progress:
                on_progress((index + 1) / len(outs))
    return Assembly(films=tuple(probe_file(out) for out in outs), note=_note(more))


def _longer_by(sound: Path, clips: Sequence[Path]) -> float:
    """How many seconds the sound goes on after the last picture; negative where it ends before."""
    return float(measure_sound_seconds(sound) - sum(_picture_seconds(clip) for clip in clips))


def _note(more: float) -> str:
    if more > LONGEST_HOLD_SECONDS:
        return (
            f"The sound is {more:.1f} s longer than the pictures: it fades out with the last one."
        )
    if more > TOLD_SECONDS:
        return f"The sound is {more:.1f} s longer than the pictures: the last one is held until it ends."
    if more < -TOLD_SECONDS:
        return f"The sound ends {-more:.1f} s before the pictures: silence follows."
    return ""


def _held(clip: Path, seconds: float, folder: Path, fps: int, quality: Quality) -> Path:
    """The clip's last picture for some time."""
    picture, still = folder / "last.png", folder / "held.mp4"
    size = extract_frame(clip, out=picture)
    width, height = (max(side or 0, SMALLEST_SIDE) for side in (size.width, size.height))
    rate = probe_file(clip).fps or fps
    animate_pictures(
        [picture],
        prompt="static",
        seconds=seconds,
        width=width,
        height=height,
        fps=round(rate),
        out=still,
        quality=quality,
    )
    return still


def remux_film(source: Path, out: Path) -> MediaInfo:
    """The same streams in another container (.mp4 ↔ .mov), nothing encoded."""
    with (
        open_stream(source) as container,
        av.open(str(out), "w", options=find_film_format(out).options) as target,
    ):
        streams = {
            stream: target.add_stream_from_template(stream)
            for stream in (*container.streams.video[:1], *container.streams.audio[:1])
        }
        for packet in container.demux(list(streams)):
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                target.mux(packet)
    return probe_file(out)


def _alike(clips: Sequence[Path]) -> bool:
    """Can the clips' packets follow one another in one H.264 stream? Only with the same parameter sets."""
    marks = set()
    for clip in clips:
        with open_stream(clip, need="video") as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            marks.add(
                (context.name, context.extradata, stream.width, stream.height, stream.time_base)
            )
    return len(marks) == 1 and next(iter(marks))[0] == "h264"


def _copy_pictures(clips: Sequence[Path], audio: Path, out: Path, *, fades: bool) -> None:
    total = round(sum(_picture_seconds(clip) for clip in clips) * SOUND_RATE)
    with av.open(str(out), "w", options={"movflags": "+faststart"}) as target:
        with open_stream(clips[0]) as first:
            stream = target.add_stream_from_template(first.streams.video[0])
        track = SoundTrack(target, "aac", 160_000)
        sound = _Sound(track, SoundReader.of(audio), total, fades)
        offset = Fraction(0)
        for clip in clips:
            offset = _copy(clip, target, stream, offset, sound)
        sound.until(total)
        track.finish()


def _copy(
    clip: Path, target: OutputContainer, stream: VideoStream, offset: Fraction, sound: _Sound
) -> Fraction:
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
    """The master sound on its way into the film: as long as the pictures, faded out if it `fades`."""

    track: SoundTrack
    reader: SoundReader
    total: int  # samples
    fades: bool

    def until(self, sample: int) -> None:
        start, end = round(self.track.seconds * SOUND_RATE), min(sample, self.total)
        while start < end:
            count = min(end - start, SOUND_RATE // 2)
            piece = self.reader.read(count)
            if self.fades and start + count > self.total - SOUND_FADE_SECONDS * SOUND_RATE:
                piece = piece * compute_fade_gain(start, count, self.total, 0, SOUND_FADE_SECONDS)
            self.track.append(make_sound_frame(piece))
            start += count


def _packets(clip: Path) -> Iterator[av.Packet[VideoStream]]:
    with open_stream(clip, need="video") as container:
        stream = container.streams.video[0]
        for packet in check_not_truncated(clip, container, stream, container.demux(stream)):
            if packet.dts is not None:
                yield packet


def _picture_seconds(clip: Path) -> Fraction:
    with open_stream(clip, need="video") as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            return stream.duration * stream.time_base
    return Fraction(probe_file(clip).duration_seconds or 0).limit_denominator(SOUND_RATE)


def _deliver(master: Path, out: Path, fps: int, quality: Quality) -> None:
    match out.suffix.lower():
        case ".mp4":
            shutil.copyfile(master, out)
        case ".mov":
            remux_film(master, out)
        case _:
            stitch_videos([master], out=out, fps=fps, quality=quality)
