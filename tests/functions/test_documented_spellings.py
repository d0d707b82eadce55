"""Requests in the spellings of the documents and of older services; refusals that show the way."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from functions import documents_text as documents
from functions.job_requests import IMAGE, NOOP, VIDEO, expect_problem, read_job, submit_job
from simulation.world import ROOT, World
from taskreel import store_collections
from taskreel.domain.job import Job
from taskreel.ports import Collection


@pytest.mark.parametrize("given", ["high", "HIGH", "High"])
async def test_a_priority_is_taken_in_any_case(given: str, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, {**NOOP, "priority": given})
    assert (job["priority"], job["payload"]["priority"]) == ("high", "high")


async def test_a_priority_that_does_not_exist_is_refused_with_the_three(
    ada: httpx.AsyncClient,
) -> None:
    for given in ("urgent", 1, None):
        refused = expect_problem(
            await ada.post(IMAGE, json={**NOOP, "priority": given}), 422, "invalid_request"
        )
        assert "high, normal or low" in refused["detail"]


async def test_a_dependency_may_be_the_id_alone(world: World, ada: httpx.AsyncClient) -> None:
    first, second = await submit_job(ada), await submit_job(ada)
    wanted = [first["jobId"], {"jobId": second["jobId"], "onFailure": "ignore"}]
    job = await submit_job(ada, {**NOOP, "dependsOn": wanted})
    assert job["status"] == "BLOCKED"
    assert job["payload"]["dependsOn"][0] == {"jobId": first["jobId"]}
    await world.advance(5)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        (["job_none"], "dependsOn[0].jobId"),
        ([""], "dependsOn[0].jobId"),
        ([5], "dependsOn[0]"),
        ("job_none", "dependsOn"),
    ],
)
async def test_a_dependency_on_nothing_is_refused_with_its_place(
    wanted: Any, path: str, ada: httpx.AsyncClient
) -> None:
    answer = await ada.post(IMAGE, json={**NOOP, "dependsOn": wanted})
    refused = expect_problem(answer, 422, "invalid_request")
    assert [one["path"] for one in refused["errors"]] == [path]


async def test_the_queue_of_webhooks_is_a_name_of_its_job_type(ada: httpx.AsyncClient) -> None:
    body = {"webhookUrl": "https://93.184.216.34/hooks", "payload": {"a": 1}, "retryCount": 0}
    answer = await ada.post("/api/jobs/webhook-processing?validateOnly=true", json=body)
    assert (answer.status_code, answer.json()["valid"]) == (200, True)


@pytest.mark.parametrize("name", ["dall-e", "dalle", "stability-ai"])
async def test_providers_are_known_by_the_names_of_document_2(
    name: str, ada: httpx.AsyncClient
) -> None:
    body = {"prompt": "A kite", "provider": name}
    answer = await ada.post(f"{IMAGE}?validateOnly=true", json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "path", "place"),
    [
        ({"prompt": "x", "seed": 5}, "seed", "options.seed"),
        ({"prompt": "x", "negativePrompt": "y"}, "negativePrompt", "options.negativePrompt"),
        ({"prompt": "x", "maxAttempts": 5}, "maxAttempts", "retry.maxAttempts"),
    ],
)
async def test_a_field_in_the_wrong_object_is_refused_with_its_right_place(
    body: dict[str, Any], path: str, place: str, ada: httpx.AsyncClient
) -> None:
    refused = expect_problem(await ada.post(IMAGE, json=body), 422, "invalid_request")
    (error,) = refused["errors"]
    assert error["path"] == path
    assert error["message"].endswith(f"give it as {place}")


async def test_a_list_of_another_users_jobs_is_refused_and_not_answered_with_ones_own(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    mine = await submit_job(ada)
    bob = world.as_user("bob")
    refused = expect_problem(await bob.get("/api/jobs?userId=ada"), 403, "forbidden")
    assert "userId" in refused["detail"]
    for reader in (ada, admin):
        listed = (await reader.get("/api/jobs?userId=ada")).json()["jobs"]
        assert [job["jobId"] for job in listed] == [mine["jobId"]]


async def test_the_refusal_of_a_retry_names_the_replay(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    path = f"{IMAGE}/{job['jobId']}"
    early = expect_problem(await ada.post(f"{path}/retry"), 409, "conflict")
    assert "has not ended" in early["detail"]
    await world.advance(5)
    late = expect_problem(await ada.post(f"{path}/retry"), 409, "conflict")
    assert f"POST {path}/replay" in late["detail"]
    assert (await ada.post(f"{path}/replay", json={})).status_code == 202


async def test_a_video_may_be_4k_in_either_direction(ada: httpx.AsyncClient) -> None:
    for width, height in ((3840, 2160), (2160, 3840)):
        body = {"prompt": "x", "options": {"width": width, "height": height}}
        answer = await ada.post(f"{VIDEO}?validateOnly=true", json=body)
        assert answer.status_code == 200, answer.text
    body = {"prompt": "x", "options": {"width": 3840, "height": 2162}}
    refused = expect_problem(await ada.post(VIDEO, json=body), 422, "invalid_request")
    assert [one["path"] for one in refused["errors"]] == ["options.height"]
    assert "2160 x 3840" in refused["detail"]


def test_every_table_of_document_2_has_its_place_here() -> None:
    text = (documents.FOLDER / "2-job-queue-system.md").read_text("utf-8")
    section = text.partition("\n## Database Schema\n")[2].partition("\n## ")[0]
    tables = set(re.findall(r"^### (\w+)$", section, re.MULTILINE))
    assert len(tables) == 5
    guide = (ROOT / "infra/MIGRATION.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.+?) \| (.+) \|$", guide.partition("| older name |")[2], re.MULTILINE)
    named = {name: place for names, place in rows for name in re.findall(r"`([\w-]+)`", names)}
    assert tables <= named.keys()
    stored = vars(store_collections).values()
    collections = {one.name for one in stored if isinstance(one, Collection)}
    fields = set(Job.__struct_encode_fields__)
    for place in named.values():
        words = re.findall(r"`(\w+)(?:\.\w+)?`", place)
        assert words[0] in collections | fields, place
