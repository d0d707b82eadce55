"""Rate limits: submissions in the account, other requests in memory, floods without a token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulation.world import LIMITS, World, running
from taskreel.domain.rate_limit import Rate
from taskreel.rules_setting import parse_limits
from taskreel.store_collections import ACCOUNTS

NOOP = {"prompt": "a red kite", "options": {"studio": {"mode": "noop"}}}
IMAGE = "/api/jobs/image-generation"
QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"


@pytest.fixture
async def rated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    limits = parse_limits(LIMITS)
    assert limits is not None
    small = limits.model_copy(
        update={
            "writes": Rate(per_minute=60, burst=3),
            "reads": Rate(per_minute=60, burst=5),
            "refusals": Rate(per_minute=60, burst=2),
        }
    )
    async with running(tmp_path, monkeypatch, limits=small.model_dump_json(by_alias=True)) as made:
        yield made


async def test_submissions_over_the_limit_answer_429_and_change_nothing(rated: World) -> None:
    ada = rated.as_user("ada")
    for left in (2, 1, 0):
        answer = await ada.post(IMAGE, json=NOOP)
        assert answer.status_code == 202
        assert answer.headers["ratelimit-policy"] == '"writes";q=3;w=3'
        assert answer.headers["ratelimit"].startswith(f'"writes";r={left};t=')
    before = await rated.services.store.get(ACCOUNTS, "ada")
    refused = await ada.post(IMAGE, json=NOOP)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = refused.json()
    assert (problem["type"], problem["violated-policies"]) == (QUOTA, ["writes"])
    retry_after = int(refused.headers["retry-after"])
    assert retry_after >= int(refused.headers["ratelimit"].rpartition("t=")[2])
    assert await rated.services.store.get(ACCOUNTS, "ada") == before

    await rated.advance(retry_after)
    assert (await ada.post(IMAGE, json=NOOP)).status_code == 202


async def test_the_limit_on_submissions_holds_across_instances(rated: World) -> None:
    ada = rated.as_user("ada")
    for _ in range(3):
        await ada.post(IMAGE, json=NOOP)
    account = await rated.services.store.get(ACCOUNTS, "ada")
    assert account is not None
    assert account.writes_at is not None
    assert account.writes_at > rated.now()


async def test_a_repeated_submission_is_answered_although_the_limit_is_reached(
    rated: World,
) -> None:
    ada = rated.as_user("ada")
    key = {"Idempotency-Key": "one"}
    first = await ada.post(IMAGE, json=NOOP, headers=key)
    await ada.post(IMAGE, json=NOOP)
    again = await ada.post(IMAGE, json=NOOP, headers=key)
    assert again.status_code == 202
    assert again.json()["jobId"] == first.json()["jobId"]


async def test_reads_have_a_limit_of_their_own_and_other_users_are_not_touched(
    rated: World,
) -> None:
    ada, bob = rated.as_user("ada"), rated.as_user("bob")
    statuses = [(await ada.get("/api/credits")).status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    assert (await bob.get("/api/credits")).status_code == 200
    assert (await ada.post(IMAGE, json=NOOP)).status_code == 202


async def test_a_flood_without_a_token_is_refused_and_a_token_is_still_served(
    rated: World,
) -> None:
    statuses = [(await rated.api.get("/api/credits")).status_code for _ in range(4)]
    assert statuses == [401] * 2 + [429] * 2
    refused = await rated.api.get("/api/credits")
    assert refused.json()["violated-policies"] == ["refusals"]
    assert (await rated.as_user("ada").get("/api/credits")).status_code == 200


async def test_addresses_are_told_apart_by_the_last_proxy(rated: World) -> None:
    async def status(forwarded: str) -> int:
        answer = await rated.api.get("/api/credits", headers={"X-Forwarded-For": forwarded})
        return answer.status_code

    assert [await status(f"10.0.0.{n}, 203.0.113.9") for n in range(3)] == [401, 401, 429]
    assert await status("10.0.0.1, 203.0.113.10") == 401


async def test_without_limits_there_are_no_fields(ada: httpx.AsyncClient) -> None:
    assert "ratelimit" not in (await ada.get("/api/credits")).headers
