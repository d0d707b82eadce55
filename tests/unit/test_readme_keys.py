"""README's table of the keys and the job types that they unlock."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from taskreel.adapters.providers import PROVIDERS, ProviderEntry
from taskreel.adapters.providers.model_lookup import list_rows
from taskreel.jobtypes import JOB_TYPES

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("entry", PROVIDERS.values(), ids=lambda entry: entry.name)
def test_readme_says_what_a_key_unlocks(entry: ProviderEntry) -> None:
    names = " ".join(f"`{name}`" for name in (entry.key_variable, *entry.other_key_variables))
    (row,) = re.findall(rf"^\| {re.escape(names)} \| (.*) \|$", README, re.MULTILINE)
    today = datetime.now(UTC).date()
    able = {
        model.capability
        for model in list_rows(entry.name)
        if model.is_current(today) and not model.keyless_only
    }
    # Any key serves its own tasks of ai-processing, which README says of all.
    types = [one.name for one in JOB_TYPES.values() if one.capability in able]
    assert row.split(", ") == [name for name in types if name != "ai-processing"]
