"""Measure a text: counts, reading and speaking time, readability, frequent words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from taskreel.domain.errors import PermanentError

#: Silent reading of English non-fiction: Brysbaert 2019, a meta-analysis of 190 studies.
READING_WPM = 238
SPEAKING_WPM = 150
#: Characters a minute in texts without spaces, aloud: the International Reading Speed Texts, 2012.
JAPANESE_SPOKEN, CHINESE_SPOKEN = 357, 255
SILENT_TO_ALOUD = 238 / 183  # Brysbaert 2019
_KANA = re.compile(r"[\u3040-\u30ff]")
_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
#: Matches only at the first of several marks, and possessively: a text of a million dots takes
#: linear time, not quadratic.
_SENTENCE_END = re.compile(r"(?<![.!?…。！？])[.!?…。！？]++(?=\s|$|[^\x00-\x7f])")
EASY_TO_HARD = (
    (90, "very easy"),
    (80, "easy"),
    (70, "fairly easy"),
    (60, "plain"),
    (50, "fairly difficult"),
    (30, "difficult"),
)
COMMON = frozenset(
    (  # noqa: SIM905 - a list of strings would take a line for each word
        "a about after all also an and are as at be because been but by can could did do does for"
        " from had has have he her him his how i if in into is it its just me more my no not of on"
        " one or our out she so some than that the their them then there these they this to up us"
        " was we were what when where which who will with would you your"
    ).split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFacts:
    """Facts of a text: Flesch's `reading_ease`, 0 (hard) to 100, Kincaid's US school `grade`.

    Those and `level` are None for other scripts than the Latin, for which they mean nothing. Each
    character of Chinese and Japanese counts as a word, as word processors count them.
    """

    characters: int
    words: int
    sentences: int
    paragraphs: int
    unique_words: int
    reading_seconds: float
    speaking_seconds: float
    reading_ease: float | None
    grade: float | None
    level: str | None
    frequent_words: tuple[tuple[str, int], ...]


def measure_text(text: str) -> TextFacts:
    """Measure a text; raises PermanentError for one without a word."""
    spaced, lone = _WITHOUT_SPACES.subn(" ", text)
    words = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|\d+", spaced)  # a typographic apostrophe
    words += _WITHOUT_SPACES.findall(text)
    if not words:
        raise PermanentError("The text contains no word.", code="empty_text")
    sentences = max(1, len(_SENTENCE_END.findall(text)))
    syllables = sum(_count_syllables(word) for word in words)
    a_sentence, a_word = len(words) / sentences, syllables / len(words)
    ease = 206.835 - 1.015 * a_sentence - 84.6 * a_word  # Flesch 1948
    is_latin = 2 * len(_LATIN.findall(text)) > sum(map(str.isalpha, text))
    rest = len(words) - lone
    spoken = lone / (JAPANESE_SPOKEN if _KANA.search(text) else CHINESE_SPOKEN) * 60
    counted = Counter(
        word.lower() for word in words if len(word) > 2 and word.lower() not in COMMON
    )
    return TextFacts(
        characters=len(text),
        words=len(words),
        sentences=sentences,
        paragraphs=len([part for part in re.split(r"\n\s*\n", text) if part.strip()]),
        unique_words=len({word.lower() for word in words}),
        reading_seconds=round(rest / READING_WPM * 60 + spoken / SILENT_TO_ALOUD, 1),
        speaking_seconds=round(rest / SPEAKING_WPM * 60 + spoken, 1),
        reading_ease=round(min(max(ease, 0.0), 100.0), 1) if is_latin else None,
        # Kincaid et al. 1975
        grade=round(max(0.39 * a_sentence + 11.8 * a_word - 15.59, 0.0), 1) if is_latin else None,
        level=_name_level(ease) if is_latin else None,
        frequent_words=tuple(counted.most_common(12)),
    )


def _name_level(ease: float) -> str:
    return next((level for least, level in EASY_TO_HARD if ease >= least), "very difficult")


def _count_syllables(word: str) -> int:
    """Count groups of vowels without a silent final e: right for nine in ten English words."""
    groups = len(re.findall(r"[aeiouyäöüáéíóúàèìòùâêîôûåæø]+", word.lower()))
    if word.lower().endswith("e") and not word.lower().endswith(("le", "ee")) and groups > 1:
        groups -= 1
    return max(1, groups)
