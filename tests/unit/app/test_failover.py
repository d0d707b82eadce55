"""Failover: work is bought once, and no provider is asked twice in a run, after any error."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulation.world import settings as world_settings
from taskreel import wiring
from taskreel.app.pricing.job_plan import plan_units
from taskreel.app.providers.failover import Failover
from taskreel.domain.errors import (
    AMBIGUOUS,
    Category,
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    RunError,
    TemporaryError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.provider_choice import ELSEWHERE_CODES
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes import JOB_TYPES

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
