"""A voice by name or by a word: mapped to one of the model's, or refused with their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.case import build_generation, run_until_done
from providers.fakes import FAKES
from taskreel.adapters.providers import load_adapter
from taskreel.adapters.providers.model_limits import list_lacking
from taskreel.adapters.providers.model_lookup import get_today, list_rows
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.domain.errors import PermanentError
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Capability, Done

ROWS = [row for row in list_rows(capability=Capability.SPEECH) if row.is_current(get_today())]
CLOSED = [row for row in ROWS if row.voices]


async def speak(folder: Path, row: ModelRow, voice: str) -> Done:
    fake = FAKES[row.provider]()
    adapter = load_adapter(row.provider)(key=fake.key, transport=fake.transport())
    params = {"text": "The lamp is lit.", "voice": voice}
    try:
        request = build_generation(folder, Capability.SPEECH, row.name, params)
        return await run_until_done(adapter, request)
    finally:
        await adapter.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.provider} {row.name}")
async def test_the_documented_voice_is_spoken_by_each_model(row: ModelRow, tmp_path: Path) -> None:
    """`narrator`, of the job type's own example, was refused by every provider."""
    voice = JOB_TYPES["audio-synthesis"].example["voice"]
    assert list_lacking(row, {"text": "x", "voice": voice}, 0) == ()
    assert (await speak(tmp_path, row, voice)).outputs


@pytest.mark.parametrize("row", CLOSED, ids=lambda row: f"{row.provider} {row.name}")
async def test_each_name_and_word_is_one_that_the_service_knows(
    row: ModelRow, tmp_path: Path
) -> None:
    for voice in (*row.voices, *row.voice_words, row.voices[-1].upper()):
        assert (await speak(tmp_path, row, voice)).outputs, voice


@pytest.mark.parametrize("row", CLOSED, ids=lambda row: f"{row.provider} {row.name}")
async def test_an_unknown_voice_is_refused_with_the_names_that_are_valid(
    row: ModelRow, tmp_path: Path
) -> None:
    (lacking,) = list_lacking(row, {"text": "x", "voice": "gandalf"}, 0)
    assert "the voice 'gandalf'" in lacking
    assert all(name in lacking for name in row.voices)
    with pytest.raises(PermanentError) as caught:
        await speak(tmp_path, row, "gandalf")
    assert caught.value.code == "voice_unknown"
