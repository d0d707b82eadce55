"""A film from scenes: pictures or clips, narration, music, transitions, titles and captions."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from taskreel.domain.errors import PermanentError
from taskreel.media.audio_io import SoundReader
from taskreel.media.camera import DRIFT, PUSH_IN, choose_moves
from taskreel.media.encode import (
    SOUND_RATE,
    FilmWriter,
    Picture,
    Quality,
    Size,
    make_sound_frame,
    to_even_size,
)
from taskreel.media.fonts import find_undrawable
from taskreel.media.frames import FrameShape
from taskreel.media.loudness import TARGET_LUFS
from taskreel.media.mix import MusicBed, SoundClip, mix_sounds
from taskreel.media.overlay import (
    FADE_SECONDS,
    TimedOverlay,
    draw_credits,
    draw_title,
    schedule_captions,
)
from taskreel.media.prefetch import prefetch_items
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.shots import (
    Shot,
    Transition,
    join_shots,
    make_card_shot,
    make_clip_shot,
    make_still_shot,
)
from taskreel.media.sniff import detect_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STILL_SECONDS = 5.0  # of a picture without narration or a length of its own
LEAD_SECONDS, TAIL_SECONDS = 0.5, 0.7  # around a narration
CARD_SECONDS = 3.5
SHORTEST_SECONDS, LONGEST_SECONDS = 0.2, 4 * 3600
CLIP_GAIN = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene. `visual` is a picture or a clip; without one it is a card with its title.

    `seconds` None: as long as the narration, else the clip, else 5 s; never shorter than the narration.
    `narrated` is what the captions show; `move` names a camera move ("zoom out", "pan left", "static").
    """

    visual: Path | None = None
    seconds: float | None = None
    narration: Path | None = None
    narrated: str = ""
    title: str = ""
    subtitle: str = ""
    move: str = ""
    keep_sound: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmOptions:
    """How a film is made; its container follows the output's suffix."""

    width: int = 1280
    height: int = 720
    fps: int = 30
    quality: Quality = "standard"
    transition: Transition = "fade"
    transition_seconds: float = 0.6
    captions: bool = True
    fill: bool = True  # clips of another shape are cropped, not set in bars
    music_gain_db: float = -5.0
    target_lufs: float = TARGET_LUFS
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The film, and where each scene (with cards, if any) begins and how long it is seen, in seconds.

    `undrawn` has the characters of titles and captions that no font here can draw: they were left out.
    """

    info: MediaInfo
    scenes: tuple[tuple[float, float], ...]
    undrawn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A scene with its facts: length, and what its files have."""

    scene: Scene
    frames: int
    is_clip: bool
    has_sound: bool
    narration_seconds: float


def compose_film(  # noqa: PLR0913  # the options of one piece of work
    scenes: Sequence[Scene],
    *,
    out: Path,
    look: FilmOptions | None = None,
    music: Path | None = None,
    heading: str = "",
    subheading: str = "",
    closing: Sequence[str] = (),
    on_progress: Callable[[float], None] | None = None,
) -> Composition:
    """Make a film as .mp4, .webm or .mov; `heading` adds a title card before it, `closing` lines a card after it.

    Works as a stream: memory does not grow with the length. Raises PermanentError for no scenes, for unreadable media
    and for lengths out of range.
    """
    look = look or FilmOptions()
    size = to_even_size(look.width, look.height)
    parts = [_part(scene, look.fps) for scene in _with_cards(scenes, heading, subheading, closing)]
    overlaps = _overlaps(parts, look)
    starts = [
        0,
        *accumulate(part.frames - over for part, over in zip(parts, [*overlaps, 0], strict=True)),
    ]
    total, starts = starts[-1], starts[:-1]
    with tempfile.TemporaryDirectory(prefix="taskreel-compose-") as folder:
        sound = _soundtrack(parts, starts, look, music, out=Path(folder) / "sound.flac", film=out)
        if on_progress:
            on_progress(0.1)
        with FilmWriter(
            out, size=size, fps=look.fps, quality=look.quality, sound=sound is not None
        ) as film:
            reader = SoundReader.of(sound) if sound else None
            shots = _shots(parts, look, size)
            showings = _showings(parts, starts, look, size, closing)
            for number, picture in enumerate(
                prefetch_items(_pictures(shots, overlaps, look, showings)), 1
            ):
                film.picture(picture)
                if number % look.fps == 0 or number == total:
                    _sound_until(film, reader)
                    if on_progress:
                        on_progress(0.1 + 0.9 * number / total)
    spans = tuple(
        (start / look.fps, part.frames / look.fps)
        for start, part in zip(starts, parts, strict=True)
    )
    return Composition(
        info=probe_file(out), scenes=spans, undrawn=find_undrawable(_words(parts, look, closing))
    )


def _with_cards(
    scenes: Sequence[Scene], heading: str, subheading: str, closing: Sequence[str]
) -> list[Scene]:
    if not scenes:
        raise PermanentError("At least one scene is needed to compose a film.", code="no_scenes")
    opening = [Scene(title=heading, subtitle=subheading, seconds=CARD_SECONDS)] if heading else []
    ending = [Scene(seconds=CARD_SECONDS)] if closing else []
    return [*opening, *scenes, *ending]


