"""Headers on every answer: no guessing of types, no framing, no storing of private data."""

from __future__ import annotations

import httpx
import pytest

from functions.job_requests import submit_job
from simulation.world import World


@pytest.mark.parametrize("path", ["/api/jobs", "/api/credits", "/api/nowhere", "/api/jobs/types"])
async def test_answers_are_neither_guessed_nor_framed_nor_stored(
    ada: httpx.AsyncClient, path: str
) -> None:
    headers = (await ada.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_refusals_and_new_jobs_have_them_too(world: World, ada: httpx.AsyncClient) -> None:
    for answer in (await world.api.get("/api/jobs"), await ada.post("/api/jobs/image-generation")):
        assert answer.status_code in {401, 400, 422}
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    job = await submit_job(ada)
    assert (await ada.get(f"/api/jobs/{job['jobId']}")).headers["cache-control"] == "no-store"


async def test_the_documentation_page_may_run_its_own_scripts(world: World) -> None:
    answer = await world.api.get("/api/docs")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
