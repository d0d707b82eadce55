"""Compose films from scenes: pictures, clips, narration, music, transitions, titles, captions."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from taskreel.domain.errors import PermanentError
from taskreel.media.animations import animations_as_clips
from taskreel.media.audio_io import SoundReader
from taskreel.media.camera import DRIFT, PUSH_IN, choose_moves
from taskreel.media.encode import FilmWriter, Picture, Size, to_even_size
from taskreel.media.film_text import FilmText
from taskreel.media.fonts import find_undrawable
from taskreel.media.frame_filters import FrameShape
from taskreel.media.frames import read_frame_rate
from taskreel.media.mix import MixOptions, MusicBed, SoundClip, mix_sounds
from taskreel.media.overlay import (
    FADE_SECONDS,
    TimedOverlay,
    draw_credits,
    draw_title,
    schedule_captions,
)
from taskreel.media.prefetch import prefetch_items
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.scenes import USUAL_FPS, Cards, FilmOptions, Part, Scene
from taskreel.media.shots import (
    Shot,
    join_shots,
    make_card_shot,
    make_clip_shot,
    make_still_shot,
)
from taskreel.media.sniff import detect_kind
from taskreel.media.sound_track import SOUND_RATE, make_sound_frame
from taskreel.media.subtitles import Cue, make_cues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STILL_SECONDS = 5.0  # of a picture without narration or a length of its own
LEAD_SECONDS, TAIL_SECONDS = 0.5, 0.7  # around a narration
CARD_SECONDS = 3.5
SHORTEST_SECONDS, LONGEST_SECONDS = 0.2, 4 * 3600
CLIP_GAIN = 0.8
CLIP_GAIN_UNDER_NARRATION = 0.28
#: Share of the work that the sound takes; the pictures take the rest.
SOUND_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The film, (start, length) of each scene and card in seconds, its text and all its cues.

    `undrawn` are the characters of titles and captions that no installed font has; they are missing
    in the film.
    """

    info: MediaInfo
    scenes: tuple[tuple[float, float], ...]
    text: FilmText
    cues: tuple[Cue, ...]
    undrawn: str


