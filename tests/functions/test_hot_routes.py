"""The routes that pass FastAPI by answer as FastAPI does with the same handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, NOOP, submit_job
from simulation.world import World, running
from taskreel.web import public_api
from taskreel.web.http import MAX_BODY_BYTES

WITH_QUOTE = f"{IMAGE}?validateOnly=true"
#: Name, method, path, content, and headers; `{job}` is a job that has ended.
REQUESTS: list[tuple[str, str, str, bytes, dict[str, str]]] = [
    ("a quote", "POST", WITH_QUOTE, b'{"prompt": "x"}', {}),
    ("a keyed job again", "POST", IMAGE, b'{"prompt": "keyed"}', {"Idempotency-Key": "k1"}),
    ("a reused key", "POST", IMAGE, b'{"prompt": "other"}', {"Idempotency-Key": "k1"}),
    ("a key that is empty", "POST", IMAGE, b'{"prompt": "x"}', {"Idempotency-Key": '""'}),
    ("an unknown parameter", "POST", f"{IMAGE}?validateonly=true", b"{}", {}),
    ("no body", "POST", IMAGE, b"", {}),
    ("no JSON", "POST", IMAGE, b"{", {}),
    ("no object", "POST", IMAGE, b"[]", {}),
    ("a field that is unknown", "POST", IMAGE, b'{"prompt": "x", "colour": 1}', {}),
    ("too large a body", "POST", IMAGE, b" " * (MAX_BODY_BYTES + 1), {}),
    ("no token", "POST", IMAGE, b"{}", {"Authorization": ""}),
    ("a wrong token", "GET", "/api/jobs/{job}", b"", {"Authorization": "Bearer x.y.z"}),
    ("no token for a job", "GET", "/api/jobs/{job}", b"", {"Authorization": ""}),
    ("a job", "GET", "/api/jobs/{job}", b"", {}),
    ("a job of a type", "GET", "/api/jobs/image-generation/{job}", b"", {}),
    ("a job of another type", "GET", "/api/jobs/pipeline/{job}", b"", {}),
    ("a job that does not exist", "GET", "/api/jobs/job_none", b"", {}),
    ("an id that is too long", "GET", f"/api/jobs/job_{'x' * 2000}", b"", {}),
    ("waiting", "GET", "/api/jobs/{job}", b"", {"Prefer": "wait=1"}),
]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch, initial_credits=1000) as made:
        yield made


async def send(
    client: httpx.AsyncClient, job: str, request: tuple[str, str, str, bytes, dict[str, str]]
) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body; what differs between two answers to one request is left out."""
    _, method, path, content, headers = request
    answer = await client.request(
        method, path.replace("{job}", job), content=content, headers=headers
    )
    found = dict(answer.headers)
    assert found.pop("x-request-id")
    return answer.status_code, found, answer.json()


@pytest.mark.parametrize("request_", REQUESTS, ids=[one[0] for one in REQUESTS])
async def test_a_hot_route_answers_as_the_same_handler_does_behind_fastapi(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    request_: tuple[str, str, str, bytes, dict[str, str]],
) -> None:
    job = (await submit_job(ada))["jobId"]
    await world.process(job)
    keyed = await ada.post(IMAGE, json={"prompt": "keyed"}, headers={"Idempotency-Key": "k1"})
    assert keyed.status_code == 202

    hot = await send(ada, job, request_)
    monkeypatch.setattr(public_api, "_find_hot_handler", lambda _scope: None)
    assert hot == await send(ada, job, request_)


async def test_a_new_job_is_the_same_behind_fastapi(
    ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hot = await ada.post(IMAGE, json=NOOP)
    monkeypatch.setattr(public_api, "_find_hot_handler", lambda _scope: None)
    behind = await ada.post(IMAGE, json=NOOP)
    assert hot.status_code == behind.status_code == 202
    assert hot.headers.keys() == behind.headers.keys()
    ids = hot.json()["jobId"], behind.json()["jobId"]
    changing = {"jobId", "urls", "createdAt", "updatedAt", "statusAt", "nextAttemptAt"}
    first, second = (
        {name: value for name, value in answer.json().items() if name not in changing}
        for answer in (hot, behind)
    )
    assert first == second
    assert hot.json()["urls"] == {
        name: url.replace(ids[1], ids[0]) for name, url in behind.json()["urls"].items()
    }


@pytest.mark.parametrize("hot", [True, False])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_crash_is_answered_and_logged_once_on_both_ways(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    hot: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    async def crash(*_: Any) -> None:
        raise RuntimeError("a secret of the implementation")

    if not hot:
        monkeypatch.setattr(public_api, "_find_hot_handler", lambda _scope: None)
    monkeypatch.setattr(type(world.services.store), "get", crash)
    monkeypatch.setattr(type(world.services.store), "transaction", crash)
    path = IMAGE if method == "POST" else "/api/jobs/job_x"
    answer = await ada.request(method, path, json=NOOP)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert [row.message for row in caplog.records].count("request crashed") == 1


async def test_other_routes_below_the_same_path_are_not_taken_for_jobs(
    world: World, ada: httpx.AsyncClient
) -> None:
    assert (await world.api.get("/api/jobs/health")).json()["status"] == "healthy"
    assert "jobTypes" in (await world.api.get("/api/jobs/types")).json()
    refused = await ada.put(IMAGE)
    assert refused.status_code == 405
    unknown = await ada.post("/api/jobs/imagegeneration", json={})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    slash = await ada.post(f"{IMAGE}/", json=NOOP)
    assert slash.status_code in {307, 404}
    assert slash.headers["x-content-type-options"] == "nosniff"
