"""No body that can be sent, to whatever job type, is answered with a fault of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.job_requests import IMAGE, expect_problem
from simulation.world import World, running
from taskreel.jobtypes import JOB_TYPES

pytestmark = pytest.mark.filterwarnings(
    "ignore:deprecated string literal syntax"
)  # jmespath, of what it is given


def nested(depth: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


NAMES = st.sampled_from(
    ["", "__a__", "a.b", "{{x}}", "x" * 1501, "\ud800", "\x00", "$ref"]
) | st.text(max_size=5)
REFERENCES = st.sampled_from(
    [
        "{{payload.input.x}}",
        "{{jobs.job_1.result}}",
        "{{item}}{{index}}",
        "{{steps.a.result}}",
        "{{" + "!" * 600 + "payload}}",
        "{{" + "[@,@]|" * 100 + "@}}",
        '{{"\\ud800"}}',
        "{" * 40_000,
        "{{a}}" * 600,
    ]
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63), 10**30, 1e308, float("nan"), float("inf"), -0.0])
    | st.text(max_size=20)
    | st.sampled_from(
        [
            "\ud800",
            "x\udfff",
            "\x00",
            "x" * 60_000,
            "NaN",
            "1e999",
            "2026-01-01T00:00:00Z",
            "job:a/b",
        ]
    )
    | REFERENCES
    | st.builds(nested, st.integers(1, 150), st.sampled_from([list, dict]))
)
ODD = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def containers(value: Any) -> Iterator[Any]:
    """The value and all within it that have members."""
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


def fields_of(job_type: str) -> list[str]:
    return list(JOB_TYPES[job_type].submission.model_json_schema(by_alias=True)["properties"])


def disturb(body: Any, names: list[str], data: st.DataObject) -> None:
    """Put something odd into it, somewhere."""
    place = data.draw(st.sampled_from(list(containers(body))))
    if isinstance(place, list):
        place.insert(0, data.draw(ODD))
    else:
        known = names if place is body else [*place, "provider", "options"]
        place[data.draw(st.sampled_from(known) | NAMES)] = data.draw(ODD)


@pytest.fixture
async def rich(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world where everybody can pay for anything."""
    async with running(tmp_path, monkeypatch, initial_credits=10**9) as made:
        yield made


@pytest.fixture
def client(rich: World) -> httpx.AsyncClient:
    return rich.as_user("ada")


@pytest.mark.parametrize("job_type", JOB_TYPES)
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(data=st.data())
async def test_an_odd_body_is_taken_or_refused(
    job_type: str, data: st.DataObject, client: httpx.AsyncClient
) -> None:
    body = deepcopy(dict(JOB_TYPES[job_type].example))
    fields = fields_of(job_type)
    if "options" in fields:
        body["options"] = {**body.get("options", {}), "providerOptions": {"a": {"b": []}}}
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 2]))):
        disturb(body, fields, data)
    answer = await client.post(f"/api/jobs/{job_type}", content=json.dumps(body).encode())
    assert answer.status_code in {202, 400, 403, 413, 422}, answer.text
    assert (await client.get("/api/jobs?limit=1")).status_code == 200


async def test_a_body_that_does_not_arrive_is_given_up(
    ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.web.http.BODY_SECONDS", 0.1)

    async def drip() -> AsyncIterator[bytes]:
        yield b'{"prompt": '
        await asyncio.sleep(60)

    answer = await ada.post(IMAGE, content=drip())
    expect_problem(answer, 408, "request_timeout")
