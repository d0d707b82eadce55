"""Document 1, word for word: its requests and prices, its queues with their limits, its types."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import yaml

from functions import documents_text as documents
from simulation.world import ROOT, World
from taskreel.jobtypes import JOB_TYPES

FENCES = documents.fences()
CODES = documents.inline_codes()
STATEMENTS = documents.numbered_statements()
PRICES = {
    match[1].lower().replace(" ", "-"): int(match[2])
    for match in (re.match(r"1 (.*): (\d+) credit", key) for key in STATEMENTS)
    if match
}


@pytest.mark.parametrize(
    "name",
    [
        key
        for key in FENCES
        if key
        in {
            f"1 {type_}"
            for type_ in (
                "Image Generation",
                "Video Generation",
                "Image Upscale",
                "Batch Generation",
            )
        }
    ],
)
async def test_a_request_of_document_1_is_accepted_verbatim(
    name: str, ada: httpx.AsyncClient
) -> None:
    method, path, body = documents.http_request(FENCES[name])
    answer = await ada.request(method, path, json=body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert "ignoredFields" not in job
    price = PRICES[job["jobType"]] * len(body.get("prompts", [1]))
    assert job["credits"]["held"] == price


async def test_a_job_is_read_by_its_id_alone(ada: httpx.AsyncClient) -> None:
    job = (await ada.post("/api/jobs/image-generation", json={"prompt": "a kite"})).json()
    method, path, _ = documents.http_request(FENCES["1 Get Job Status"].partition("\n")[0])
    found = await ada.request(method, path.replace("{jobId}", job["jobId"]))
    assert found.json()["jobId"] == job["jobId"]


async def test_the_list_takes_a_job_id_as_its_cursor(world: World, ada: httpx.AsyncClient) -> None:
    jobs = []
    for _ in range(2):
        answer = await ada.post("/api/jobs/image-generation", json={"prompt": "a kite"})
        jobs.append(answer.json()["jobId"])
        await world.advance(1)
    method, path, _ = documents.http_request(FENCES["1 Get User Jobs"].partition("\n")[0])
    found = await ada.request(method, path.replace("cursor=jobId", f"cursor={jobs[1]}"))
    assert [job["jobId"] for job in found.json()["jobs"]] == [jobs[0]]


async def test_an_update_has_the_documented_fields(ada: httpx.AsyncClient) -> None:
    """The fields of the event `jobUpdate` are those of a job; the socket itself is live's test."""
    fields = re.findall(r"//   (\w+):", FENCES["1 WebSocket Updates"])
    assert fields == ["jobId", "status", "progress", "resultUrl"]
    job = (await ada.post("/api/jobs/image-generation", json={"prompt": "a kite"})).json()
    assert set(fields) <= job.keys()


def declared_queues() -> dict[str, dict[str, Any]]:
    """Each declared queue with its defaults filled in."""
    declared = yaml.safe_load((ROOT / "infra" / "queues.yaml").read_text("utf-8"))
    defaults = declared["defaults"]
    return {
        name: {part: {**defaults[part], **(own or {}).get(part, {})} for part in defaults}
        for name, own in declared["queues"].items()
    }


def test_every_documented_queue_exists() -> None:
    of_document_1 = {code for key, code in CODES.items() if code.endswith("-queue")}
    assert len(of_document_1) == 4
    of_document_3 = set(re.findall(r"new Queue\('([^']+)'", FENCES["3 Queue Configuration"]))
    # A generation is put on the queue of the type that it becomes; `webhook-processing` is the
    # queue of events, and a job of its kind is of the type `webhook`.
    of_document_3 -= {"ai-generation", "webhook-processing"}
    queues = set(declared_queues())
    assert of_document_1 | {f"{name}-queue" for name in of_document_3} <= queues
    assert queues == {f"{name}-queue" for name in JOB_TYPES} | {
        "provider-poll-queue",
        "webhook-processing",
    }


def test_document_1_states_the_limits_of_each_queue() -> None:
    stated = {
        "maxDispatchesPerSecond": 10,
        "maxConcurrentDispatches": 100,
        "maxAttempts": 3,
    }
    lines = " ".join(STATEMENTS)
    for words, name in (
        ("Max dispatches per second", "maxDispatchesPerSecond"),
        ("Max concurrent dispatches", "maxConcurrentDispatches"),
        ("Max retry attempts", "maxAttempts"),
        ("retried up to", "maxAttempts"),
    ):
        found = re.search(rf"{words}:? (\d+)", lines)
        assert found
        assert int(found[1]) == stated[name]
    assert "Max retry duration: 1 hour" in lines
    for name in documents.list_items("1", "Queue Structure"):
        queue = declared_queues()[name.split("`")[1]]
        limits = {**queue["rateLimits"], **queue["retryConfig"]}
        assert {key: limits[key] for key in stated} == stated
        assert limits["maxRetryDuration"] == "3600s"


def type_names() -> list[str]:
    """The job types in the spelling of document 1, and those of document 2 in its own."""
    upper = [item.split("**")[1] for item in documents.list_items("1", "Job Types")]
    return [
        *upper,
        *(code for key, code in CODES.items() if key.startswith("2 ") and code in JOB_TYPES),
    ]


@pytest.mark.parametrize("name", type_names())
async def test_every_job_type_is_known_in_either_spelling(
    name: str, ada: httpx.AsyncClient
) -> None:
    kebab = name.lower().replace("_", "-")
    body = dict(JOB_TYPES[kebab].example)
    for spelling in (kebab, kebab.replace("-", "_").upper()):
        job = (await ada.post(f"/api/jobs/{spelling}", json=body)).json()
        assert job["jobType"] == kebab, job
        for path in ("", "/progress"):
            read = await ada.get(f"/api/jobs/{spelling}/{job['jobId']}{path}")
            assert read.status_code == 200, read.text
        listed = (await ada.get("/api/jobs", params={"jobType": spelling})).json()
        assert job["jobId"] in {row["jobId"] for row in listed["jobs"]}, listed
