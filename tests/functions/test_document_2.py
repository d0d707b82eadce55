"""Document 2, word for word: a video, delayed and recurring jobs, retries and limits."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions import documents_text as documents
from functions.job_requests import expect_problem, read_job
from simulation.world import World
from taskreel.config import Settings
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.jobtypes import JOB_TYPES

FENCES = documents.fences()


def as_claimed(world: World, body: dict[str, Any]) -> httpx.AsyncClient:
    """The client of the user that a body claims to be."""
    return world.as_user(body["userId"], projects=[body["projectId"]], tier="pro")


async def test_the_video_of_document_2_is_accepted_verbatim(world: World) -> None:
    path, body = documents.fetch_request(FENCES["2 Creating a Video Generation Job"])
    answer = await as_claimed(world, body).post(path, json=body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["ignoredFields"] == ["userSubscription"]
    assert (job["userId"], job["projectId"]) == (body["userId"], body["projectId"])
    assert job["priority"] == body["priority"]
    await world.advance(60)
    (video,) = (await read_job(as_claimed(world, body), job))["result"]["artifacts"]
    assert (video["width"], video["height"]) == (1920, 1080)  # body["options"]["resolution"]


async def test_a_foreign_user_id_is_refused(ada: httpx.AsyncClient) -> None:
    path, body = documents.fetch_request(FENCES["2 Creating a Video Generation Job"])
    refused = expect_problem(await ada.post(path, json=body), 403, "forbidden")
    assert "userId" in refused["detail"]


@pytest.mark.parametrize("key", ["2 Creating a Delayed Job", "2 Creating a Recurring Job"])
async def test_the_flow_requests_of_document_2_are_accepted_verbatim(
    key: str, world: World
) -> None:
    """Their `data` are bodies of jobs."""
    path, body = documents.fetch_request(FENCES[key])
    user = as_claimed(world, body.get("data", body))
    answer = await user.post(path, json=body)
    assert answer.status_code in (201, 202), answer.text


def test_the_default_retries_and_leases_are_those_of_document_2() -> None:
    text = FENCES["2 Queue Configuration"]
    literal = text[text.index("{") : text.rindex("}") + 1]
    stated = documents.read_literal(literal)
    options, settings = stated["defaultJobOptions"], stated["settings"]
    policy = RetryPolicy()
    assert policy.max_attempts == options["attempts"]
    assert policy.min_backoff_seconds * 1000 == options["backoff"]["delay"]
    wait = policy.backoff_after(2, 0.5) / policy.backoff_after(1, 0.5)
    assert (options["backoff"]["type"], wait) == ("exponential", 2)
    lease = Settings.model_fields["lease_seconds"].default * 1000
    assert lease == settings["lockDuration"] == settings["stalledInterval"]


def test_every_limit_of_document_2_names_a_job_type() -> None:
    text = FENCES["2 Concurrent Limits"]
    stated = documents.read_literal(text[text.index("{") : text.rindex("}") + 1])
    assert stated["type"].keys() <= JOB_TYPES.keys()
