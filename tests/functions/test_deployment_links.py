"""Links to Cloud Console: of a deployment, for administrators alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem
from simulation.world import running

DEPLOYED: dict[str, Any] = {"google_cloud_project": "films-prod", "k_service": "jobs-api"}


async def test_an_admin_of_a_deployment_reads_where_its_dashboards_and_logs_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch, **DEPLOYED) as world:
        found = (await world.as_user("root", role="admin").get("/api/deployment")).json()
        assert found["projectId"] == "films-prod"
        links = {link["name"]: httpx.URL(link["url"]) for link in found["consoleLinks"]}
        assert set(links) >= {"Dashboards", "Alerts", "Warnings in the logs"}
        for url in links.values():
            assert (url.scheme, url.host) == ("https", "console.cloud.google.com")
            assert url.params["project"] == "films-prod"
        assert links["Warnings in the logs"].path.endswith("severity>=WARNING")


async def test_no_other_user_sees_the_name_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch, **DEPLOYED) as world:
        refused = await world.as_user("ada").get("/api/deployment")
        expect_problem(refused, 403, "forbidden")
        assert "films-prod" not in refused.text
        for path in ("/api/jobs/health", "/api/jobs/health?deep=true", "/dashboard", "/"):
            assert "films-prod" not in (await world.api.get(path)).text, path


@pytest.mark.parametrize("settings", [{}, {"google_cloud_project": "films-prod"}])
async def test_a_stack_that_is_not_deployed_has_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    async with running(tmp_path, monkeypatch, **settings) as world:
        found = await world.as_user("root", role="admin").get("/api/deployment")
        assert found.json() == {"projectId": None, "consoleLinks": []}
