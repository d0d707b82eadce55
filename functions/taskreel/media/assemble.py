"""Assemble scene videos and one master sound into films in several formats.

Streams that can be copied are not encoded again.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av

from taskreel.domain.errors import PermanentError
from taskreel.media.animate import MotionOptions, animate_pictures
from taskreel.media.audio_io import SoundReader, compute_fade_gain, measure_sound_seconds
from taskreel.media.encode import SMALLEST_SIDE, find_film_format
from taskreel.media.film_text import FilmText, write_text
from taskreel.media.frames import extract_frame
from taskreel.media.open_media import open_stream
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.sound_track import SOUND_RATE, SoundTrack, make_sound_frame
from taskreel.media.stitch import StitchOptions, stitch_videos
from taskreel.media.truncation import check_not_truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av.container import OutputContainer
    from av.video.stream import VideoStream

#: The fade at the end of a master sound that is much longer than the pictures.
SOUND_FADE_SECONDS = 1.5
#: The last picture is held so long for a voice to finish; a longer sound, like music, fades out.
LONGEST_HOLD_SECONDS = 15.0
#: The note mentions a difference of length from here on.
NOTED_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """One film per output; `note` describes how a difference of lengths was handled."""

    films: tuple[MediaInfo, ...]
    note: str


def assemble_films(
    scene_videos: Sequence[Path],
    master_audio: Path | None,
    *,
    outs: Sequence[Path],
    options: StitchOptions | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Assembly:
    """Join scenes under one master sound, and write a film to each path of `outs`.

    The scenes' own sound is dropped. Silence follows a shorter master sound; for one up to 15 s
    longer the last picture is held, an even longer one fades out. H.264 scenes that are alike are
    copied, not encoded again. Raises PermanentError for no scenes or outputs.
    """
    options = options or StitchOptions()
    if not scene_videos or not outs:
        raise PermanentError(
            "An assembly needs at least one scene video and one output format.", code="no_inputs"
        )
    for out in outs:
        find_film_format(out)  # refuse before the work, not after it

    with tempfile.TemporaryDirectory(prefix="assemble-", dir=outs[0].parent) as name:
        folder = Path(name)
        master = folder / "master.mp4"
        clips = list(scene_videos)
        excess = 0.0
        if master_audio is None:
            stitch_videos(clips, out=master, options=options)
        else:
            excess = _measure_excess(master_audio, scene_videos)
            if NOTED_SECONDS < excess <= LONGEST_HOLD_SECONDS:
                clips.append(_make_held_clip(clips[-1], excess, folder, options))
            if options.width or options.height or options.fps or not _can_be_copied(clips):
                pictures = folder / "pictures.mp4"
                stitch_videos(clips, out=pictures, options=options)
                clips = [pictures]
            _copy_pictures(clips, master_audio, master, fades=excess > LONGEST_HOLD_SECONDS)

        for index, out in enumerate(outs):
            _write_output(master, out, options)
            if on_progress:
                on_progress((index + 1) / len(outs))
    films = tuple(probe_file(out) for out in outs)
    return Assembly(films=films, note=_describe_excess(excess))


def _measure_excess(sound: Path, clips: Sequence[Path]) -> float:
    """Return by how many seconds the sound is longer than the pictures; negative if shorter."""
    return float(measure_sound_seconds(sound) - sum(_read_video_seconds(clip) for clip in clips))


def _describe_excess(excess: float) -> str:
    if excess > LONGEST_HOLD_SECONDS:
        return (
            f"The sound is {excess:.1f} s longer than the pictures: it fades out with the last one."
        )
    if excess > NOTED_SECONDS:
        return (
            f"The sound is {excess:.1f} s longer than the pictures: the last one is held until it"
            " ends."
        )
    if excess < -NOTED_SECONDS:
        return f"The sound ends {-excess:.1f} s before the pictures: silence follows."
    return ""


def _make_held_clip(clip: Path, seconds: float, folder: Path, options: StitchOptions) -> Path:
    """Make a clip that shows the last picture of another one."""
    picture, held = folder / "last.png", folder / "held.mp4"
    size = extract_frame(clip, out=picture)
    motion = MotionOptions(
        seconds=seconds,
        width=max(size.width or 0, SMALLEST_SIDE),
        height=max(size.height or 0, SMALLEST_SIDE),
        fps=round(probe_file(clip).fps or options.fps or 30),
        prompt="static",
        quality=options.quality or "standard",
    )
    animate_pictures([picture], motion, out=held)
    return held


def remux_film(source: Path, out: Path, text: FilmText | None = None) -> MediaInfo:
    """Copy the streams into another container (.mp4 to .mov or back) without encoding.

    With `text`, the copy's title, chapters and subtitles are those.
    """
    form = find_film_format(out)
    with open_stream(source) as container, av.open(str(out), "w", options=form.options) as target:
        streams = {
            stream: target.add_stream_from_template(stream)
            for stream in (*container.streams.video[:1], *container.streams.audio[:1])
        }
        if text:
            write_text(target, text, form.subtitles)
        for packet in container.demux(list(streams)):
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                target.mux(packet)
    return probe_file(out)


def _can_be_copied(clips: Sequence[Path]) -> bool:
    """True if the clips' packets may follow one another in one H.264 stream.

    That takes the same size, time base and parameter sets (SPS and PPS, in `extradata`): a decoder
    reads them once, at the start.
    """
    signatures = set()
    for clip in clips:
        with open_stream(clip, need="video") as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            signatures.add(
                (context.name, context.extradata, stream.width, stream.height, stream.time_base)
            )
    return len(signatures) == 1 and next(iter(signatures))[0] == "h264"


def _copy_pictures(clips: Sequence[Path], audio: Path, out: Path, *, fades: bool) -> None:
    total = round(sum(_read_video_seconds(clip) for clip in clips) * SOUND_RATE)
    with av.open(str(out), "w", options={"movflags": "+faststart"}) as target:
        with open_stream(clips[0]) as first:
            stream = target.add_stream_from_template(first.streams.video[0])
        track = SoundTrack(target, "aac", 160_000)
        sound = _MasterSound(track, SoundReader.open(audio), total, fades)
        offset = Fraction(0)
        for clip in clips:
            offset = _copy_packets(clip, target, stream, offset, sound)
        sound.write_until(total)
        track.finish()


def _copy_packets(
    clip: Path, target: OutputContainer, stream: VideoStream, offset: Fraction, sound: _MasterSound
) -> Fraction:
    """Copy one clip's packets, `offset` seconds later, with the sound in step.

    Returns the offset of the next clip.
    """
    end = offset
    for packet in _read_packets(clip):
        base = packet.time_base
        shift = round(offset / base)
        packet.pts = (packet.pts or 0) + shift
        packet.dts = (packet.dts or 0) + shift
        end = max(end, (packet.pts + (packet.duration or 0)) * base)
        packet.stream = stream
        target.mux(packet)
        sound.write_until(round(end * SOUND_RATE))
    return end


@dataclass(frozen=True)
class _MasterSound:
    """Writes the master sound: as long as the pictures, and faded out with `fades`."""

    track: SoundTrack
    reader: SoundReader
    total: int  # samples
    fades: bool

    def write_until(self, sample: int) -> None:
        start = round(self.track.seconds * SOUND_RATE)
        end = min(sample, self.total)
        while start < end:
            count = min(end - start, SOUND_RATE // 2)
            piece = self.reader.read(count)
            if self.fades and start + count > self.total - SOUND_FADE_SECONDS * SOUND_RATE:
                piece = piece * compute_fade_gain(start, count, self.total, 0, SOUND_FADE_SECONDS)
            self.track.add_frame(make_sound_frame(piece))
            start += count


def _read_packets(clip: Path) -> Iterator[av.Packet[VideoStream]]:
    with open_stream(clip, need="video") as container:
        stream = container.streams.video[0]
        for packet in check_not_truncated(clip, container, stream, container.demux(stream)):
            if packet.dts is not None:
                yield packet


def _read_video_seconds(clip: Path) -> Fraction:
    with open_stream(clip, need="video") as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            return stream.duration * stream.time_base
    return Fraction(probe_file(clip).duration_seconds or 0).limit_denominator(SOUND_RATE)


def _write_output(master: Path, out: Path, options: StitchOptions) -> None:
    match out.suffix.lower():
        case ".mp4":
            shutil.copyfile(master, out)
        case ".mov":
            remux_film(master, out)
        case _:
            quality = options.quality or "standard"
            encoding = StitchOptions(fps=options.fps, quality=quality)
            stitch_videos([master], out=out, options=encoding)
