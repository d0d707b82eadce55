"""A job type may be stored for a shorter time than others, with its files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.job_requests import submit_job
from functions.pipeline_requests import ended, jobs_of
from functions.test_replay import EDITED, failed, replayed
from simulation.world import World, running, settings
from taskreel.app.worker.expiry import remove_expired
from taskreel.config import ConfigurationError
from taskreel.ports import Query
from taskreel.rules_setting import build_rules
from taskreel.store_collections import JOBS

AUDIO = "/api/jobs/audio-synthesis"


@pytest.fixture
async def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Images are stored for a week."""
    days = "image-generation:7"
    async with running(tmp_path, monkeypatch, type_retention_days=days) as world:
        yield world


async def read_days(world: World) -> dict[str, set[int]]:
    """The days between a job's end and its removal, by type, of steps too."""
    rows = await world.services.store.query(Query(collection=JOBS))
    found: dict[str, set[int]] = {}
    for job in (row.value for row in rows):
        assert job.expire_at is not None
        name = job.job_type if job.parent_id is None else f"{job.job_type} of a pipeline"
        found.setdefault(name, set()).add(
            round((job.expire_at - world.now()).total_seconds() / 86400)
        )
    return found


async def test_a_type_of_its_own_retention_is_removed_earlier(short: World) -> None:
    ada = short.as_user("ada")
    await submit_job(ada)
    await submit_job(ada, {"text": "Hello"}, AUDIO)
    step = {"type": "image-generation", "payload": {"prompt": "a kite"}}
    await ada.post("/api/jobs/pipeline", json={"steps": {"first": step}})
    for _ in range(6):
        await short.advance(10)
    assert await read_days(short) == {
        "image-generation": {7},
        "audio-synthesis": {90},
        "pipeline": {90},
        # Its file is the pipeline's too.
        "image-generation of a pipeline": {90},
    }
    await short.advance(8 * 86_400)
    await remove_expired(short.services)
    rows = await short.services.store.query(Query(collection=JOBS))
    assert len(rows) == 3
    assert "image-generation" not in await read_days(short)


async def test_the_age_of_its_files_counts_from_earlier(
    short: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ages: list[Any] = []
    put = short.services.blobs.put

    async def note_age(*args: Any, **given: Any) -> None:
        ages.append(given["age_from"] and short.now() - given["age_from"])
        await put(*args, **given)

    monkeypatch.setattr(short.services.blobs, "put", note_age)
    ada = short.as_user("ada")
    for body, path in (
        ({"prompt": "a kite"}, "/api/jobs/image-generation"),
        ({"text": "Hi"}, AUDIO),
    ):
        await submit_job(ada, body, path)
        await short.settle()
    assert ages == [timedelta(days=90 - 7), None]


@pytest.fixture
async def short_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Pipelines are stored for a week."""
    async with running(tmp_path, monkeypatch, type_retention_days="pipeline:7") as world:
        yield world


async def test_nothing_of_a_pipeline_s_steps_is_stored_longer_than_the_pipeline(
    short_films: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, ages = short_films, set[timedelta | None]()
    put = world.services.blobs.put

    async def note_age(*args: Any, **given: Any) -> None:
        ages.add(given["age_from"] and world.now() - given["age_from"])
        await put(*args, **given)

    monkeypatch.setattr(world.services.blobs, "put", note_age)
    picture = {"type": "image-generation", "payload": {"prompt": "a kite"}}
    inner = {"type": "pipeline", "payload": {"steps": {"first": picture}}}
    job = await submit_job(
        world.as_user("ada"), {"steps": {"one": picture, "two": inner}}, "/api/jobs/pipeline"
    )
    for _ in range(12):
        await world.advance(10)
    assert (await world.job(job["jobId"])).status == "COMPLETED"
    assert await read_days(world) == {
        "pipeline": {7},
        "pipeline of a pipeline": {7},
        "image-generation of a pipeline": {7},
    }
    assert ages == {timedelta(days=90 - 7)}
    await world.advance(7 * 86_400)
    assert (await remove_expired(world.services))["jobs"] == 4
    assert await world.services.store.query(Query(collection=JOBS)) == []
    assert [path async for path in world.services.blobs.list_paths("artifacts/")] == []


async def test_a_step_is_stored_as_long_as_its_pipeline_may_run(short_films: World) -> None:
    """Else a long pipeline would lose steps that it still needs, and that are to be paid."""
    world = short_films
    picture = {"type": "image-generation", "payload": {"prompt": "a kite"}}
    slow = {"prompt": "a kite", "options": {"studio": {"mode": "sleep", "seconds": 60}}}
    steps = {
        "first": picture,
        "inner": {"type": "pipeline", "payload": {"steps": {"only": picture}}},
        "last": {"type": "image-generation", "payload": slow},
    }
    body = {"steps": steps, "deadlineSeconds": 20 * 86_400}
    job = await submit_job(world.as_user("ada"), body, "/api/jobs/pipeline")
    for _ in range(4):
        await world.advance(10)
    pipeline = await world.job(job["jobId"])
    rows = await world.services.store.query(Query(collection=JOBS))
    done = [row.value for row in rows if row.value.status == "COMPLETED"]
    assert pipeline.status == "PROCESSING"
    assert [one.expire_at for one in done] == [pipeline.finish_by] * 3
    for _ in range(8):
        await world.advance(10)
    assert (await world.job(job["jobId"])).status == "COMPLETED"
    assert await read_days(world) == {
        "pipeline": {7},
        "pipeline of a pipeline": {7},
        "image-generation of a pipeline": {7},
    }


async def test_steps_that_a_replay_has_taken_over_go_with_it(short_films: World) -> None:
    """A pipeline may take two days, and they were stored for as long beyond its end."""
    world = short_films
    ada = world.as_user("ada")
    job = await failed(world, ada)
    await world.advance(3 * 86_400)
    again = await ended(world, ada, await replayed(ada, job, edit=EDITED), "COMPLETED")
    stored = await world.job(again["jobId"])
    assert any(run.adopted for run in stored.steps.values())
    taken_over = await jobs_of(world, job["jobId"], "first")
    assert {one.expire_at for one in taken_over} == {stored.expire_at}
    await world.advance(4.5 * 86_400)
    await remove_expired(world.services)
    assert {one.job_id for one in await jobs_of(world, job["jobId"], "first")} == {
        one.job_id for one in taken_over
    }
    await world.advance(3 * 86_400)
    for _ in range(2):  # what is replayed goes after its replay
        await remove_expired(world.services)
    assert await world.services.store.query(Query(collection=JOBS)) == []


@pytest.mark.parametrize(
    "wrong", ["image:7", "image-generation", "image-generation:0", "pipeline:91"]
)
def test_a_retention_that_cannot_be_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=f"TYPE_RETENTION_DAYS: '{wrong}'"):
        build_rules(settings(tmp_path, type_retention_days=wrong))