def _part(scene: Scene, fps: int) -> _Part:
    is_clip = scene.visual is not None and detect_kind(scene.visual).family == "stream"
    visual = probe_file(scene.visual) if scene.visual and is_clip else None
    narration = (probe_file(scene.narration).duration_seconds or 0.0) if scene.narration else 0.0
    needed = LEAD_SECONDS + narration + TAIL_SECONDS if scene.narration else 0.0
    own = scene.seconds or (
        needed or (visual.duration_seconds if visual else None) or STILL_SECONDS
    )
    seconds = max(own, needed)
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        message = f"A scene is {SHORTEST_SECONDS:g} to {LONGEST_SECONDS} s long, not {seconds:g} s."
        raise PermanentError(message, code="bad_duration")
    return _Part(
        scene=scene,
        frames=max(1, round(seconds * fps)),
        is_clip=is_clip,
        has_sound=bool(visual and visual.has_audio and scene.keep_sound),
        narration_seconds=narration,
    )


def _overlaps(parts: Sequence[_Part], look: FilmOptions) -> list[int]:
    if look.transition == "cut":
        return [0] * (len(parts) - 1)
    wanted = round(look.transition_seconds * look.fps)
    return [min(wanted, one.frames // 3, other.frames // 3) for one, other in pairwise(parts)]


def _soundtrack(
    parts: Sequence[_Part],
    starts: Sequence[int],
    look: FilmOptions,
    music: Path | None,
    *,
    out: Path,
    film: Path,
) -> Path | None:
    clips: list[SoundClip] = []
    for part, start in zip(parts, starts, strict=True):
        at = start / look.fps
        if part.scene.narration:
            clips.append(SoundClip(path=part.scene.narration, start_seconds=at + LEAD_SECONDS))
        if part.has_sound and part.scene.visual:
            seconds, gain = (
                part.frames / look.fps,
                CLIP_GAIN * (0.35 if part.scene.narration else 1),
            )
            clips.append(
                SoundClip(
                    path=part.scene.visual,
                    start_seconds=at,
                    seconds=seconds,
                    gain=gain,
                    ducks=False,
                )
            )
    if not clips and music is None:
        return None
    bed = MusicBed(path=music, gain_db=look.music_gain_db) if music else None
    seconds = (starts[-1] + parts[-1].frames) / look.fps
    played_as = ".opus" if film.suffix.lower() == ".webm" else ".m4a"
    mix_sounds(
        clips, bed, seconds=seconds, out=out, target_lufs=look.target_lufs, played_as=played_as
    )
    return out


def _shots(parts: Sequence[_Part], look: FilmOptions, size: Size) -> list[Shot]:
    shots = []
    backgrounds = [part.scene.visual for part in parts if part.scene.visual and not part.is_clip]
    for index, part in enumerate(parts):
        scene = part.scene
        if scene.visual is None:
            ground = backgrounds[0 if index == 0 else -1] if backgrounds else None
            shots.append(make_card_shot(ground, DRIFT if index else PUSH_IN, part.frames, size))
        elif part.is_clip:
            shots.append(
                make_clip_shot(scene.visual, part.frames, FrameShape(size, look.fps, look.fill))
            )
        else:
            move = choose_moves(scene.move, look.seed + index, 1)[0]
            shots.append(make_still_shot(scene.visual, move, part.frames, size))
    return shots


def _words(parts: Sequence[_Part], look: FilmOptions, closing: Sequence[str]) -> list[str]:
    """All that is written on the film."""
    shown = [
        (part.scene.title, part.scene.subtitle, part.scene.narrated if look.captions else "")
        for part in parts
    ]
    return [*chain.from_iterable(shown), *closing]


def _showings(
    parts: Sequence[_Part],
    starts: Sequence[int],
    look: FilmOptions,
    size: Size,
    closing: Sequence[str],
) -> list[TimedOverlay]:
    shown: list[TimedOverlay] = []
    for part, start in zip(parts, starts, strict=True):
        scene, end = part.scene, start + part.frames
        if scene.title:
            most = (
                end
                if scene.visual is None
                else start + min(part.frames, round(CARD_SECONDS * look.fps))
            )
            shown.append(
                TimedOverlay(
                    draw_title(scene.title, scene.subtitle, size),
                    start + look.fps // 4,
                    most - look.fps // 4,
                )
            )
        if scene.narrated and look.captions:
            first = start + round(LEAD_SECONDS * look.fps)
            spoken = round(part.narration_seconds * look.fps) or part.frames - 2 * round(
                LEAD_SECONDS * look.fps
            )
            shown += schedule_captions(scene.narrated, size, first, max(first + 1, first + spoken))
    if closing:
        shown.append(
            TimedOverlay(
                draw_credits(closing, size),
                starts[-1] + look.fps // 4,
                starts[-1] + parts[-1].frames,
            )
        )
    return shown


def _pictures(
    shots: Sequence[Shot],
    overlaps: Sequence[int],
    look: FilmOptions,
    showings: Sequence[TimedOverlay],
) -> Iterator[Picture]:
    fade = max(1, round(FADE_SECONDS * look.fps))
    for number, picture in enumerate(join_shots(shots, overlaps, look.transition)):
        seen = [(showing, showing.opacity(number, fade)) for showing in showings]
        visible = [(showing, opacity) for showing, opacity in seen if opacity > 0]
        canvas = picture if picture.flags.writeable or not visible else picture.copy()
        for showing, opacity in visible:
            showing.overlay.lay(canvas, opacity)
        yield canvas


def _sound_until(film: FilmWriter, reader: SoundReader | None) -> None:
    missing = round(film.seconds * SOUND_RATE) - round(film.sound_seconds * SOUND_RATE)
    if reader is not None and missing > 0:
        film.sound([make_sound_frame(reader.read(missing))])
