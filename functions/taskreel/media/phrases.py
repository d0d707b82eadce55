"""Narrations cut into phrases, phrases into lines, and each phrase given its time."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CAPTION_LINES = 2
CAPTION_LETTERS = 42  # a line: the usual limit of subtitles


def split_phrases(text: str, most: float = CAPTION_LINES * CAPTION_LETTERS) -> list[str]:
    """Cut a text at its punctuation into parts of about equal length, of at most `most` letters."""
    sentences = re.split(r"(?<=[.!?…;:])\s+", " ".join(text.split()))
    return [part for sentence in sentences for part in balance_lines(sentence, most, count_columns)]


def count_columns(text: str) -> int:
    """Count letters; a Chinese, Japanese or Korean one is as wide as two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def time_phrases(
    phrases: Sequence[str], first: float, last: float
) -> list[tuple[str, float, float]]:
    """Give each phrase its share of a span, by its letters: (phrase, start, end)."""
    total = sum(len(phrase) + 8 for phrase in phrases)  # 8: even a short word needs a moment
    timed, at = [], float(first)
    for phrase in phrases:
        until = at + (last - first) * (len(phrase) + 8) / total
        timed.append((phrase, at, until))
        at = until
    return timed


def balance_lines(text: str, most: float, measure: Callable[[str], float]) -> list[str]:
    """Break a text into as few lines as `most` allows, then narrow them evenly.

    Words longer than a line are cut.
    """
    words = [piece for word in text.split() for piece in _cut_word(word, most, measure)]
    lines = _fill_lines(words, most, measure)
    narrow, wide = most / max(len(lines), 1) / 2, most
    for _ in range(10):  # halving: to a thousandth of the width
        middle = (narrow + wide) / 2
        even = _fill_lines(words, middle, measure)
        if len(even) == len(lines) and all(measure(line) <= middle for line in even):
            lines, wide = even, middle
        else:
            narrow = middle
    return lines


def _cut_word(word: str, most: float, measure: Callable[[str], float]) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and measure(pieces[-1] + letter) > most:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _fill_lines(words: list[str], most: float, measure: Callable[[str], float]) -> list[str]:
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer) <= most:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
