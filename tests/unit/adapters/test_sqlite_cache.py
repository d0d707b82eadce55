"""The documents that the SQLite store retains in memory."""

from __future__ import annotations

import pytest

from taskreel.adapters.local import sqlite_file
from taskreel.adapters.local.sqlite_file import DocumentCache
from taskreel.adapters.local.sqlite_tables import StoredDocument


def add_documents(cache: DocumentCache, *ids: str, size: int = 1) -> None:
    for id_ in ids:
        cache.add(("jobs", id_), StoredDocument(id_, b"x" * size, (), 1))


def list_found(cache: DocumentCache, *ids: str) -> list[str]:
    return [id_ for id_ in ids if cache.find(("jobs", id_)) is not None]


def test_the_least_recently_used_document_is_removed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_MOST_DOCUMENTS", 2)
    cache = DocumentCache()
    add_documents(cache, "a", "b")
    assert list_found(cache, "a") == ["a"]
    add_documents(cache, "c")
    assert list_found(cache, "a", "b", "c") == ["a", "c"]


def test_removed_documents_count_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_MOST_BYTES", 10)
    cache = DocumentCache()
    add_documents(cache, "a", size=6)
    cache.remove(("jobs", "a"))
    cache.remove(("jobs", "a"))
    add_documents(cache, "b", "c", size=5)
    assert list_found(cache, "a", "b", "c") == ["b", "c"]
    cache.clear()
    add_documents(cache, "d", "e", size=5)
    assert list_found(cache, "b", "c", "d", "e") == ["d", "e"]
    add_documents(cache, "f", size=1)
    assert list_found(cache, "d", "e", "f") == ["e", "f"]
