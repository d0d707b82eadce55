"""The face that words are drawn with, and which characters no face here can draw."""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import fontpkg_source_sans_3
from PIL import ImageFont, features

if TYPE_CHECKING:
    from collections.abc import Iterable

OWN = (
    Path(fontpkg_source_sans_3.ROOT) / "files" / "SourceSans3[wght].ttf"
)  # Latin, Greek, Cyrillic; licence: OFL 1.1
WEIGHT = 500  # a little over regular: light letters on moving pictures
SYSTEM_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
_NO_CHARACTER = "\U0010ffff"  # drawn as whatever a face draws for what it lacks


def load_font(pixels: int, text: str) -> ImageFont.FreeTypeFont:
    """A face for `text`: our own, or where that lacks characters, the one on this machine that lacks the fewest."""
    return _face(_best(text), pixels)


def remove_undrawable(text: str) -> str:
    """The text without what no face here can draw, its accents composed."""
    lacking = _lacking(_best(text), unicodedata.normalize("NFC", text))
    return "".join(letter for letter in unicodedata.normalize("NFC", text) if letter not in lacking)


def find_undrawable(texts: Iterable[str]) -> str:
    """The characters of these texts that no face here can draw, each once, in order."""
    letters = (letter for text in texts for letter in text if letter in _lacking(_best(text), text))
    return "".join(dict.fromkeys(letters))


@lru_cache(maxsize=512)
def _best(text: str) -> Path:
    composed = unicodedata.normalize("NFC", text)
    if not _lacking(OWN, composed):
        return OWN
    return min((OWN, *_system_fonts()), key=lambda path: len(_lacking(path, composed)))


def _lacking(path: Path, text: str) -> frozenset[str]:
    return frozenset(letter for letter in text if not (letter.isspace() or _draws(path, letter)))


@lru_cache(maxsize=65_536)
def _draws(path: Path, letter: str) -> bool:
    if unicodedata.bidirectional(letter) in {"R", "AL"} and not features.check("raqm"):
        return False  # it would run backwards, unjoined
    face = _face(path, 24)
    return bytes(face.getmask(letter)) != bytes(face.getmask(_NO_CHARACTER))


@lru_cache(maxsize=64)
def _face(path: Path, pixels: int) -> ImageFont.FreeTypeFont:
    face = ImageFont.truetype(path, pixels)
    if path == OWN:
        face.set_variation_by_axes([WEIGHT])
    return face


@cache
def _system_fonts() -> tuple[Path, ...]:
    """The upright scalable faces in the usual folders, those of regular weight first."""
    folders = (Path(folder).expanduser() for folder in SYSTEM_FOLDERS)
    found = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES
    )
    upright = (
        path for path in found if not any(slanted in path.stem for slanted in ("Italic", "Oblique"))
    )
    return tuple(sorted(filter(_opens, upright), key=lambda path: "Regular" not in path.stem))


_SUFFIXES = {".ttf", ".otf", ".ttc"}


def _opens(path: Path) -> bool:
    try:
        _face(path, 24)
    except OSError:  # broken, or made of bitmaps of one size
        return False
    return True
