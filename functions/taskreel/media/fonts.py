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
    from collections.abc import Iterable, Sequence


class FontFile(NamedTuple):
    """A font: a file, and its place in a collection of them."""

    path: Path
    place: int = 0


#: Latin, Greek and Cyrillic; licence: OFL 1.1.
OWN = FontFile(Path(fontpkg_source_sans_3.ROOT) / "files" / "SourceSans3[wght].ttf")
#: The folder of installed packages, and of those the ones that hold fonts of other scripts.
_PACKAGES = Path(fontpkg_source_sans_3.ROOT).parent
_FONT_PACKAGES = ("fontpkg_*/files/*", "manimgx_fonts/*", "noto_cjk_*/*")
#: Chinese characters are drawn differently in each language. The places of the languages in Noto's
#: collection, by the script that only that language has; Chinese without one is simplified.
_KANA, _HANGUL = re.compile(r"[\u3040-\u30ff]"), re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")
_JAPANESE, _KOREAN, _SIMPLIFIED_CHINESE = 0, 1, 2
#: Letters that join others, or choose a form of them, and are not seen themselves.
_ZERO_WIDTH_JOINER, _EMOJI_FORM = "\u200d", "\ufe0f"
_JOINERS = frozenset({_ZERO_WIDTH_JOINER, "\u200c", "\ufe0e", _EMOJI_FORM})
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_TAGS = frozenset(map(chr, range(0xE0020, 0xE0080)))  # they spell the flags of regions
_FIRST_EMOJI = "\U0001f000"
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


@lru_cache(maxsize=256)
def load_font(pixels: int, font: FontFile) -> ImageFont.FreeTypeFont:
    """Open a font at a size, a little heavier than regular where it can be."""
    face = ImageFont.truetype(font.path, pixels, index=font.place)
    if font.path.stem.endswith("[wght]"):
        face.set_variation_by_axes([WEIGHT])
    return face


@cache
def has_raqm() -> bool:
    """True where Pillow can draw from right to left and join letters: with libraqm."""
    return bool(features.check("raqm"))


def split_clusters(text: str) -> list[str]:
    """Split a text into what is seen as one letter: with its marks, modifiers and joiners."""
    clusters: list[str] = []
    for letter in unicodedata.normalize("NFC", text):
        if clusters and _continues_cluster(clusters[-1], letter):
            clusters[-1] += letter
        else:
            clusters.append(letter)
    return clusters


def _continues_cluster(cluster: str, letter: str) -> bool:
    if _is_flag_letter(letter):  # two of them are one flag
        return len(cluster) == 1 and _is_flag_letter(cluster)
    return (
        unicodedata.category(letter).startswith("M")
        or letter in _JOINERS
        or letter in _SKIN_TONES
        or letter in _TAGS
        or cluster.endswith(_ZERO_WIDTH_JOINER)
    )


def _is_flag_letter(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"


def choose_fonts(clusters: Sequence[str], text: str) -> list[FontFile]:
    """Return the font of each cluster of a text.

    Signs and spaces stay in the font of the letters before them, where that has them: a font that
    changes with every comma is seen.
    """
    chosen: list[FontFile] = []
    before, cjk = OWN, _choose_cjk_place(text)
    for cluster in clusters:
        if _is_emoji(cluster):
            chosen.append(_find_font(cluster, cjk))
            continue
        is_sign = not any(letter.isalnum() for letter in cluster)
        if not is_sign or _count_lacking(before, cluster):
            before = _find_font(cluster, cjk)
        chosen.append(before)
    return chosen


def remove_undrawable(text: str) -> str:
    """Return the text in NFC, without what no font has."""
    place = _choose_cjk_place(text)
    return "".join(cluster for cluster in split_clusters(text) if _is_drawable(cluster, place))


def find_undrawable(texts: Iterable[str]) -> str:
    """Return the letters of texts that no font has, each once, in order."""
    lacking: dict[str, None] = {}
    for text in texts:
        place = _choose_cjk_place(text)
        for cluster in split_clusters(text):
            if not _is_drawable(cluster, place):
                lacking |= dict.fromkeys(cluster)
    return "".join(lacking)


def _is_drawable(cluster: str, cjk_place: int) -> bool:
    return _count_lacking(_find_font(cluster, cjk_place), cluster) == 0


def _choose_cjk_place(text: str) -> int:
    """The language whose forms of Chinese characters a text needs."""
    if _KANA.search(text):
        return _JAPANESE
    return _KOREAN if _HANGUL.search(text) else _SIMPLIFIED_CHINESE


def _is_emoji(cluster: str) -> bool:
    return cluster[0] >= _FIRST_EMOJI or _EMOJI_FORM in cluster


@lru_cache(maxsize=8192)
def _find_font(cluster: str, cjk_place: int) -> FontFile:
    """Return our own font, or the first that has the whole cluster, or lacks least of it."""
    if not _is_emoji(cluster) and _count_lacking(OWN, cluster) == 0:
        return OWN
    others = [
        FontFile(path, cjk_place) if path.name.startswith("NotoSansCJK") else FontFile(path)
        for path in (*_list_package_fonts(), *_list_system_fonts())
    ]
    if _is_emoji(cluster):
        others.sort(key=lambda font: "Emoji" not in font.path.stem)
    return min((*others, OWN), key=lambda font: _count_lacking(font, cluster))


def _count_lacking(font: FontFile, cluster: str) -> int:
    return sum(not (one.isspace() or one in _JOINERS or _has_glyph(font, one)) for one in cluster)


@lru_cache(maxsize=65_536)
def _has_glyph(font: FontFile, letter: str) -> bool:
    if unicodedata.bidirectional(letter) in {"R", "AL"} and not has_raqm():
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
        load_font(24, FontFile(path))
    except OSError:  # broken, or made of bitmaps of one size
        return False
    return True
