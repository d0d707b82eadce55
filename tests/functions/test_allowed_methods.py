"""405 and `Allow`: the methods of a path, of which several routes may match."""

from __future__ import annotations

import httpx
import pytest

from functions.job_requests import IMAGE, expect_problem
from simulation.world import World


async def test_a_method_that_is_not_there_names_those_that_are(world: World) -> None:
    answer = await world.api.put("/api/credits")
    expect_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", IMAGE, "POST"),
        ("DELETE", IMAGE, "POST"),
        ("GET", "/api/jobs/ai-generation", "POST"),
        ("POST", "/api/jobs/health", "GET"),
        ("POST", "/api/jobs/types", "GET"),
        ("DELETE", "/api/jobs/dead-letters/redrive", "POST"),
        ("PUT", "/api/jobs/job_1", "GET"),
        ("OPTIONS", "/api/jobs/delayed", "POST"),
    ],
)
async def test_a_405_lists_the_methods_of_that_path_not_of_less_specific_ones(
    ada: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await ada.request(method, path)
    expect_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


async def test_a_405_lists_the_methods_of_every_route_with_the_path(ada: httpx.AsyncClient) -> None:
    answer = await ada.patch("/api/jobs/image-generation/job_1")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET")


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("DELETE", "/api/jobs/job_1", "DELETE /api/jobs/{job_type}/{job_id}"),
        ("POST", "/api/jobs/job_1/cancel", "POST /api/jobs/{job_type}/{job_id}/cancel"),
        ("DELETE", "/api/templates", "DELETE /api/templates/{name}"),
    ],
)
async def test_a_405_names_the_route_of_which_a_parameter_is_missing(
    ada: httpx.AsyncClient, method: str, path: str, route: str
) -> None:
    problem = expect_problem(await ada.request(method, path), 405, "method_not_allowed")
    assert f"Use {route}." in problem["detail"]
