"""Fonts for titles and captions, and the characters that no installed font has."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import fontpkg_source_sans_3
from PIL import ImageFont, features

if TYPE_CHECKING:
    from collections.abc import Iterable


class FontFile(NamedTuple):
    """A font: a file, and its place in a collection of them."""

    path: Path
    place: int = 0


#: Latin, Greek and Cyrillic; licence: OFL 1.1.
OWN = FontFile(Path(fontpkg_source_sans_3.ROOT) / "files" / "SourceSans3[wght].ttf")
#: The folder of installed packages, and of those the ones that hold fonts of other scripts.
_PACKAGES = Path(fontpkg_source_sans_3.ROOT).parent
_FONT_PACKAGES = ("fontpkg_*/files/*", "noto_cjk_*/*")
#: Chinese characters look different in each language. The places of the languages in Noto's
#: collection, by the script that only that language has; Chinese without one is simplified.
_KANA, _HANGUL = re.compile(r"[\u3040-\u30ff]"), re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")
_JAPANESE, _KOREAN, _SIMPLIFIED_CHINESE = 0, 1, 2
WEIGHT = 500  # a little over regular: the letters are light and the pictures move
SYSTEM_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
_NO_CHARACTER = "\U0010ffff"  # never assigned: a font draws its "missing character" glyph for it


def load_font(pixels: int, text: str) -> ImageFont.FreeTypeFont:
    """Load a font for `text`: the bundled one, or the one that lacks the fewest of its letters."""
    return _open_font(_find_best_font(text), pixels)


def remove_undrawable(text: str) -> str:
    """Return the text in NFC, without the characters that no font has."""
    lacking = _find_lacking(_find_best_font(text), unicodedata.normalize("NFC", text))
    return "".join(letter for letter in unicodedata.normalize("NFC", text) if letter not in lacking)


def find_undrawable(texts: Iterable[str]) -> str:
    """Return the characters of texts that no font has, each once, in order."""
    letters = (
        letter
        for text in texts
        for letter in text
        if letter in _find_lacking(_find_best_font(text), text)
    )
    return "".join(dict.fromkeys(letters))


@lru_cache(maxsize=512)
def _find_best_font(text: str) -> FontFile:
    composed = unicodedata.normalize("NFC", text)
    if not _find_lacking(OWN, composed):
        return OWN
    place = _JAPANESE if _KANA.search(text) else _KOREAN if _HANGUL.search(text) else None
    others = [
        FontFile(path, _SIMPLIFIED_CHINESE if place is None else place)
        if path.name.startswith("NotoSansCJK")
        else FontFile(path)
        for path in (*_list_package_fonts(), *_list_system_fonts())
    ]
    return min((OWN, *others), key=lambda font: len(_find_lacking(font, composed)))


def _find_lacking(font: FontFile, text: str) -> frozenset[str]:
    return frozenset(
        letter for letter in text if not (letter.isspace() or _has_glyph(font, letter))
    )


@lru_cache(maxsize=65_536)
def _has_glyph(font: FontFile, letter: str) -> bool:
    if unicodedata.bidirectional(letter) in {"R", "AL"} and not features.check("raqm"):
        return False  # without libraqm, Pillow would draw it from left to right and unjoined
    face, no_character = _open_plain_font(font)
    return bytes(face.getmask(letter)) != no_character


@lru_cache(maxsize=64)
def _open_plain_font(font: FontFile) -> tuple[ImageFont.FreeTypeFont, bytes]:
    """Open a font that draws letter by letter, and its mask of a character that no font has.

    The other layout puts a mark that stands alone on a dotted circle.
    """
    face = ImageFont.truetype(font.path, 24, font.place, layout_engine=ImageFont.Layout.BASIC)
    return face, bytes(face.getmask(_NO_CHARACTER))


@lru_cache(maxsize=64)
def _open_font(font: FontFile, pixels: int) -> ImageFont.FreeTypeFont:
    face = ImageFont.truetype(font.path, pixels, index=font.place)
    if font == OWN:
        face.set_variation_by_axes([WEIGHT])
    return face


@cache
def _list_package_fonts() -> tuple[Path, ...]:
    """List the fonts that are installed as Python packages, which a deployment has too."""
    found = (path for pattern in _FONT_PACKAGES for path in sorted(_PACKAGES.glob(pattern)))
    return tuple(
        path for path in found if path.suffix.lower() in _SUFFIXES and "Italic" not in path.stem
    )


@cache
def _list_system_fonts() -> tuple[Path, ...]:
    """List upright scalable fonts of the usual folders, regular weights first."""
    folders = (Path(folder).expanduser() for folder in SYSTEM_FOLDERS)
    found = sorted(
        path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES
    )
    upright = (
        path for path in found if not any(slanted in path.stem for slanted in ("Italic", "Oblique"))
    )
    return tuple(sorted(filter(_can_open, upright), key=lambda path: "Regular" not in path.stem))


_SUFFIXES = {".ttf", ".otf", ".ttc"}


def _can_open(path: Path) -> bool:
    try:
        _open_font(FontFile(path), 24)
    except OSError:  # broken, or made of bitmaps of one size
        return False
    return True
