"""Requests that these tests send, and the answers that they expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from simulation.world import World

IMAGE = "/api/jobs/image-generation"
VIDEO = "/api/jobs/video-generation"
UPSCALE = "/api/jobs/image-upscale"
BATCH = "/api/jobs/batch-generation"
#: Job types of services alone: test_paid_types.py. Without a key they are refused, not imitated.
PAID_TYPES = frozenset(
    {"sound-effect", "transcription", "background-removal", "video-edit", "lip-sync"}
)


def image_request(mode: str, **how: Any) -> dict[str, Any]:
    """An image for which the local provider (mis)behaves; what it makes in the end is small."""
    return {
        "prompt": "a kite",
        "options": {"width": 64, "height": 64, "studio": {"mode": mode, **how}},
    }


NOOP = image_request("noop")


def batch_request(count: int = 3, **fields: Any) -> dict[str, Any]:
    return {
        "prompts": [f"kite {n}" for n in range(count)],
        "options": {"studio": {"mode": "noop"}},
        **fields,
    }


async def submit_job(
    client: httpx.AsyncClient, body: dict[str, Any] | None = None, path: str = IMAGE
) -> dict[str, Any]:
    """The new job."""
    answer = await client.post(path, json=body or NOOP)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def read_job(client: httpx.AsyncClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job as it is now."""
    answer = await client.get(f"/api/jobs/{job['jobId']}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def complete_job(
    world: World, client: httpx.AsyncClient, job_type: str, body: dict[str, Any]
) -> dict[str, Any]:
    """Submit a job and return it completed."""
    job = await submit_job(client, body, f"/api/jobs/{job_type}")
    for _ in range(60):
        await world.advance(2)
        job = await read_job(client, job)
        if job["status"] in {"COMPLETED", "FAILED"}:
            break
    assert job["status"] == "COMPLETED", job["error"]
    return job


async def read_balance(client: httpx.AsyncClient) -> dict[str, int]:
    found: dict[str, int] = (await client.get("/api/credits")).json()
    assert found["granted"] == found["available"] + found["held"] + found["captured"]
    return found


def expect_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer's body, once it is a problem of that kind (RFC 9457)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body["type"]) == (
        status,
        code,
        f"urn:taskreel:problem:{code}",
    )
    assert body["detail"]
    assert body["title"]
    return body


def refused_paths(answer: httpx.Response) -> set[str]:
    """The fields that a refusal names."""
    return {error["path"] for error in expect_problem(answer, 422, "invalid_request")["errors"]}
