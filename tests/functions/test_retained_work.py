"""Earlier work that a replay or a retry shows is retained as long as the job that shows it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

import httpx
import pytest

from functions.job_requests import BATCH, submit_job
from functions.pipeline_requests import ended, jobs_of, start, step
from functions.test_audit import audit, write
from functions.test_finished_work import slow_batch
from functions.test_replay import EDITED, failed, replayed
from simulation.world import World
from taskreel.adapters.local.files import FileBlobs
from taskreel.app.audit.job_rules import Rule
from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import StoreError
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitState
from taskreel.ports import Transaction
from taskreel.store_collections import JOBS

DAY = 86_400
#: The paths of files, and the time from which on they are retained.
Renewal = tuple[Sequence[str], datetime]


@pytest.fixture
def renewed(monkeypatch: pytest.MonkeyPatch) -> list[Renewal]:
    """The calls that renew files; nothing is renewed."""
    calls: list[Renewal] = []

    async def renew(_blobs: FileBlobs, paths: Sequence[str], at: datetime, /) -> None:
        calls.append((paths, at))

    monkeypatch.setattr(FileBlobs, "renew", renew)
    return calls


def list_renewed_paths(renewed: list[Renewal]) -> list[str]:
    return sorted(path for paths, _ in renewed for path in paths)


def picture_at(path: str, sha256: str) -> Artifact:
    return Artifact(path=path, name="a.png", content_type="image/png", bytes=1, sha256=sha256)


async def test_the_files_that_a_replay_takes_over_are_retained_from_now_on(
    world: World, ada: httpx.AsyncClient, renewed: list[Renewal]
) -> None:
    body = {"prompts": ["a", "b"], "options": {"studio": {"mode": "noop"}}}
    job = await submit_job(ada, body, BATCH)
    await world.settle()
    stored = await world.job(job["jobId"])
    file = picture_at("artifacts/of_the_first/a.png", "0" * 64)
    units = (
        stored.units[0].with_changes(artifacts=(file,)),
        stored.units[1].with_changes(state=UnitState.FAILED),
    )
    await world.put(stored.model_copy(update={"units": units}))
    assert renewed == []
    await world.advance(DAY)
    again = await replayed(ada, job)
    assert renewed == [], "the API may only read the bucket"
    await world.settle()
    ((paths, at),) = renewed
    assert (paths, at) == ([file.path], (await world.job(again["jobId"])).updated_at)


async def test_the_files_of_jobs_that_a_pipeline_adopts_are_retained_from_now_on(
    world: World, ada: httpx.AsyncClient, renewed: list[Renewal]
) -> None:
    job = await failed(world, ada)
    of_step = await jobs_of(world, job["jobId"], "first")
    for number, child in enumerate(of_step):
        file = picture_at(f"artifacts/{child.job_id}/a.png", str(number) * 64)
        (unit,) = child.units
        await world.put(child.model_copy(update={"units": (unit.with_changes(artifacts=(file,)),)}))
    await ended(world, ada, await replayed(ada, job, edit=EDITED), "COMPLETED")
    assert list_renewed_paths(renewed) == sorted(f"artifacts/{one.job_id}/a.png" for one in of_step)


async def fail_half_done(world: World, client: httpx.AsyncClient) -> tuple[dict[str, str], Job]:
    """A batch of which some pictures were made before it failed at its deadline."""
    options = {"width": 64, "height": 64, "studio": {"mode": "slow", "seconds": 3}}
    job = await submit_job(client, slow_batch(10, deadlineSeconds=20, options=options), BATCH)
    await world.advance(12)
    stored = await world.job(job["jobId"])
    await world.put(stored.with_changes(world.now(), fence=stored.fence + 1, lease_until=None))
    await world.advance(60)
    await world.sweep()
    stored = await world.job(job["jobId"])
    assert 0 < len(stored.artifacts) < 10
    return job["urls"], stored


async def retry_to_the_end(
    world: World, client: httpx.AsyncClient, urls: dict[str, str], job_id: str
) -> Job:
    answer = await client.post(urls["retry"])
    assert answer.status_code == 202, answer.text
    await world.put((await world.job(job_id)).with_changes(world.now(), finish_by=None))
    await world.advance(120)
    return await world.job(job_id)


async def test_the_files_of_an_earlier_round_are_renewed_when_the_retried_job_ends(
    world: World, ada: httpx.AsyncClient, renewed: list[Renewal]
) -> None:
    urls, first = await fail_half_done(world, ada)
    assert renewed == [], "a job that shows its own work alone renews nothing"
    job = await retry_to_the_end(world, ada, urls, first.job_id)
    assert job.status == "COMPLETED"
    assert list_renewed_paths(renewed) == sorted(file.path for file in first.artifacts)


async def test_a_job_completes_though_the_bucket_does_not_renew_its_files(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def renew(_blobs: FileBlobs, _paths: Sequence[str], _at: datetime, /) -> None:
        raise StoreError("the bucket is away")

    monkeypatch.setattr(FileBlobs, "renew", renew)
    urls, first = await fail_half_done(world, ada)
    with caplog.at_level(logging.WARNING):
        job = await retry_to_the_end(world, ada, urls, first.job_id)
    assert job.status == "COMPLETED"
    actions = [getattr(record, "action", None) for record in caplog.records]
    assert actions.count("files_not_renewed") == 1


async def test_the_files_of_an_earlier_round_are_renewed_when_it_ends_without_a_run(
    world: World, ada: httpx.AsyncClient, renewed: list[Renewal]
) -> None:
    urls, first = await fail_half_done(world, ada)
    world.cut_off = True
    assert (await ada.post(urls["retry"])).status_code == 202
    assert (await ada.delete(urls["cancel"])).status_code == 200
    assert renewed == [], "the API may only read the bucket"
    world.cut_off = False
    assert (await audit(world)).violations == []
    await world.advance(121)
    await world.sweep()
    await world.settle()
    assert list_renewed_paths(renewed) == sorted(file.path for file in first.artifacts)
    job = await world.job(first.job_id)
    assert (job.status, job.wake_at) == ("CANCELLED", None)
    assert (await audit(world)).violations == []


async def test_a_bucket_that_was_away_at_the_end_renews_the_files_later(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Renewal] = []
    is_away = True

    async def renew(_blobs: FileBlobs, paths: Sequence[str], at: datetime, /) -> None:
        if is_away:
            raise StoreError("the bucket is away")
        calls.append((paths, at))

    monkeypatch.setattr(FileBlobs, "renew", renew)
    urls, first = await fail_half_done(world, ada)
    job = await retry_to_the_end(world, ada, urls, first.job_id)
    assert job.status == "COMPLETED"
    is_away = False
    await world.advance(121)
    await world.sweep()
    await world.settle()
    assert list_renewed_paths(calls) == sorted(file.path for file in first.artifacts)
    assert (await world.job(first.job_id)).wake_at is None


async def test_a_cancelled_replay_can_be_deleted_at_once(
    world: World, ada: httpx.AsyncClient
) -> None:
    urls, first = await fail_half_done(world, ada)
    world.cut_off = True
    again = (await ada.post(urls["self"] + "/replay", json={})).json()
    assert first.job_id in (await world.job(again["jobId"])).lineage
    assert (await ada.delete(again["urls"]["cancel"])).status_code == 200
    assert (await ada.delete(again["urls"]["cancel"])).status_code == 204


async def replay_late(world: World, client: httpx.AsyncClient) -> tuple[str, Job]:
    """The id of a failed pipeline, and its replay of 80 days later that adopted a step of it."""
    payload = {"prompt": "a kite", "options": {"width": 64, "height": 64}}
    draw = {"type": "image-generation", "payload": payload}
    pictures = {"draw": draw, "last": {**step("fail-permanent"), "after": ["draw"]}}
    first = await ended(world, client, await start(client, **pictures), "FAILED")
    await world.advance(80 * DAY)
    client = world.as_user("ada")
    again = await ended(world, client, await replayed(client, first, edit=EDITED), "COMPLETED")
    return first["jobId"], await world.job(again["jobId"])


async def test_adopted_child_jobs_are_retained_as_long_as_the_replay(
    world: World, ada: httpx.AsyncClient
) -> None:
    first_id, again = await replay_late(world, ada)
    (child,) = await jobs_of(world, first_id, "draw")
    assert child.artifacts
    assert child.expire_at is not None
    assert again.expire_at is not None
    assert child.expire_at >= again.expire_at


async def test_a_store_that_removes_a_replayed_pipeline_by_its_age_raises_no_alarm(
    world: World, ada: httpx.AsyncClient
) -> None:
    first_id, again = await replay_late(world, ada)
    failed_child = (await jobs_of(world, first_id, "last"))[0].job_id
    await write(world, lambda tx: tx.delete(JOBS, first_id))
    report = await audit(world)
    assert [one.rule for one in report.violations].count(Rule.FAMILY) == 2, "it is too early"

    await world.advance(11 * DAY)
    await write(world, lambda tx: tx.delete(JOBS, failed_child))
    assert (await audit(world)).violations == []
    assert again.expire_at is not None
    assert again.expire_at > world.now() + timedelta(days=70)


async def test_child_jobs_that_expired_before_their_pipeline_raise_no_alarm(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await failed(world, ada)
    children = await jobs_of(world, job["jobId"])

    def remove_children(tx: Transaction) -> None:
        for child in children:
            tx.delete(JOBS, child.job_id)

    await write(world, remove_children)
    rules = {one.rule for one in (await audit(world)).violations}
    assert Rule.PAID_WORK in rules, "their retention is not over"
    await world.advance(90 * DAY)
    assert (await audit(world)).violations == []


async def forecast_retries(user: httpx.AsyncClient, job_type: str) -> list[int]:
    """The cost of retrying all failed jobs: as a redrive and as a bulk operation."""
    redrive = {"jobType": job_type, "limit": 5, "dryRun": True}
    order = {"action": "retry", "filter": {"status": ["FAILED"]}, "limit": 5, "dryRun": True}
    answers = [
        await user.post("/api/jobs/dead-letters/redrive", json=redrive),
        await user.post("/api/operations", json=order),
    ]
    return [answer.json()["cost"] for answer in answers]


@pytest.mark.parametrize("verb", ["replay", "retry"])
async def test_steps_whose_adopted_jobs_are_gone_are_done_again_within_the_quote(
    world: World, ada: httpx.AsyncClient, verb: str
) -> None:
    """An earlier release let adopted child jobs expire by their own age."""
    job = await failed(world, ada)
    adopted = await jobs_of(world, job["jobId"], "first")
    again = await ended(world, ada, await replayed(ada, job), "FAILED")
    before = await forecast_retries(ada, job["jobType"])

    def remove_adopted(tx: Transaction) -> None:
        for child in adopted:
            tx.delete(JOBS, child.job_id)

    await write(world, remove_adopted)
    if verb == "replay":
        third = await replayed(ada, again, edit=EDITED)
        assert third["credits"]["held"] == 3
        third = await ended(world, ada, third, "COMPLETED")
        assert third["credits"]["captured"] == 3
    else:
        # What is said before it is done counts them, too.
        assert await forecast_retries(ada, job["jobType"]) == [
            cost + len(adopted) for cost in before
        ]
        answer = await ada.post(again["urls"]["retry"])
        assert answer.json()["credits"]["held"] == 3
        third = await ended(world, ada, again, "FAILED")
        assert third["error"]["code"] == "studio_failed"
    assert len(await jobs_of(world, third["jobId"], "first")) == len(adopted)
