"""The SQLite store's own promises: one owner, one commit for many, nothing lost once durable."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from contract.rows import ROWS, put_row
from taskreel.adapters.local import sqlite as sqlite_store
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.domain.errors import StoreConflictError, StoreError
from taskreel.ports import Collection, Increment, Query, Transaction

ENTRIES: Collection[Mapping[str, Any]] = Collection(
    "entries", dict, dict, follows=("rows", itemgetter("row"))
)


def read_file(path: Path) -> dict[str, str]:
    """The rows that another program finds in the file: only what is committed."""
    with sqlite3.connect(path) as connection:
        return dict(connection.execute("SELECT id, data FROM rows ORDER BY id"))


async def test_a_second_process_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    first, second = SqliteStore(tmp_path / "a.db"), SqliteStore(tmp_path / "a.db")
    await put_row(first, "a", {"n": 1})
    with pytest.raises(StoreError, match=r"Another process has the SQLite store .*a\.db open"):
        await second.get(ROWS, "a")
    await first.close()
    assert await second.get(ROWS, "a") == {"n": 1}
    await second.close()


async def test_many_transactions_are_one_commit_when_the_loop_rests(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db")
    await put_row(store, "a", {"n": 0})
    await store.durable()
    for _ in range(50):
        await store.transaction(add_one)
    assert read_file(tmp_path / "a.db") == {"a": '{"n":0}'}
    assert await store.get(ROWS, "a") == {"n": 50}
    await store.durable()
    assert read_file(tmp_path / "a.db") == {"a": '{"n":50}'}
    await store.close()


async def add_one(tx: Transaction) -> None:
    tx.update(ROWS, "a", {"n": Increment(1)})


async def test_a_query_finds_what_was_written_just_before(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db")
    await put_row(store, "a", {"n": 1})
    assert await store.aggregate(Query(collection=ROWS), total=["n"]) == {"count": 1, "n": 1}
    assert read_file(tmp_path / "a.db") == {"a": '{"n":1}'}
    await store.close()


async def test_what_follows_a_new_document_is_not_looked_for_and_made_once(tmp_path: Path) -> None:
    async def add_entry(tx: Transaction) -> None:
        tx.create(ENTRIES, "a.1", {"row": "a"})

    store = SqliteStore(tmp_path / "a.db")
    statements: list[str] = []
    await put_row(store, "a", {"n": 1})
    store.file.open().set_trace_callback(statements.append)
    await store.transaction(add_entry)
    assert not [one for one in statements if "entries" in one and "WHERE id" in one]
    with pytest.raises(StoreConflictError):
        await store.transaction(add_entry)
    await store.close()

    store = SqliteStore(tmp_path / "a.db")
    with pytest.raises(StoreConflictError):
        await store.transaction(add_entry)
    await put_row(store, "a", {"n": 2})  # it is in the file all the same
    with pytest.raises(StoreConflictError):
        await store.transaction(add_entry)
    await store.close()


async def test_what_follows_a_document_of_this_process_is_looked_for_after_the_first(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "a.db")
    statements: list[str] = []

    async def add_entry(tx: Transaction, number: int) -> None:
        tx.set(ROWS, "a", {"n": number})
        tx.create(ENTRIES, f"a.{number}", {"row": "a"})
        tx.set(ROWS, "a", {"n": number})

    def looks() -> int:
        return len([one for one in statements if "entries" in one and "WHERE id" in one])

    await put_row(store, "a", {"n": 0})
    await store.durable()
    store.file.open().set_trace_callback(statements.append)
    await store.transaction(lambda tx: add_entry(tx, 1))
    await store.durable()
    assert looks() == 0
    store._cache.remove(("entries", "a.1"))
    with pytest.raises(StoreConflictError):
        await store.transaction(lambda tx: add_entry(tx, 1))
    assert looks() == 1
    await put_row(store, "a", {"n": 2})
    await store.transaction(lambda tx: add_entry(tx, 2))
    assert looks() == 2
    await store.close()


async def test_a_busy_loop_cannot_put_off_a_commit(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db")
    await put_row(store, "a", {"n": 0})
    await store.durable()
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.5
    while loop.time() < end:
        await store.transaction(add_one)
    stored = read_file(tmp_path / "a.db")["a"]
    assert stored != '{"n":0}'
    await store.close()


async def test_what_follows_a_long_turn_at_once_shares_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any turn is a long one, and none is so long that nothing may follow.
    monkeypatch.setattr(sqlite_store, "_LONGEST_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(sqlite_store, "_LONGEST_TURN_SECONDS", 3600.0)
    monkeypatch.setattr(sqlite_store, "_GATHER_SECONDS", 0.0)
    store = SqliteStore(tmp_path / "a.db")
    await put_row(store, "a", {"n": 0})
    await store.durable()
    written: list[str] = []
    store.file.open().set_trace_callback(written.append)
    for _ in range(3):
        await store.transaction(add_one)
        await asyncio.sleep(0)
    await store.durable()
    assert written.count("COMMIT") == 1
    assert len([one for one in written if one.startswith("UPDATE")]) == 1
    assert read_file(tmp_path / "a.db") == {"a": '{"n":3}'}
    await store.close()


async def test_one_who_waits_alone_waits_for_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_GATHER_SECONDS", 3600.0)
    store = SqliteStore(tmp_path / "a.db")
    async with asyncio.timeout(60):
        for n in range(3):
            await put_row(store, "a", {"n": n})
            await store.durable()
            assert read_file(tmp_path / "a.db") == {"a": f'{{"n":{n}}}'}
    await store.close()


async def test_a_value_that_cannot_be_stored_fails_its_own_transaction_only(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "a.db")
    await put_row(store, "a", {"n": 1})
    with pytest.raises(TypeError, match="of type object"):
        await put_row(store, "b", {"n": object()})
    await store.durable()
    assert read_file(tmp_path / "a.db") == {"a": '{"n":1}'}
    await store.close()


async def test_a_commit_that_fails_ends_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[bool] = []
    store = SqliteStore(tmp_path / "a.db", end_process=lambda: ended.append(True))
    await put_row(store, "a", {"n": 1})
    await store.durable()
    store.file.open().execute("PRAGMA query_only = 1")
    await put_row(store, "a", {"n": 2})
    with pytest.raises(StoreError, match="failed"):
        await store.durable()
    assert ended == [True]
    (record,) = [one for one in caplog.records if one.levelno == logging.CRITICAL]
    assert vars(record)["action"] == "commit_failed"
    store.file.close()


async def test_a_cancelled_caller_of_durable_harms_no_other(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db")
    await put_row(store, "a", {"n": 1})
    first, second = (asyncio.ensure_future(store.durable()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert read_file(tmp_path / "a.db") == {"a": '{"n":1}'}
    await store.close()


#: Moves one credit after another from `free` to `held`, and tells of a move once it is durable.
#: After some of them it dies without warning, at a random place between memory and commit.
DYING = """
import asyncio, os, random, signal, sys
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.ports import Collection, Increment

