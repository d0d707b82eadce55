"""Expired documents are removed with their files, where no service of a cloud does so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.job_requests import BATCH, IMAGE, image_request, submit_job
from functions.pipeline_requests import jobs_of
from functions.stored_documents import store_documents
from functions.test_audit import audit
from functions.test_retained_work import DAY, replay_late
from simulation.world import World, running
from taskreel.app.services import Rules
from taskreel.app.worker.expiry import remove_expired
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.ports import Collection, Query

PICTURE = {"prompt": "a kite", "options": {"width": 64, "height": 64}}


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch) as made:
        yield made


def raw(name: str) -> Collection[Mapping[str, Any]]:
    return Collection(name, dict, dict)


async def read(world: World, name: str) -> dict[str, Mapping[str, Any]]:
    rows = await world.services.store.query(Query(collection=raw(name)))
    return {row.id: row.data for row in rows}


async def age(world: World, name: str, by: timedelta, *ids: str) -> None:
    """Let documents be older than they are, by the times that decide."""
    for id_, data in (await read(world, name)).items():
        if not ids or id_ in ids:
            moved = {
                field: data[field] - by for field in ("updatedAt", "expireAt") if field in data
            }
            await store_documents(world, {name: {id_: {**data, **moved}}})


async def test_an_expired_job_goes_with_its_files_and_its_ledger_stays(world: World) -> None:
    ada = world.as_user()
    old, new = [(await submit_job(ada, PICTURE))["jobId"] for _ in range(2)]
    await world.advance(30)
    paths = {id_: (await world.job(id_)).artifacts[0].path for id_ in (old, new)}
    ledger = await read(world, "ledger")
    await age(world, "jobs", Rules().retention.longest, old)

    assert await remove_expired(world.services) == {"jobs": 1}
    assert (await read(world, "jobs")).keys() == {new}
    assert await world.services.blobs.info(paths[old]) is None
    assert not world.files.find_path(paths[old]).parent.exists()
    assert await world.services.blobs.info(paths[new]) is not None
    assert await read(world, "ledger") == ledger
    assert await remove_expired(world.services) == {}


async def test_the_remembered_key_of_a_cached_answer_expires_as_well(world: World) -> None:
    ada = world.as_user()
    asked = {**PICTURE, "cacheSeconds": 3600}
    await submit_job(ada, asked)
    await world.advance(30)
    answer = await ada.post(IMAGE, json=asked, headers={"Idempotency-Key": "order-7"})
    assert answer.json()["cachedSeconds"] is not None
    job_id = answer.json()["jobId"]
    (mark,) = (await read(world, "jobs")).keys() - {job_id}
    await age(world, "jobs", Rules().retention.longest - timedelta(minutes=1), mark)
    assert await remove_expired(world.services) == {}
    await world.advance(60)
    assert await remove_expired(world.services) == {"jobs": 1}
    assert (await read(world, "jobs")).keys() == {job_id}


async def test_an_ended_job_is_stored_for_the_days_that_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch, retention_days=7) as world:
        ada = world.as_user()
        job_id = (await submit_job(ada, PICTURE))["jobId"]
        failed_id = (await submit_job(ada, image_request("fail-permanent")))["jobId"]
        cancelled = await submit_job(
            ada, {**image_request("noop"), "scheduleAt": "2030-01-01T00:00:00Z"}
        )
        await world.advance(30)
        assert (await ada.delete(cancelled["urls"]["cancel"])).status_code == 200
        path = (await world.job(job_id)).artifacts[0].path
        for ended in [await world.job(id_) for id_ in (job_id, failed_id, cancelled["jobId"])]:
            assert ended.expire_at == ended.status_at[ended.status] + timedelta(days=7)
        await age(world, "jobs", timedelta(days=7) - timedelta(minutes=1))
        assert await remove_expired(world.services) == {}
        await age(world, "jobs", timedelta(minutes=1))
        assert await remove_expired(world.services) == {"jobs": 3}
        assert await world.services.blobs.info(path) is None


async def test_a_job_that_has_not_ended_stays_however_old_it_is(world: World) -> None:
    ada = world.as_user()
    await world.tasks.pause("image-generation-queue")
    waiting = (await submit_job(ada, image_request("noop")))["jobId"]
    await age(world, "jobs", 10 * Rules().retention.longest)
    assert await remove_expired(world.services) == {}
    assert (await world.job(waiting)).status is Status.QUEUED


async def test_a_job_that_cannot_be_read_expires_too(world: World) -> None:
    ada = world.as_user()
    job_id = (await submit_job(ada, image_request("noop")))["jobId"]
    await world.advance(5)
    await age(world, "jobs", Rules().retention.longest)
    data = (await read(world, "jobs"))[job_id]
    await store_documents(world, {"jobs": {job_id: {**data, "units": "none"}}})
    assert await remove_expired(world.services) == {"jobs": 1}


async def test_more_jobs_than_a_page_are_removed_and_what_lies_between_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.app.worker.expiry._PAGE", 3)
    ada = world.as_user()
    ids = [(await submit_job(ada, image_request("noop")))["jobId"] for _ in range(8)]
    await world.advance(30)
    await age(world, "jobs", Rules().retention.longest)
    data = (await read(world, "jobs"))[ids[4]]
    unended = {name: value for name, value in data.items() if name != "expireAt"}
    await store_documents(world, {"jobs": {ids[4]: unended}})
    assert await remove_expired(world.services) == {"jobs": 7}
    assert (await read(world, "jobs")).keys() == {ids[4]}


async def test_expired_uploads_go_with_their_files(world: World) -> None:
    ada = world.as_user()
    body = {"name": "a.png", "contentType": "image/png", "bytes": 3}
    for _ in range(2):
        assert (await ada.post("/api/uploads", json=body)).status_code == 201
    uploads = await read(world, "uploads")
    for data in uploads.values():
        await world.services.blobs.put(data["path"], b"abc", content_type="image/png")
    old, new = uploads
    await age(world, "uploads", timedelta(days=2), old)
    assert await remove_expired(world.services) == {"uploads": 1}
    assert await world.services.blobs.info(uploads[old]["path"]) is None
    assert await world.services.blobs.info(uploads[new]["path"]) is not None


async def test_a_job_stays_while_a_replay_that_uses_its_files_does(world: World) -> None:
    ada = world.as_user()
    body = {"prompts": ["a", "b", "c"], "options": {"width": 64, "height": 64}}
    made = (await ada.post(BATCH, json=body)).json()
    await world.advance(60)
    job = await world.job(made["jobId"])
    failed = job.units[2].model_copy(update={"state": UnitState.FAILED, "artifacts": ()})
    status_at = {**job.status_at, Status.FAILED: job.status_at[Status.COMPLETED]}
    await world.put(
        job.model_copy(
            update={
                "units": (*job.units[:2], failed),
                "status": Status.FAILED,
                "status_at": status_at,
            }
        )
    )
    await world.advance(80 * 86_400)
    replay = (await ada.post(f"{BATCH}/{made['jobId']}/replay", json={})).json()
    await world.advance(300)
    await world.advance(11 * 86_400)
    assert await remove_expired(world.services) == {}
    stored = await world.job(replay["jobId"])
    for artifact in stored.artifacts:
        assert await world.services.blobs.info(artifact.path) is not None


@pytest.mark.parametrize("is_older", [False, True], ids=["adopted-now", "adopted-by-a-release"])
async def test_a_replay_shows_the_steps_that_it_adopted_until_it_expires(
    world: World, *, is_older: bool
) -> None:
    first_id, again = await replay_late(world, world.as_user("ada"))
    (child,) = await jobs_of(world, first_id, "draw")
    if is_older:  # as an earlier release adopted it: its expireAt is its own
        ended_at = child.status_at[Status.COMPLETED]
        await world.put(
            child.model_copy(update={"expire_at": ended_at + Rules().retention.longest})
        )
    url = f"/api/jobs/{again.job_id}"
    shown = (await world.as_user("ada").get(url)).json()["steps"]

    await world.advance(11 * DAY)
    await remove_expired(world.services)
    assert (await world.as_user("ada").get(url)).json()["steps"] == shown
    (file,) = child.artifacts
    assert await world.services.blobs.info(file.path) is not None
    assert (await audit(world, with_files=True)).violations == []

    await world.advance(90 * DAY)
    for _ in range(3):  # a replay goes first, then what it uses
        await remove_expired(world.services)
    assert await read(world, "jobs") == {}
    assert await world.services.blobs.info(file.path) is None
