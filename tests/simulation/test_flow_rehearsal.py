"""Flow control in rehearsal: fairness, waits by tier, limits, and slots under lost admissions."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from simulation.rehearsal import Arrival, Rehearsal, draw_seconds, percentile
from simulation.world import LIMITS, World, running
from taskreel.app.flow.admission import admit_after_end
from taskreel.app.jobs import enqueue
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.rate_limit import Rate
from taskreel.rules_setting import parse_limits

TIERS = ("free", "basic", "pro", "enterprise")


def limits_with(window: int, **changes: Any) -> str:
    """The declared limits, with another window and no rate limit in the way."""
    declared = parse_limits(LIMITS)
    assert declared is not None
    unlimited = Rate(per_minute=1_000_000, burst=1_000_000)
    changed = declared.model_copy(
        update={"windows": {"image-generation": window}, "writes": unlimited, **changes}
    )
    return changed.model_dump_json(by_alias=True)


def running_limited(folder: Path, patch: pytest.MonkeyPatch, limits: str) -> Any:
    folder.mkdir(exist_ok=True)
    return running(folder, patch, limits=limits, initial_credits=1_000_000)


def single_jobs(seed: int) -> list[Arrival]:
    draw = random.Random(seed)
    return [
        Arrival(0.5 * n, f"single-{n}", "free", draw_seconds(draw, 4.5), "normal")
        for n in range(100)
    ]


async def wait_of_singles(world: World, whale_jobs: int, tier: str) -> list[float]:
    """The waits of a hundred users with one job each, beside a user with many."""
    rehearsal = Rehearsal(world)
    draw = random.Random(11)
    whale = [
        Arrival(0.0, "whale", tier, draw_seconds(draw, 4.5), "normal") for _ in range(whale_jobs)
    ]
    await rehearsal.run([*whale, *single_jobs(7)], look_every=1e9)
    await rehearsal.pass_until(120)
    waits = await rehearsal.waits()
    singles = [wait for user, found in waits.items() if user != "whale" for wait in found]
    assert len(singles) == 100
    return singles


@pytest.mark.slow
async def test_a_user_with_ten_thousand_jobs_does_not_delay_a_hundred_with_one_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten jobs of the type run at a time, and the one user alone may run ten."""
    limits = limits_with(10)
    async with running_limited(tmp_path / "alone", monkeypatch, limits) as world:
        alone = await wait_of_singles(world, 0, "enterprise")
    async with running_limited(tmp_path / "beside", monkeypatch, limits) as world:
        beside = await wait_of_singles(world, 10_000, "enterprise")
    assert percentile(beside, 0.99) <= 2 * max(percentile(alone, 0.99), 1.0)


@pytest.mark.slow
async def test_tiers_wait_in_order_and_no_limit_is_exceeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rush of twenty minutes at more than the machines can do, then it drains."""
    draw = random.Random(3)
    arrivals = []
    for n in range(1500):
        tier = TIERS[n % 4]
        user = f"{tier}-{draw.randrange(40)}"
        arrivals.append(Arrival(draw.uniform(0, 600), user, tier, draw_seconds(draw, 5)))
    async with running_limited(tmp_path, monkeypatch, limits_with(10)) as world:
        rehearsal = Rehearsal(world)
        await rehearsal.run(arrivals)
        await rehearsal.finish(within=3600)
        assert {job.status for job in await rehearsal.jobs()} == {Status.COMPLETED}
        assert rehearsal.most_open <= 10
        await rehearsal.check_accounts()
        waits = await rehearsal.waits()
    by_tier = {
        tier: [wait for user, found in waits.items() if user.startswith(tier) for wait in found]
        for tier in TIERS
    }
    medians = [percentile(by_tier[tier], 0.5) for tier in ("enterprise", "basic", "free")]
    assert medians == sorted(medians)
    # An offset cannot starve: what arrives 300 s later does not go before.
    assert max(by_tier["free"]) <= max(by_tier["enterprise"]) + 300 + 600


@pytest.mark.slow
async def test_lost_admissions_leak_no_slot_and_stop_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One admission in five is lost, as if its process had died after the settlement."""
    draw = random.Random(5)
    lost = 0

    async def lose_some(services: Services, job: Job) -> list[Job]:
        nonlocal lost
        if draw.random() < 0.2:
            lost += 1
            return []
        return await admit_after_end(services, job)

    monkeypatch.setattr(enqueue, "admit_after_end", lose_some)
    arrivals = [
        Arrival(draw.uniform(0, 300), f"{TIERS[n % 4]}-{n % 24}", TIERS[n % 4], 3.0)
        for n in range(400)
    ]
    async with running_limited(tmp_path, monkeypatch, limits_with(10)) as world:
        rehearsal = Rehearsal(world)
        await rehearsal.run(arrivals)
        await rehearsal.finish(within=7200)
        assert lost > 20
        assert rehearsal.most_open <= 10
        await rehearsal.check_accounts()
