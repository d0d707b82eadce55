"""Transcripts: words in segments, subtitles, lengths and languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation
from taskreel.adapters.providers.language_names import find_language_code
from taskreel.adapters.providers.model_lookup import list_rows
from taskreel.adapters.providers.transcripts import (
    Segment,
    Transcript,
    group_words,
    read_scribe,
    save_transcript,
)
from taskreel.ports import Capability, Done

ROW = next(row for row in list_rows("elevenlabs") if row.name == "scribe_v2")


def say(*words: tuple[str, float, float], speaker: str = "a") -> list[dict[str, Any]]:
    return [
        {"text": text, "start": start, "end": end, "type": "word", "speaker_id": speaker}
        for text, start, end in words
    ]


def space(start: float, end: float) -> dict[str, Any]:
    return {"text": " ", "start": start, "end": end, "type": "spacing", "speaker_id": "a"}


async def save(folder: Path, made: Transcript) -> Done:
    return await save_transcript(
        ROW, build_generation(folder, Capability.TRANSCRIPTION, "scribe_v2", {}, 1), made
    )


def read_files(done: Done) -> dict[str | None, str]:
    return {
        output.suffix: output.path.read_text("utf-8")
        for output in done.outputs
        if output.path is not None
    }


def test_a_segment_ends_at_a_sentence_a_pause_and_another_speaker() -> None:
    words = [
        *say(("The", 0.0, 0.2)),
        space(0.2, 0.3),
        *say(("lamp.", 0.3, 0.8)),
        space(0.8, 0.9),
        *say(("It", 0.9, 1.0)),
        space(1.0, 2.5),
        *say(("burns", 2.5, 3.0)),
        *say(("No", 3.0, 3.2), speaker="b"),
    ]
    assert group_words(words) == (
        Segment(0.0, 0.8, "The lamp.", "a"),
        Segment(0.9, 1.0, "It", "a"),
        Segment(2.5, 3.0, "burns", "a"),
        Segment(3.0, 3.2, "No", "b"),
    )


def test_no_segment_is_too_long_to_be_read_and_none_has_words_without_a_time() -> None:
    words = [word for n in range(40) for word in say((f"w{n}", n * 0.5, n * 0.5 + 0.4))]
    segments = group_words([*words, {"text": "x", "start": None, "end": None, "type": "word"}])
    assert len(segments) > 2
    assert all(one.end - one.start <= 7 for one in segments)
    assert "".join(one.text for one in segments) == "".join(f"w{n}" for n in range(40))


async def test_the_files_say_what_the_result_says(tmp_path: Path) -> None:
    made = Transcript("A < B & C", "eng", (Segment(0.5, 3661.25, "A < B & C", "x"),), 3662.0)
    done = await save(tmp_path, made)
    files = read_files(done)
    assert files[".srt"] == "1\n00:00:00,500 --> 01:01:01,250\nA < B & C\n"
    assert files[".vtt"] == ("WEBVTT\n\n00:00:00.500 --> 01:01:01.250\nA &lt; B &amp; C\n")
    assert done.data is not None
    assert done.data == json.loads(files[".json"])
    assert done.data["language"] == "en"
    assert done.cost_usd == pytest.approx(3662 * 0.22 / 3600)


async def test_silence_has_a_transcript_and_no_subtitles(tmp_path: Path) -> None:
    made = read_scribe({"text": "", "language_code": "", "words": []})
    assert made is not None
    done = await save(tmp_path, made)
    assert done.data is not None
    assert (done.data["text"], done.data["segments"]) == ("", [])
    assert [output.suffix for output in done.outputs] == [".json"]


async def test_a_transcript_beyond_a_jobs_document_is_whole_in_its_file(tmp_path: Path) -> None:
    segments = tuple(Segment(n, n + 1.0, "a long day " * 20) for n in range(2000))
    text = " ".join(one.text for one in segments)
    done = await save(tmp_path, Transcript(text, "en", segments, 2000.0))
    assert done.data is not None
    assert len(json.dumps(done.data)) < 250_000
    whole = json.loads(read_files(done)[".json"])
    assert (whole["text"], len(whole["segments"])) == (text, 2000)


@pytest.mark.parametrize(
    ("name", "code"), [("english", "en"), ("deu", "de"), ("de", "de"), ("Klingon", "klingon")]
)
def test_a_language_is_named_by_its_code_where_one_is_known(name: str, code: str) -> None:
    assert find_language_code(name) == code


async def test_a_transcript_survives_texts_and_times_that_no_player_reads(
    tmp_path: Path,
) -> None:
    """Half a surrogate pair has no UTF-8, and a time before the beginning no form."""
    odd = (
        Segment(-0.5, 1.0, "A\x00 l\x1bamp"),
        Segment(3.0, 2.0, "half \ud83d"),
        Segment(float("nan"), 4.0, "never"),
        Segment(4.0, float("inf"), "ever"),
    )
    done = await save(tmp_path, Transcript("A\x07 lamp\ud83d", "en", odd, 4.0))
    assert done.data is not None
    assert done.data["text"] == "A lamp?"
    assert [(one["start"], one["end"], one["text"]) for one in done.data["segments"]] == [
        (0.0, 1.0, "A lamp"),
        (3.0, 3.0, "half ?"),
    ]
    assert "00:00:00.000 --> 00:00:01.000\nA lamp\n" in read_files(done)[".vtt"]


def test_words_whose_times_are_no_numbers_are_in_the_text_alone() -> None:
    words = [
        {"text": "one", "start": "0.1", "end": 0.2, "type": "word"},
        {"text": "two", "start": 0.3, "end": 0.4, "type": "word"},
        {"text": "three", "start": 0.5, "end": [], "type": "word"},
    ]
    made = read_scribe({"text": "one two three", "words": words})
    assert made is not None
    assert made.text == "one two three"
    assert [(one.text, one.start, one.end) for one in made.segments] == [("two", 0.3, 0.4)]
