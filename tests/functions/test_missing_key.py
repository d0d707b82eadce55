"""A process without the key of an encrypted store reads nothing, and writes nothing in clear."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from functions.job_requests import IMAGE, expect_problem, image_request, submit_job
from functions.test_encryption import KEY, OTHER_KEY, open_world, read_stored, write_everything
from simulation.world import KEY as INTERNAL_KEY
from simulation.world import World
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.logged_store import LoggedStore
from taskreel.domain.errors import EncryptionKeyError
from taskreel.ports import Query, Store, Transaction
from taskreel.store_collections import DATA_KEYS, JOBS, STORED

PICTURE = image_request("slow", seconds=0)
WRONG_KEYS = pytest.mark.parametrize("key", [OTHER_KEY, None], ids=["another_key", "no_key"])


async def read_all(world: World) -> dict[str, Mapping[str, Any]]:
    """Every document as it is in the file."""
    return {
        f"{collection.name}/{id_}": data
        for collection in STORED
        for id_, data in (await read_stored(world, collection.name)).items()
    }


async def make_encrypted_store(folder: Path, patch: pytest.MonkeyPatch) -> str:
    """An encrypted store with a document of every kind; the id of a job."""
    async with open_world(folder, patch, KEY) as world:
        await write_everything(world)
        job = await submit_job(world.as_user(), PICTURE)
        await world.advance(5)
    return str(job["jobId"])


@WRONG_KEYS
async def test_every_request_is_answered_with_the_documented_sentence_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    job_id = await make_encrypted_store(tmp_path, monkeypatch)
    template = {"name": "new", "jobType": "image-generation", "data": PICTURE}
    requests: list[tuple[str, str, Any]] = [
        ("POST", IMAGE, PICTURE),
        ("GET", f"/api/jobs/{job_id}", None),
        ("DELETE", f"{IMAGE}/{job_id}", None),
        ("POST", f"{IMAGE}/{job_id}/replay", {}),
        ("GET", "/api/jobs", None),
        ("GET", f"/api/jobs/{job_id}/events", None),
        ("GET", "/api/jobs/events", None),
        ("GET", "/api/templates", None),
        ("POST", "/api/templates", template),
        ("POST", "/api/uploads", {"name": "a.png", "contentType": "image/png", "bytes": 1}),
        ("GET", "/api/credits", None),
    ]
    async with open_world(tmp_path, monkeypatch, key) as world:
        ada = world.as_user()
        before = await read_all(world)
        for method, path, body in requests:
            answer = await ada.request(method, path, json=body, headers={"Prefer": "wait=1"})
            problem = expect_problem(answer, 503, "encryption_key_unavailable")
            assert problem["detail"] == EncryptionKeyError.caller_text, path
        answer = await world.process(job_id)
        # Not 503, which would slow the whole queue.
        assert (answer.status_code, answer.json()["code"]) == (500, "encryption_key_unavailable")
        headers = {"X-Internal-Api-Key": INTERNAL_KEY}
        swept = await world.maintenance.post("/tasks/sweep", headers=headers)
        assert swept.json()["code"] == "encryption_key_unavailable"
        await world.advance(120)
        assert await read_all(world) == before


async def watch_job(store: Store) -> None:
    async for job in store.watch(JOBS, "job_a"):
        assert job is None
        return


async def watch_jobs(store: Store) -> None:
    since = datetime.now(UTC)
    async for changes in store.watch_changes(JOBS, "userId", "ada", since=since):
        assert changes.documents == []
        return


async def read_nothing(_tx: Transaction) -> None:
    """A transaction without an effect."""


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.get(JOBS, "job_a"),
        lambda store: store.transaction(read_nothing),
        lambda store: store.query(Query(collection=JOBS)),
        lambda store: store.aggregate(Query(collection=JOBS)),
        watch_job,
        watch_jobs,
    ],
    ids=["get", "transaction", "query", "aggregate", "watch", "watch_changes"],
)
async def test_the_key_is_checked_once_before_the_first_use(
    tmp_path: Path, use: Callable[[Store], Awaitable[object]]
) -> None:
    inner = SqliteStore(tmp_path / "store.db")
    checks: list[int] = []

    async def check() -> None:
        checks.append(1)
        await asyncio.sleep(0)
        if len(checks) == 1:
            raise EncryptionKeyError("the key is not there")

    store = LoggedStore(inner, check_key=check)
    with pytest.raises(EncryptionKeyError, match="the key is not there"):
        await use(store)
    await asyncio.gather(use(store), use(store), use(store))
    await use(store)
    assert len(checks) == 2
    await store.close()


async def test_a_watch_is_closed_with_its_reader(tmp_path: Path) -> None:
    inner = SqliteStore(tmp_path / "store.db")

    async def check() -> None:
        """The key is there."""

    store = LoggedStore(inner, check_key=check)
    async with aclosing(cast("Any", store.watch(JOBS, "job_a"))) as values:
        assert await anext(values) is None
    await store.close()


async def test_a_store_that_is_not_encrypted_is_used_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, None) as world:
        ada: httpx.AsyncClient = world.as_user()
        job = await submit_job(ada, PICTURE)
        await world.advance(5)
        assert (await ada.get(f"/api/jobs/{job['jobId']}")).json()["status"] == "COMPLETED"
        assert not await world.sqlite.query(Query(collection=DATA_KEYS))
