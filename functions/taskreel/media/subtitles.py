"""Subtitles: cues from narrated texts, and the file of them beside a film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskreel.media.phrases import (
    CAPTION_LETTERS,
    balance_lines,
    count_columns,
    split_phrases,
    time_phrases,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Cue:
    """A phrase and the seconds of the film between which it is read; at most two lines."""

    start: float
    end: float
    text: str


def make_cues(text: str, start: float, end: float) -> list[Cue]:
    """Cut a narration into cues that share the span as the letters of its phrases do."""
    return [
        Cue(first, last, "\n".join(balance_lines(phrase, CAPTION_LETTERS, count_columns)))
        for phrase, first, last in time_phrases(split_phrases(text), start, end)
    ]


def format_srt(cues: Iterable[Cue]) -> str:
    """Write the cues as SubRip, which every player and platform reads."""
    return "\n".join(
        f"{number}\n{_format_time(cue.start)} --> {_format_time(cue.end)}\n{cue.text}\n"
        for number, cue in enumerate(cues, 1)
    )


def format_vtt(cues: Iterable[Cue]) -> str:
    """Write the cues as WebVTT, which browsers read; only `&`, `<` and `>` have a meaning there."""
    return "WEBVTT\n" + "".join(
        f"\n{_format_time(cue.start, '.')} --> {_format_time(cue.end, '.')}\n{_escape(cue.text)}\n"
        for cue in cues
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _format_time(seconds: float, point: str = ",") -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
