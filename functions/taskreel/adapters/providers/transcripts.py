"""Transcripts of speech, the same of every provider: text and segments, and files of subtitles."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskreel.adapters.providers.language_names import find_language_code
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_errors import no_output_error
from taskreel.ports import Done, Generation, Output

#: A segment of words ends at a sentence, a pause or another speaker, or when it is this long.
LONGEST_SEGMENT_SECONDS = 7.0
SHORTEST_PAUSE_SECONDS = 0.8
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？")
#: So many characters of segments stand in the job itself; of more, only in the .json file.
_MOST_CHARACTERS = 200_000
#: All but tabs and the ends of lines.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the speech and its seconds; `speaker` is "" where speakers are not told apart."""

    start: float
    end: float
    text: str
    speaker: str = ""

    def to_json(self) -> dict[str, Any]:
        """The segment as a job's result has it."""
        described = {"start": self.start, "end": self.end, "text": self.text}
        return {**described, "speaker": self.speaker} if self.speaker else described


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of a file. `language` is the provider's name or code of it."""

    text: str
    language: str
    segments: Sequence[Segment]
    seconds: float | None = None


def group_words(words: Iterable[Mapping[str, Any]]) -> tuple[Segment, ...]:
    """Segments of the words of ElevenLabs' answer: `text`, `start`, `end`, `type`, `speaker_id`.

    Spaces are words of their own there, and so are sounds that are no speech, in brackets.
    """
    return tuple(
        Segment(
            float(group[0]["start"]),
            float(group[-1]["end"]),
            "".join(str(word["text"]) for word in group).strip(),
            str(group[0].get("speaker_id") or ""),
        )
        for group in _split_words(words)
    )


def read_scribe(reply: Mapping[str, Any]) -> Transcript | None:
    """The transcript of an answer of ElevenLabs' Scribe; None for one without.

    That of silence is an empty text.
    """
    if "text" not in reply:
        return None
    seconds = reply.get("audio_duration_secs")
    return Transcript(
        str(reply["text"]),
        str(reply.get("language_code") or ""),
        group_words(reply.get("words") or ()),
        float(seconds) if isinstance(seconds, int | float) else None,
    )


async def save_transcript(row: ModelRow, request: Generation, made: Transcript | None) -> Done:
    """The result of a transcription, with subtitles where anything was said.

    Raises OperationFailedError where the answer had no transcript.
    """
    if made is None:
        raise no_output_error(row.provider)
    made = _clean_transcript(made)
    folder = request.folder
    stem = folder / f"{request.name}-transcript"
    result: dict[str, Any] = {
        "text": made.text,
        "language": find_language_code(made.language),
        "durationSeconds": made.seconds,
        "segments": [segment.to_json() for segment in made.segments],
    }
    outputs = await asyncio.to_thread(_write_files, stem, result, made.segments)
    if sum(len(segment.text) for segment in made.segments) > _MOST_CHARACTERS:
        # The whole is in the file: a job's document has a largest size.
        result["segments"], result["text"] = [], made.text[:_MOST_CHARACTERS]
    cost = None if made.seconds is None or row.usd is None else made.seconds * row.usd
    return Done(data=result, outputs=outputs, cost_usd=cost)


def _clean_transcript(made: Transcript) -> Transcript:
    """The transcript without what no file of subtitles can have: it was paid for all the same."""
    segments = tuple(
        replace(
            one,
            start=max(one.start, 0.0),
            end=max(one.end, one.start, 0.0),
            text=_clean_text(one.text),
            speaker=_clean_text(one.speaker),
        )
        for one in made.segments
        if math.isfinite(one.start) and math.isfinite(one.end)
    )
    return replace(
        made, text=_clean_text(made.text), language=_clean_text(made.language), segments=segments
    )


def _clean_text(text: str) -> str:
    """The text without control characters; half a surrogate pair, which has no UTF-8, is `?`."""
    return _CONTROL.sub("", text).encode(errors="replace").decode()


def _split_words(words: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    group: list[Mapping[str, Any]] = []
    for word in words:
        times = (word.get("start"), word.get("end"))
        # One without times is in no segment: the whole text was paid for, and has it.
        if not all(isinstance(one, int | float) for one in times):
            continue
        if word.get("type") == "spacing":
            if group:
                group.append(word)
            continue
        if group and _begins_segment(group, word):
            yield _trim_spaces(group)
            group = []
        group.append(word)
    if group:
        yield _trim_spaces(group)


def _trim_spaces(group: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The group without the spaces at its end, which reach up to the next word."""
    while group[-1].get("type") == "spacing":
        group.pop()
    return group


def _begins_segment(group: Sequence[Mapping[str, Any]], word: Mapping[str, Any]) -> bool:
    last = next(one for one in reversed(group) if one.get("type") != "spacing")
    return (
        last.get("speaker_id") != word.get("speaker_id")
        or float(word["start"]) - float(last["end"]) >= SHORTEST_PAUSE_SECONDS
        or float(word["end"]) - float(group[0]["start"]) > LONGEST_SEGMENT_SECONDS
        or str(last["text"]).endswith(_SENTENCE_ENDS)
    )


def _write_files(
    stem: Path, result: Mapping[str, Any], segments: Sequence[Segment]
) -> tuple[Output, ...]:
    # Imported with the first transcript: no other work of a provider needs it.
    from taskreel.media.subtitles import format_srt, format_vtt, make_cues

    cues = [cue for one in segments if one.text for cue in make_cues(one.text, one.start, one.end)]
    texts = {".json": json.dumps(result, ensure_ascii=False, indent=1)}
    if cues:
        texts |= {".srt": format_srt(cues), ".vtt": format_vtt(cues)}
    outputs = []
    for suffix, text in texts.items():
        path = stem.with_suffix(suffix)
        path.write_text(text, encoding="utf-8")
        outputs.append(Output(path=path, suffix=suffix))
    return tuple(outputs)