def compose_film(
    scenes: Sequence[Scene],
    *,
    out: Path,
    options: FilmOptions | None = None,
    music: Path | None = None,
    cards: Cards | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Composition:
    """Make a film as .mp4, .webm or .mov.

    Works as a stream: memory does not grow with the length. Raises PermanentError for no scenes,
    for unreadable media and for lengths out of range.
    """
    if not scenes:
        raise PermanentError("A film needs at least one scene.", code="no_scenes")
    with _show_animations(scenes, out.parent) as shown:
        return _compose_scenes(
            shown, out, options or FilmOptions(), music, cards or Cards(), on_progress
        )


@contextmanager
def _show_animations(scenes: Sequence[Scene], folder: Path) -> Iterator[list[Scene]]:
    """Give the scenes with clips in place of animated pictures, as long as they are shown."""
    seen = [(scene, scene.visual) for scene in scenes if scene.visual]

    def measure(number: int) -> float:
        scene = seen[number][0]
        return max(scene.seconds or 0.0, _add_pauses(scene, _measure_narration(scene)))

    with animations_as_clips([visual for _, visual in seen], folder, measure) as clips:
        shown = iter(clips)
        yield [replace(scene, visual=next(shown)) if scene.visual else scene for scene in scenes]


def _measure_narration(scene: Scene) -> float:
    """Return the seconds of a scene's narration; 0 without one."""
    return probe_file(scene.narration).duration_seconds or 0.0 if scene.narration else 0.0


def _add_pauses(scene: Scene, narration: float) -> float:
    """Return the least seconds of a scene: its narration and the pauses around it."""
    return LEAD_SECONDS + narration + TAIL_SECONDS if scene.narration else 0.0


def _compose_scenes(
    scenes: Sequence[Scene],
    out: Path,
    style: FilmOptions,
    music: Path | None,
    cards: Cards,
    on_progress: Callable[[float], None] | None,
) -> Composition:
    style = replace(style, fps=style.fps or _choose_rate(scenes))
    size = to_even_size(style.width, style.height)
    parts = [
        _measure_part(scene, style.rate, number if cards.heading else number + 1)
        for number, scene in enumerate(_add_cards(scenes, cards))
    ]
    overlaps = _compute_overlaps(parts, style)
    starts = _compute_starts(parts, overlaps)
    total = starts[-1] + parts[-1].frames

    # In the run's own folder, which is removed even if this process is killed.
    with tempfile.TemporaryDirectory(prefix="compose-", dir=out.parent) as folder:
        sound = _mix_soundtrack(
            parts, starts, style, music, out=Path(folder) / "sound.flac", film=out
        )
        if on_progress:
            on_progress(SOUND_SHARE)

        shots = _list_shots(parts, style, size)
        overlays = _schedule_overlays(parts, starts, style, size, cards.closing)
        cues = _list_cues(parts, starts, style)
        pictures = _draw_pictures(shots, overlaps, style, overlays)
        reader = SoundReader.open(sound) if sound else None
        text = FilmText(
            title=cards.heading,
            chapters=_list_chapters(parts, starts, style),
            seconds=total / style.rate,
            subtitles=cues if style.captions == "soft" else (),
        )
        with FilmWriter(
            out,
            size=size,
            fps=style.rate,
            quality=style.quality,
            sound=sound is not None,
            text=text,
        ) as film:
            for number, picture in enumerate(prefetch_items(pictures), 1):
                film.add_picture(picture)
                # Once a second: the muxer holds the stream that is ahead of the other in memory.
                if number % style.rate == 0 or number == total:
                    _add_sound_to_pictures(film, reader)
                    if on_progress:
                        on_progress(SOUND_SHARE + (1 - SOUND_SHARE) * number / total)

    spans = tuple(
        (start / style.rate, part.frames / style.rate)
        for start, part in zip(starts, parts, strict=True)
    )
    undrawn = find_undrawable(_list_texts(parts, style, cards.closing))
    return Composition(
        info=probe_file(out), scenes=spans, text=text, cues=tuple(cues), undrawn=undrawn
    )


def _choose_rate(scenes: Sequence[Scene]) -> int:
    """The rate of the first clip, so that none of its frames is doubled; 30 without a clip."""
    for scene in scenes:
        if scene.visual and detect_kind(scene.visual).family == "stream":
            return max(1, round(read_frame_rate(scene.visual)))
    return USUAL_FPS


def _add_cards(scenes: Sequence[Scene], cards: Cards) -> list[Scene]:
    shown = list(scenes)
    if cards.heading:
        opening = Scene(title=cards.heading, subtitle=cards.subheading, seconds=CARD_SECONDS)
        shown.insert(0, opening)
    if cards.closing:
        shown.append(Scene(seconds=CARD_SECONDS))
    return shown


def _measure_part(scene: Scene, fps: int, number: int) -> Part:
    is_clip = scene.visual is not None and detect_kind(scene.visual).family == "stream"
    visual = probe_file(scene.visual) if scene.visual and is_clip else None
    narration = _measure_narration(scene)
    needed = _add_pauses(scene, narration)
    clip_seconds = visual.duration_seconds if visual else None
    wanted = scene.seconds or needed or clip_seconds or STILL_SECONDS
    seconds = max(wanted, needed)
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        message = (
            f"Scene {number} lasts {seconds:g} s; its length must be {SHORTEST_SECONDS:g} to"
            f" {LONGEST_SECONDS} s."
        )
        raise PermanentError(message, code="bad_duration")
    return Part(
        scene=scene,
        frames=max(1, round(seconds * fps)),
        is_clip=is_clip,
        has_sound=bool(visual and visual.has_audio and scene.keep_sound),
        narration_seconds=narration,
    )


def _compute_overlaps(parts: Sequence[Part], style: FilmOptions) -> list[int]:
    """Return the frames that each part shares with the next: at most a third of either."""
    if style.transition == "cut":
        return [0] * (len(parts) - 1)
    wanted = round(style.transition_seconds * style.rate)
    return [min(wanted, one.frames // 3, other.frames // 3) for one, other in pairwise(parts)]


def _compute_starts(parts: Sequence[Part], overlaps: Sequence[int]) -> list[int]:
    """Return the first frame of each part."""
    starts = [0]
    for part, overlap in zip(parts, overlaps, strict=False):
        starts.append(starts[-1] + part.frames - overlap)
    return starts


def _mix_soundtrack(
    parts: Sequence[Part],
    starts: Sequence[int],
    style: FilmOptions,
    music: Path | None,
    *,
    out: Path,
    film: Path,
) -> Path | None:
    """Mix narrations, the clips' own sound and music; None for a silent film."""
    clips: list[SoundClip] = []
    for part, start in zip(parts, starts, strict=True):
        scene, at = part.scene, start / style.rate
        if scene.narration:
            clips.append(SoundClip(path=scene.narration, start_seconds=at + LEAD_SECONDS))
        if part.has_sound and scene.visual:
            own_sound = SoundClip(
                path=scene.visual,
                start_seconds=at,
                seconds=part.frames / style.rate,
                gain=CLIP_GAIN_UNDER_NARRATION if scene.narration else CLIP_GAIN,
                ducks=False,
            )
            clips.append(own_sound)
    if not clips and music is None:
        return None
    bed = MusicBed(path=music, gain_db=style.music_gain_db) if music else None
    seconds = (starts[-1] + parts[-1].frames) / style.rate
    played_as = ".opus" if film.suffix.lower() == ".webm" else ".m4a"
    options = MixOptions(target_lufs=style.target_lufs, played_as=played_as)
    mix_sounds(clips, bed, seconds=seconds, out=out, options=options)
    return out


def _list_shots(parts: Sequence[Part], style: FilmOptions, size: Size) -> list[Shot]:
    shots = []
    backgrounds = [part.scene.visual for part in parts if part.scene.visual and not part.is_clip]
    for index, part in enumerate(parts):
        scene = part.scene
        if scene.visual is None:
            # A card stands before the first picture of the film, or before its last one.
            background = None
            if backgrounds:
                background = backgrounds[0] if index == 0 else backgrounds[-1]
            move = DRIFT if index else PUSH_IN
            shots.append(make_card_shot(background, move, part.frames, size))
        elif part.is_clip:
            shape = FrameShape(size, Fraction(style.rate), style.fit)
            shots.append(make_clip_shot(scene.visual, part.frames, shape))
        else:
            move = choose_moves(scene.move, style.seed + index, 1)[0]
            shots.append(make_still_shot(scene.visual, move, part.frames, size))
    return shots


def _list_texts(parts: Sequence[Part], style: FilmOptions, closing: Sequence[str]) -> list[str]:
    """Return all texts that are written on the film."""
    texts: list[str] = []
    for part in parts:
        texts += [part.scene.title, part.scene.subtitle]
        if style.captions == "burned":
            texts.append(part.scene.narrated)
    return [*texts, *closing]


def _schedule_overlays(
    parts: Sequence[Part],
    starts: Sequence[int],
    style: FilmOptions,
    size: Size,
    closing: Sequence[str],
) -> list[TimedOverlay]:
    """Draw titles, captions and credits, each with the frames that show it."""
    margin = style.rate // 4
    overlays: list[TimedOverlay] = []
    for part, start in zip(parts, starts, strict=True):
        if part.scene.title:
            # A card shows its title to its end, a scene for a few seconds.
            shown = part.frames
            if part.scene.visual is not None:
                shown = min(part.frames, round(CARD_SECONDS * style.rate))
            title = draw_title(part.scene.title, part.scene.subtitle, size)
            overlays.append(TimedOverlay(title, start + margin, start + shown - margin))
        if part.scene.narrated and style.captions == "burned":
            first, last = _find_spoken_frames(part, start, style)
            overlays += schedule_captions(part.scene.narrated, size, first, last)

    if closing:
        last = starts[-1] + parts[-1].frames
        overlays.append(TimedOverlay(draw_credits(closing, size), starts[-1] + margin, last))
    return overlays


def _find_spoken_frames(part: Part, start: int, style: FilmOptions) -> tuple[int, int]:
    """Return the frames during which a scene's narration is heard, or read without a voice."""
    lead = round(LEAD_SECONDS * style.rate)
    first = start + lead
    spoken = round(part.narration_seconds * style.rate) or part.frames - 2 * lead
    return first, max(first + 1, first + spoken)


def _list_cues(parts: Sequence[Part], starts: Sequence[int], style: FilmOptions) -> list[Cue]:
    cues: list[Cue] = []
    for part, start in zip(parts, starts, strict=True):
        first, last = _find_spoken_frames(part, start, style)
        cues += make_cues(part.scene.narrated, first / style.rate, last / style.rate)
    return cues


def _list_chapters(
    parts: Sequence[Part], starts: Sequence[int], style: FilmOptions
) -> list[tuple[float, str]]:
    """Return a chapter for each scene that has a name; the first one begins with the film."""
    chapters: list[tuple[float, str]] = []
    for part, start in zip(parts, starts, strict=True):
        name = part.scene.name or part.scene.title
        if name:
            chapters.append((start / style.rate if chapters else 0.0, name))
    return chapters if len(chapters) > 1 else []


def _draw_pictures(
    shots: Sequence[Shot],
    overlaps: Sequence[int],
    style: FilmOptions,
    overlays: Sequence[TimedOverlay],
) -> Iterator[Picture]:
    fade = max(1, round(FADE_SECONDS * style.rate))
    for number, picture in enumerate(join_shots(shots, overlaps, style.transition)):
        opacities = [(timed, timed.compute_opacity(number, fade)) for timed in overlays]
        visible = [(timed, opacity) for timed, opacity in opacities if opacity > 0]
        # Decoded pictures may be read-only views of libav's buffers.
        canvas = picture if picture.flags.writeable or not visible else picture.copy()
        for timed, opacity in visible:
            timed.overlay.blend_onto(canvas, opacity)
        yield canvas


def _add_sound_to_pictures(film: FilmWriter, reader: SoundReader | None) -> None:
    """Append as much sound as there are pictures."""
    missing = round(film.seconds * SOUND_RATE) - round(film.sound_seconds * SOUND_RATE)
    if reader is not None and missing > 0:
        film.add_sound([make_sound_frame(reader.read(missing))])
