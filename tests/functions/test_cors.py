"""Pages call the API from a browser: those of the origins that CORS_ORIGINS names, no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, NOOP
from simulation.world import running

APP = "https://app.example.com"
ROUTES = [("POST", IMAGE), ("GET", "/api/jobs"), ("GET", "/api/jobs/job_none")]


async def preflight(api: httpx.AsyncClient, origin: str, path: str, method: str) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,prefer",
    }
    return await api.options(path, headers=headers)


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("DELETE", f"{IMAGE}/job_none")])
async def test_a_named_origin_may_call_every_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    async with running(tmp_path, monkeypatch, cors_origins=f"{APP},http://localhost:*") as world:
        for origin in (APP, "http://localhost:5173", "http://localhost"):
            allowed = await preflight(world.api, origin, path, method)
            assert allowed.status_code == 200, allowed.text
            assert allowed.headers["access-control-allow-origin"] == origin
            assert method in allowed.headers["access-control-allow-methods"]
            assert "access-control-allow-credentials" not in allowed.headers
            answer = await world.as_user().request(method, path, headers={"Origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
            assert "Location" in answer.headers["access-control-expose-headers"]
            assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "http://localhost:1.evil",
        "null",
    ],
)
async def test_any_other_origin_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    async with running(tmp_path, monkeypatch, cors_origins=f"{APP},http://localhost:*") as world:
        for method, path in ROUTES:
            refused = await preflight(world.api, origin, path, method)
            assert refused.status_code == 400
            assert "access-control-allow-origin" not in refused.headers
            answer = await world.as_user().request(method, path, headers={"Origin": origin})
            assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origins", ["", "*"])
async def test_without_the_setting_no_origin_may_and_a_star_is_every_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origins: str
) -> None:
    async with running(tmp_path, monkeypatch, cors_origins=origins) as world:
        made: Any = await world.as_user().post(IMAGE, json=NOOP, headers={"Origin": APP})
        assert made.status_code == 202
        assert made.headers.get("access-control-allow-origin", "") == origins
