"""JSON bodies are read by the types that the OpenAPI document states."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, NOOP, refused_paths

FILM = "/api/jobs/video-composition"


async def test_a_whole_number_may_be_written_with_a_point_and_not_as_a_text(
    ada: httpx.AsyncClient,
) -> None:
    made = await ada.post(IMAGE, json={**NOOP, "timeoutSeconds": 30.0})
    assert made.status_code == 202
    both = {**NOOP, "timeoutSeconds": 30.0, "startWithinSeconds": "30"}
    assert refused_paths(await ada.post(IMAGE, json=both)) == {"startWithinSeconds"}
    for seconds in ("30", True, 30.5):
        refused = await ada.post(IMAGE, json={**NOOP, "timeoutSeconds": seconds})
        assert refused_paths(refused) == {"timeoutSeconds"}, seconds


@pytest.mark.parametrize("dry_run", ["true", 1])
async def test_a_boolean_is_true_or_false(admin: httpx.AsyncClient, dry_run: Any) -> None:
    refused = await admin.post(
        "/api/jobs/dead-letters/redrive", json={"limit": 1, "dryRun": dry_run}
    )
    assert refused_paths(refused) == {"dryRun"}


async def test_texts_for_times_and_choices_are_read_where_a_request_is_rearranged_first(
    ada: httpx.AsyncClient,
) -> None:
    """A film's options may stand beside its scenes, so its body is an object before it is read."""
    scene = {"imageUrl": "https://example.com/a.png", "duration": 2}
    film = {"scenes": [scene], "priority": "high", "scheduleAt": "2099-01-01T00:00:00Z"}
    answer = await ada.post(f"{FILM}?validateOnly=true", json=film)
    # Farther ahead than ten years: read, and refused by its own rule.
    assert refused_paths(answer) == {"scheduleAt"}
    film["scheduleAt"] = "2020-01-01T00:00:00Z"
    answer = await ada.post(f"{FILM}?validateOnly=true", json=film)
    assert answer.status_code == 200, answer.text
    film["scenes"] = [{**scene, "duration": "2"}]
    refused = await ada.post(f"{FILM}?validateOnly=true", json=film)
    assert refused_paths(refused) == {"scenes[0].duration"}


@pytest.mark.parametrize("number", [1_767_225_600, 0.25, "1767225601", "0.5", "-5"])
async def test_a_number_is_no_time_as_nothing_says_whether_it_counts_milliseconds(
    ada: httpx.AsyncClient, number: float | str
) -> None:
    refused = await ada.post(IMAGE, json={**NOOP, "scheduleAt": number})
    assert refused_paths(refused) == {"scheduleAt"}
    assert "2026-01-31T12:00:00Z" in refused.json()["detail"]
    listed = await ada.get("/api/jobs", params={"createdBefore": number})
    assert refused_paths(listed) == {"createdBefore"}


async def test_the_document_says_which_bodies_may_be_empty(ada: httpx.AsyncClient) -> None:
    paths = (await ada.get("/api/openapi.json")).json()["paths"]
    empty = {
        path
        for path, operations in paths.items()
        for operation in operations.values()
        if not operation.get("requestBody", {"required": True}).get("required", False)
    }
    assert empty == {
        "/api/jobs/queues/locations/{location}/drain",
        "/api/jobs/queues/locations/{location}/resume",
        "/api/jobs/queues/{job_type}/pause",
        "/api/jobs/queues/{job_type}/resume",
        "/api/jobs/queues/{job_type}/clear",
        "/api/jobs/{job_type}/{job_id}/replay",
        "/api/projects/{project_id}/keys/{key_id}/rotate",
        "/api/webhook-endpoints/{endpoint_id}/keys",
    }
