"""A file that the last release has written: opened, converted, and used.

`tests/data/store_2026_11.sql` is a dump of one; it is never written again.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from taskreel.adapters.local import sqlite_migration
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.local.sqlite_tables import TIME, load_json
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.errors import StoreError
from taskreel.domain.job import Job
from taskreel.ports import Collection, Query, Transaction
from taskreel.store_collections import ACCOUNTS, AUDIT, DEAD_LETTERS, JOBS, LEDGER, METRICS

DUMP = Path(__file__).parents[2] / "data" / "store_2026_11.sql"
COLLECTIONS: tuple[Collection[Any], ...] = (JOBS, ACCOUNTS, LEDGER, METRICS, DEAD_LETTERS)
FAR = datetime(9999, 1, 1, tzinfo=UTC)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())
    return path


def documents(path: Path, collection: Collection[Any]) -> dict[str, Mapping[str, Any]]:
    """The documents as the last release has written them."""
    with closing(sqlite3.connect(path)) as connection:
        query = f"SELECT id, data FROM {collection.name}"  # noqa: S608
        rows = connection.execute(query).fetchall()
    return {id_: load_json(data.encode()) for id_, data in rows}


def columns_of(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM jobs ORDER BY id").fetchall()


async def test_every_document_is_read_as_it_was_written(old: Path) -> None:
    before = {one.name: documents(old, one) for one in COLLECTIONS}
    store = SqliteStore(old, LOCAL_INDEXES)
    for collection in COLLECTIONS:
        rows = await store.query(Query(collection=collection))
        assert {row.id: row.data for row in rows} == before[collection.name]
        for row in rows:
            assert row.value == await store.get(row.collection, row.id)
    assert len(before["jobs"]) == 11
    await store.close()


async def test_its_times_are_compared_and_ordered_with_those_of_this_release(old: Path) -> None:
    expected = documents(old, JOBS)
    store = SqliteStore(old, LOCAL_INDEXES)
    newest = Query(
        collection=JOBS,
        where=(("userId", "==", "ada"),),
        order=(("createdAt", "desc"),),
        limit=3,
    )
    found: list[str] = []
    query = newest
    while rows := await store.query(query):
        found += [row.id for row in rows]
        query = query.behind(rows[-1])
    by_time = sorted(expected, key=lambda id_: (expected[id_]["createdAt"], id_), reverse=True)
    assert found == by_time
    due = Query(
        collection=JOBS,
        where=(("wakeShard", "in", list(range(8))), ("wakeAt", "<=", FAR)),
        order=(("wakeAt", "asc"),),
        limit=100,
    )
    assert {row.id for row in await store.query(due)} == {
        id_ for id_, data in expected.items() if "wakeAt" in data
    }
    await store.close()


async def test_times_without_a_column_are_ordered_with_those_of_this_release(
    tmp_path: Path,
) -> None:
    entries = [
        AuditEntry(
            entry_id=f"audit.{hour}",
            at=datetime(2026, 11, 27, hour, tzinfo=UTC),
            user_id="root",
            action="x",
            subject="y",
            reason="",
        )
        for hour in range(4)
    ]

    async def write(tx: Transaction) -> None:
        for entry in entries:
            tx.create(AUDIT, entry.entry_id, entry)

    path = tmp_path / "store.db"
    store = SqliteStore(path, LOCAL_INDEXES)
    await store.transaction(write)
    await store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for hour in (0, 2):
            text = entries[hour].at.isoformat(timespec="microseconds")
            connection.execute(
                f"UPDATE audit SET data = json_set(data, '$.at.\"{TIME}\"', ?) WHERE id = ?",  # noqa: S608
                (text, f"audit.{hour}"),
            )
    store = SqliteStore(path, LOCAL_INDEXES)
    found = await store.query(Query(collection=AUDIT, order=(("at", "desc"),)))
    assert [row.value for row in found] == entries[::-1]
    await store.close()


async def test_a_document_that_is_written_again_has_the_layout_of_this_release(old: Path) -> None:
    store = SqliteStore(old, LOCAL_INDEXES)
    jobs = [row.value for row in await store.query(Query(collection=JOBS))]

    async def write(tx: Transaction) -> None:
        for job in jobs:
            tx.set(JOBS, job.job_id, job)

    size = sum(len(data) for _, _, data, *_ in columns_of(old))
    await store.transaction(write)
    await store.close()
    assert sum(len(data) for _, _, data, *_ in columns_of(old)) < 0.8 * size
    store = SqliteStore(old, LOCAL_INDEXES)
    assert [row.value for row in await store.query(Query(collection=JOBS))] == jobs
    await store.close()


def migrate_for(path: Path, steps: int) -> bool:
    """Begin to convert the file; False if it is interrupted after so many steps of SQLite."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_progress_handler(lambda: 1, steps)
        try:
            sqlite_migration.migrate_file(connection)
        except sqlite3.OperationalError:
            return False
    return True


async def test_a_conversion_that_was_interrupted_goes_on(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path(shutil.copy(old, tmp_path / "whole.db"))
    store = SqliteStore(whole, LOCAL_INDEXES)
    await read_all(store)
    monkeypatch.setattr(sqlite_migration, "_BATCH", 1)
    interrupted = [steps for steps in range(100, 3000, 300) if not migrate_for(old, steps)]
    assert len(interrupted) > 3
    store = SqliteStore(old, LOCAL_INDEXES)
    await read_all(store)
    assert columns_of(old) == columns_of(whole)
    assert indexes_of(old) == indexes_of(whole)


async def read_all(store: SqliteStore) -> None:
    for collection in COLLECTIONS:
        assert await store.query(Query(collection=collection))
    await store.close()


def indexes_of(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(
            connection.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql <> ''")
        )


async def test_a_column_that_no_index_needs_any_more_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = SqliteStore(path, LOCAL_INDEXES)
    job = Job.model_validate(json.loads(JOB))

    async def write(tx: Transaction) -> None:
        tx.create(JOBS, job.job_id, job)

    await store.transaction(write)
    await store.close()
    store = SqliteStore(path)
    assert await store.get(JOBS, job.job_id) == job
    rows = await store.query(Query(collection=JOBS, where=(("userId", "==", "ada"),)))
    assert [row.value for row in rows] == [job]
    await store.close()


async def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="layout 3, of a newer release"):
        await store.get(JOBS, "job_a")
    await store.close()


JOB = """{
    "jobId": "job_a", "jobType": "image-generation", "status": "QUEUED", "userId": "ada",
    "payload": {}, "createdAt": "2026-11-22T12:00:00.123456Z",
    "updatedAt": "2026-11-22T12:00:00.123456Z",
    "statusAt": {"QUEUED": "2026-11-22T12:00:00.123456Z"}
}"""
