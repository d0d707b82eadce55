"""Control characters are refused in every text that a caller gives, with the place of the first."""

from __future__ import annotations

from typing import Any

import pytest

from functions.job_requests import expect_problem
from simulation.world import World

#: Method, route, body with a control character, and the path of that.
TEXTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "/api/projects", {"name": "Film\0"}, "name"),
    (
        "POST",
        "/api/uploads",
        {"name": "a\0.png", "contentType": "image/png", "bytes": 3},
        "name",
    ),
    ("POST", "/api/credits/ada/grants", {"amount": 1, "reason": "a\x1b[31m gift"}, "reason"),
    (
        "POST",
        "/api/webhook-endpoints",
        {"url": "https://example.com/hook", "description": "mine\x07"},
        "description",
    ),
    (
        "POST",
        "/api/templates",
        {"name": "kite", "jobType": "image-generation", "data": {"prompt": "a\0 kite"}},
        "data.prompt",
    ),
    ("POST", "/api/jobs/queues/image-generation/pause", {"reason": "a\0b"}, "reason"),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), TEXTS, ids=[one[1] for one in TEXTS])
async def test_a_control_character_is_refused_with_its_place(
    method: str, path: str, body: dict[str, Any], field: str, world: World
) -> None:
    admin = world.as_user("root", role="admin")
    problem = expect_problem(await admin.request(method, path, json=body), 422, "invalid_request")
    assert [error["path"] for error in problem["errors"]] == [field]
    assert "control character U+" in problem["errors"][0]["message"]
