"""The parts of a film: its scenes, its cards and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from taskreel.media.encode import Quality
from taskreel.media.frame_filters import Fit
from taskreel.media.loudness import TARGET_LUFS
from taskreel.media.shots import Transition

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Drawn on the pictures, a track that the viewer can turn on, or none.
Captions = Literal["burned", "soft", "none"]

USUAL_FPS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene. `visual` is a picture or a clip; without one it is a card with its title.

    With `seconds` None it is as long as its narration, else its clip, else 5 s; it is never shorter
    than its narration. `narrated` is the text of the captions. `title` is shown, `name` is that of
    its chapter, and the title without one. `move` names a camera move
    ("zoom out", "pan left", "static").
    """

    visual: Path | None = None
    seconds: float | None = None
    narration: Path | None = None
    narrated: str = ""
    title: str = ""
    subtitle: str = ""
    name: str = ""
    move: str = ""
    keep_sound: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmOptions:
    """Settings of a film; its container follows from the suffix of the output file."""

    width: int = 1280
    height: int = 720
    fps: int | None = None  # None: the first clip's rate, or 30 without a clip
    quality: Quality = "standard"
    transition: Transition = "fade"
    transition_seconds: float = 0.6
    captions: Captions = "burned"
    fit: Fit = "cover"  # of clips of another shape
    music_gain_db: float = -4.0  # in the pauses of the voice
    target_lufs: float = TARGET_LUFS
    seed: int = 0

    @property
    def rate(self) -> int:
        """Frames a second."""
        return self.fps or USUAL_FPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """Cards before and after the scenes: one for a non-empty `heading`, one for `closing` lines."""

    heading: str = ""
    subheading: str = ""
    closing: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A scene with its length in frames and the properties of its files."""

    scene: Scene
    frames: int
    is_clip: bool
    has_sound: bool
    narration_seconds: float
