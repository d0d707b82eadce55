"""The audit compares what a replay took over with the jobs that it replays, and adds both up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from functions.job_requests import BATCH, submit_job
from functions.pipeline_requests import ended, fan, jobs_of, start
from functions.test_audit import audit, change_job, write
from functions.test_cached_steps import complete_pipeline
from functions.test_cached_steps import step as cached_step
from functions.test_finished_work import cancel, slow_batch
from functions.test_replay import EDITED, failed, replayed
from simulation.world import World, running
from taskreel.app.audit.job_rules import Rule
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitState
from taskreel.ports import Query
from taskreel.store_collections import JOBS, LEDGER


async def replay_half_a_batch(world: World, client: httpx.AsyncClient) -> tuple[Job, Job]:
    """A batch that was cancelled half done, and the replay that made the rest."""
    options = {"width": 64, "height": 64, "studio": {"mode": "slow", "seconds": 3}}
    first = await submit_job(client, slow_batch(4, options=options), BATCH)
    await world.advance(8)
    first = await cancel(client, first)
    again = await ended(world, client, await replayed(client, first), "COMPLETED", seconds=60)
    jobs = await world.job(first["jobId"]), await world.job(again["jobId"])
    assert [unit.credits for unit in jobs[1].units].count(0) == len(jobs[0].done_units) > 0
    return jobs


async def undo_the_source(world: World, first: Job, _again: Job) -> None:
    units = [
        unit.with_changes(state=UnitState.FAILED, artifacts=(), credits=0) for unit in first.units
    ]
    await change_job(world, first, units=tuple(units))


async def take_another_place(world: World, _first: Job, again: Job) -> None:
    taken_over, *others = again.units
    assert taken_over.credits == 0
    await change_job(world, again, units=(taken_over, *others[:-1], taken_over))


async def take_from_a_stranger(world: World, _first: Job, again: Job) -> None:
    await change_job(world, again, lineage=())


async def refund_the_source(world: World, first: Job, _again: Job) -> None:
    rows = await world.services.store.query(Query(collection=LEDGER))
    (entry,) = [row.value for row in rows if row.value.job_id == first.job_id]
    await write(world, lambda tx: tx.update(LEDGER, entry.entry_id, {"amount": 0}))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (undo_the_source, "of a unit that is not done"),
        (take_another_place, "no job that it replays has done it"),
        (take_from_a_stranger, "of a job that it does not replay"),
        (refund_the_source, "their finished units cost 4"),
    ],
)
async def test_work_that_was_taken_over_for_nothing_is_compared_with_its_source(
    damage: Callable[[World, Job, Job], Awaitable[None]],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        jobs = await replay_half_a_batch(world, world.as_user("ada"))
        assert (await audit(world, with_files=True)).violations == []
        await damage(world, *jobs)
        found = [one for one in (await audit(world)).violations if one.rule is Rule.LINEAGE]
        assert any(text in one.text for one in found), found


async def test_child_jobs_that_a_replayed_pipeline_took_over_were_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        client = world.as_user("ada")
        job = await failed(world, client)
        again = await replayed(client, job, edit=EDITED)
        await ended(world, client, again, "COMPLETED")
        assert (await audit(world, with_files=True)).violations == []
        child, *_ = await jobs_of(world, job["jobId"], "first")
        await change_job(world, child, step="last")
        found = [one for one in (await audit(world)).violations if one.rule is Rule.LINEAGE]
        assert [(one.subject, "took over 2" in one.text) for one in found] == [
            (f"job {again['jobId']}", True)
        ]


async def test_each_round_of_a_job_captures_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second round that captured nothing was excused by what the first one had captured."""
    async with running(tmp_path, monkeypatch) as world:
        client = world.as_user("ada")
        job = await start(client, many=fan("noop", "noop", "fail-permanent"))
        await ended(world, client, job, "FAILED")
        stored = await world.job(job["jobId"])
        edited = fan("noop", "noop", "noop")
        await change_job(world, stored, payload={**stored.payload, "steps": {"many": edited}})
        answer = await client.post(f"/api/jobs/pipeline/{job['jobId']}/retry")
        assert answer.status_code == 202, answer.text
        again = await ended(world, client, job, "COMPLETED")
        assert again["credits"]["captured"] == 1
        assert (await audit(world, with_files=True)).violations == []
        stored = await world.job(job["jobId"])
        free = stored.credits.model_copy(update={"captured": 0, "released": 1})
        await change_job(world, stored, credits=free)
        assert Rule.PAID_WORK in {one.rule for one in (await audit(world)).violations}


async def adopt_a_cached_step(world: World, client: httpx.AsyncClient) -> tuple[Job, Job]:
    """The child job of a step that found its work in the cache, and a replay that adopted it."""
    await complete_pipeline(world, client, draw=cached_step())
    second = await complete_pipeline(world, client, draw=cached_step())
    again = await ended(world, client, await replayed(client, second), "COMPLETED")
    (child,) = await jobs_of(world, second["jobId"])
    return child, await world.job(again["jobId"])


async def test_a_replay_shows_the_cached_work_of_the_step_that_it_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the simulator, seed 300033: it was called the file of a job not replayed."""
    async with running(tmp_path, monkeypatch) as world:
        child, again = await adopt_a_cached_step(world, world.as_user("ada"))
        assert again.artifacts == child.artifacts
        assert child.job_id not in child.artifacts[0].path
        assert (await audit(world, with_files=True)).violations == []
        made = {name: run.with_changes(adopted=0) for name, run in again.steps.items()}
        await change_job(world, again, steps=made)
        (found,) = (await audit(world)).violations
        assert "of a job that it does not replay" in found.text, "it has adopted nothing"


async def test_a_cached_step_that_expired_before_its_pipeline_raises_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        child, _ = await adopt_a_cached_step(world, world.as_user("ada"))
        await write(world, lambda tx: tx.delete(JOBS, child.job_id))
        texts = [one.text for one in (await audit(world)).violations]
        assert any("of a job that it does not replay" in text for text in texts), texts
        await world.advance(90 * 86_400)
        await world.sweep()
        await world.settle()
        assert (await audit(world)).violations == []
