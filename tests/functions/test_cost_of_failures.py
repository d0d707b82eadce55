"""The cost of calls that failed: what their provider bills all the same is in every sum."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.fake_providers import KITE, ProviderSetup, StartProviders
from functions.job_requests import read_job, submit_job
from providers.fake_provider import Fault
from providers.runway.fake import FakeRunway

WAVES = {
    "prompt": "waves",
    "provider": "runway",
    "model": "gen4_image",
    "retry": {"maxAttempts": 2, "minBackoffSeconds": 5, "maxBackoffSeconds": 5},
}


async def start_runway(start_providers: StartProviders, billed: int) -> ProviderSetup:
    setup = await start_providers("runway", stand_in_provider=None)
    fake = setup.fakes["runway"]
    assert isinstance(fake, FakeRunway)
    fake.billed = billed
    return setup


async def read_failures(user: httpx.AsyncClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await user.get(f"/api/jobs/{job['jobId']}/history")
    failures: list[dict[str, Any]] = answer.json()["failedAttempts"]
    return failures


async def read_spend(setup: ProviderSetup, job_type: str) -> tuple[float, dict[str, float]]:
    """The dollars of the job type, and of each model, in the administrators' statistics."""
    await setup.world.advance(10)
    admin = setup.user("root", role="admin")
    rows = (await admin.get("/api/jobs/performance?days=2")).json()["days"]
    models = (await admin.get("/api/providers/performance?days=2")).json()["days"]
    total = sum(row.get("costUsd", 0.0) for row in rows if row["jobType"] == job_type)
    return total, {f"{one['provider']}/{one['model']}": one["costUsd"] for one in models}


async def test_a_failed_attempt_that_was_billed_is_part_of_the_jobs_cost(
    start_providers: StartProviders,
) -> None:
    setup = await start_runway(start_providers, 60)
    ada = setup.user()
    setup.fakes["runway"].fault = Fault.FAILED
    job = await submit_job(ada, WAVES)
    while (await read_job(ada, job))["status"] != "RETRYING":
        await setup.world.advance(2)
    setup.fakes["runway"].fault = None
    await setup.world.advance(120)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 2), done["error"]
    assert (done["costUsd"], done["costEstimated"]) == (1.20, False)
    (failure,) = await read_failures(ada, job)
    assert (failure["code"], failure["costUsd"]) == ("operation_failed", 0.60)
    assert "costEstimated" not in failure
    # Its user pays the price of one picture.
    assert done["credits"]["captured"] == job["credits"]["held"]


async def test_a_job_that_failed_has_cost_what_its_attempts_were_billed(
    start_providers: StartProviders,
) -> None:
    setup = await start_runway(start_providers, 60)
    ada = setup.user()
    setup.fakes["runway"].fault = Fault.FAILED
    job = await submit_job(ada, WAVES)
    await setup.world.advance(120)
    failed = await read_job(ada, job)
    assert (failed["status"], failed["costUsd"]) == ("FAILED", 1.20)
    assert failed["credits"]["captured"] == 0
    total, models = await read_spend(setup, "image-generation")
    assert (total, models) == (1.20, {"runway/gen4_image": 1.20})

    # The next round adds its own cost, and counts no dollar twice.
    setup.fakes["runway"].fault = None
    assert (await ada.post(failed["urls"]["retry"])).status_code == 202
    await setup.world.advance(120)
    done = await read_job(ada, job)
    assert (done["status"], done["costUsd"]) == ("COMPLETED", 1.80)
    total, models = await read_spend(setup, "image-generation")
    assert (total, models) == (1.80, {"runway/gen4_image": 1.80})


async def test_a_task_that_was_refunded_costs_nothing(start_providers: StartProviders) -> None:
    setup = await start_runway(start_providers, 0)
    setup.fakes["runway"].fault = Fault.FAILED
    job = await setup.run_job(WAVES)
    assert (job["status"], job["costUsd"]) == ("FAILED", 0)
    assert [one["costUsd"] for one in await read_failures(setup.user(), job)] == [0, 0]


async def test_a_result_that_cannot_be_fetched_costs_its_price(
    start_providers: StartProviders,
) -> None:
    setup = await start_runway(start_providers, 60)
    setup.fakes["runway"].fault = Fault.EXPIRED
    job = await setup.run_job(WAVES, seconds=600)
    assert (job["status"], job["error"]["code"]) == ("FAILED", "result_unreachable")
    assert (job["costUsd"], job["costEstimated"]) == (0.60, False)


async def test_the_cost_of_such_a_result_is_an_estimate_where_the_provider_names_none(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("fal", stand_in_provider=None)
    setup.fakes["fal"].fault = Fault.EXPIRED
    kite = {**KITE, "provider": "fal", "model": "flux-dev"}
    job = await setup.run_job(kite, seconds=600)
    assert (job["status"], job["error"]["code"]) == ("FAILED", "result_unreachable")
    assert job["costUsd"] == pytest.approx(0.025, rel=0.3)
    assert job["costEstimated"] is True
    failure = (await read_failures(setup.user(), job))[-1]
    assert (failure["costUsd"], failure["costEstimated"]) == (job["costUsd"], True)
