"""The layout of documents in SQLite: files that an earlier version wrote are still read."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from taskreel.adapters.local.sqlite_tables import Table, load_json

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_time_of_an_earlier_version_is_read() -> None:
    text = '{"at": {"\ue000": "2026-11-22T12:00:00.000000+00:00"}}'
    assert load_json(text.encode()) == {"at": NOON}


@pytest.mark.parametrize("text", ["2026-01-01", "not a time", ""])
def test_a_key_like_the_mark_of_a_time_does_not_make_its_document_unwritable(text: str) -> None:
    """An earlier version stored such a key as it was, and could never write the document again."""
    stored = json.dumps({"value": {"\ue000": text}})
    read = load_json(stored.encode())
    assert read == {"value": {"\ue000": text}}

    assert load_json(Table("rows", ()).encode("a", read, 1).text) == read