ROWS = Collection("rows", dict, dict)

async def move(store, number):
    async def write(tx):
        if await tx.get(ROWS, "account") is None:
            tx.create(ROWS, "account", {"free": 0, "held": 0})
        tx.update(ROWS, "account", {"free": Increment(-1), "held": Increment(1)})
        tx.create(ROWS, f"job{number:06}", {"cost": 1})
    await store.transaction(write)
    await store.durable()
    os.write(1, b"%d\\n" % number)

async def main():
    store = SqliteStore(sys.argv[1])
    first = int(sys.argv[2])
    asyncio.get_running_loop().call_later(
        random.random() * 0.3, os.kill, os.getpid(), signal.SIGKILL
    )
    async def caller(start):
        for number in range(start, first + 1_000_000, 8):
            await move(store, number)
            await asyncio.sleep(random.random() * 0.002)
    await asyncio.gather(*(caller(first + number) for number in range(8)))

asyncio.run(main())
"""


async def test_after_kills_at_any_moment_no_acknowledged_write_is_lost_and_sums_agree(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    told: set[str] = set()
    for life in range(4):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            DYING,
            str(path),
            str(life * 1_000_000),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == -9
        told |= {f"job{int(line):06}" for line in output.split()}

        store = SqliteStore(path)
        rows = {row.id: row.data for row in await store.query(Query(collection=ROWS))}
        # A process that was killed before its first commit has stored nothing at all.
        account = rows.pop("account", {"free": 0, "held": 0})
        assert told <= rows.keys()
        assert account == {"free": -len(rows), "held": len(rows)}
        await store.close()
    assert len(told) > 20
