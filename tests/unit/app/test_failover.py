"""Failover: work is bought once, and no provider is asked twice in a run, after any error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulation.world import settings as world_settings
from taskreel import wiring
from taskreel.app.pricing.job_plan import plan_units
from taskreel.app.providers.circuit_breakers import breaker_id
from taskreel.app.providers.failover import Failover
from taskreel.app.services import Services
from taskreel.domain.breaker import BreakerState
from taskreel.domain.errors import (
    AMBIGUOUS,
    Category,
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    RunError,
    StoreError,
    TemporaryError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.provider_choice import ELSEWHERE_CODES
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import Unit
from taskreel.ports import Transaction

NAMES = ("bfl", "fal", "replicate", "openai")
ERRORS: tuple[RunError, ...] = (
    ProviderDownError("down"),
    TemporaryError("once more"),
    RateLimitedError("wait", retry_after=timedelta(seconds=9)),
    *(
        PermanentError(code, code=code)
        for code in (*sorted(ELSEWHERE_CODES), "moderation", AMBIGUOUS)
    ),
)
IMAGE = JOB_TYPES["image-generation"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    wanted=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    errors=st.lists(st.tuples(st.sampled_from(ERRORS), st.booleans()), min_size=1, max_size=8),
)
async def test_no_provider_serves_twice_and_none_takes_over_bought_work(
    tmp_path: Path, wanted: list[str], errors: list[tuple[RunError, bool]]
) -> None:
    chosen = world_settings(tmp_path, provider_keys=dict.fromkeys(NAMES, "key"))
    services = wiring.build(chosen, wiring.SystemClock())
    asked = IMAGE.submission.model_validate({"prompt": "x", "provider": wanted})
    (run,) = (await plan_units(services, IMAGE, asked)).units
    (unit,) = IMAGE.units(asked)
    now = services.clock.now()
    job = Job(
        job_id="job_1",
        job_type=IMAGE.name,
        status=Status.PROCESSING,
        user_id="ada",
        payload={},
        created_at=now,
        updated_at=now,
        status_at={Status.PROCESSING: now},
        units=(run,),
    )
    failover = Failover(services.providers, services.clock, job, asked, (unit,))
    visited = [run.provider]
    for error, began in errors:
        run = run.model_copy(update={"operation": {"id": "1"} if began else None})
        following: UnitRun | None = await failover.find_replacement(run, unit, error)
        if began or error.code in {AMBIGUOUS, "moderation"}:
            assert following is None
        if following is None:
            break
        assert error.category is Category.PROVIDER_DOWN or error.code in ELSEWHERE_CODES
        visited.append(following.provider)
        run = following
    assert visited == wanted[: len(visited)]
    await services.store.close()


@dataclass
class OneUnit:
    """A job of one unit at the first of two providers."""

    services: Services
    failover: Failover
    run: UnitRun
    unit: Unit

    async def hold_open(self, run: UnitRun) -> None:
        """Open the breaker of the unit's provider, as an administrator does."""

        async def force(tx: Transaction) -> None:
            await self.services.providers.breakers.force_state(
                tx,
                breaker_id(run.provider, run.model),
                BreakerState.OPEN,
                self.services.clock.now(),
            )

        await self.services.store.transaction(force)


@pytest.fixture
async def one_unit(tmp_path: Path) -> AsyncIterator[OneUnit]:
    chosen = world_settings(tmp_path, provider_keys=dict.fromkeys(NAMES, "key"))
    # The machine's clock moves between two looks at it, which virtual time does not.
    services = wiring.build(chosen, wiring.SystemClock())
    asked = IMAGE.submission.model_validate({"prompt": "x", "provider": ["bfl", "fal"]})
    (run,) = (await plan_units(services, IMAGE, asked)).units
    (unit,) = IMAGE.units(asked)
    now = services.clock.now()
    job = Job(
        job_id="job_1",
        job_type=IMAGE.name,
        status=Status.PROCESSING,
        user_id="ada",
        payload={},
        created_at=now,
        updated_at=now,
        status_at={Status.PROCESSING: now},
        units=(run,),
    )
    failover = Failover(services.providers, services.clock, job, asked, (unit,))
    yield OneUnit(services, failover, run, unit)
    await services.store.close()


async def test_a_unit_moves_on_from_a_provider_that_rests_and_waits_when_all_rest(
    one_unit: OneUnit,
) -> None:
    failover = one_unit.failover
    assert await failover.admit_unit(one_unit.run, one_unit.unit) == one_unit.run
    await one_unit.hold_open(one_unit.run)
    moved = await failover.admit_unit(one_unit.run, one_unit.unit)
    assert (one_unit.run.provider, moved.provider) == ("bfl", "fal")
    assert [(one.provider, one.code) for one in failover.tried] == [("bfl", "provider_resting")]
    await one_unit.hold_open(moved)
    with pytest.raises(RateLimitedError) as resting:
        await failover.admit_unit(moved, one_unit.unit)
    assert resting.value.retry_after > timedelta(0)


async def test_a_result_is_not_lost_because_its_breaker_cannot_count_it(
    one_unit: OneUnit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreError("the store is away")

    monkeypatch.setattr(one_unit.services.providers.breakers, "record_result", away)
    await one_unit.failover.record_success(one_unit.run, one_unit.services.clock.now())
    assert [vars(row).get("action") for row in caplog.records] == ["result_uncounted"]
