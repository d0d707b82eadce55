"""The holds that many jobs would make, one after another: what covers them is used up in turn."""

from __future__ import annotations

import httpx

from functions.job_requests import read_balance
from functions.test_projects import make_project
from simulation.world import World
from taskreel.app.jobs.hold_forecast import HoldForecast


async def test_the_holds_before_leave_less_of_an_account(
    world: World, ada: httpx.AsyncClient
) -> None:
    available = (await read_balance(ada))["available"]
    forecast = HoldForecast(world.services)
    assert await forecast.hold("ada", available - 1, None) is None
    assert await forecast.hold("ada", 2, None) == "its owner has too few credits"
    assert await forecast.hold("ada", 1, None) is None
    # Nothing is stored, and another user's account is another.
    assert (await read_balance(ada))["available"] == available
    assert await forecast.hold("bob", 1, "a project that is a label alone") is None


async def test_the_holds_before_leave_less_of_a_project_s_cap(
    world: World, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada)
    capped = await ada.put(f"/api/projects/{project}/caps", json={"daily": 3})
    assert capped.is_success, capped.text
    forecast = HoldForecast(world.services)
    assert await forecast.hold("ada", 2, project) is None
    assert await forecast.hold("ada", 2, project) == "its project's daily spend cap is reached"
    assert await forecast.hold("ada", 0, project) is None
    assert await forecast.hold("ada", 1, project) is None
