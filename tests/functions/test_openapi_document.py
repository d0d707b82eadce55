"""The OpenAPI document shows an answer of every kind, each as it is really sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from functions.job_requests import IMAGE, expect_problem, submit_job
from simulation.world import World

JSON, PROBLEM, EVENTS = "application/json", "application/problem+json", "text/event-stream"


@pytest.fixture
async def document(world: World) -> dict[str, Any]:
    found: dict[str, Any] = (await world.api.get("/api/openapi.json")).json()
    return found


def list_operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def list_contents(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Operation, status, media type and content of each response."""
    for name, operation in list_operations(document):
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():  # a 204 has none
                yield name, status, media_type, content


def list_examples(content: dict[str, Any]) -> list[Any]:
    named = [one["value"] for one in content.get("examples", {}).values()]
    return named or [content["example"]]


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def list_references(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for one in part:
            yield from list_references(one)
    elif isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for name, one in part.items():
            if name not in {"example", "examples"}:  # the schema of a job type is one
                yield from list_references(one)


async def test_every_schema_that_is_referred_to_is_there(document: dict[str, Any]) -> None:
    """A missing body is added to `requests` of `complete_document`; no generator takes it."""
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(list_references(document)) <= known


async def test_every_response_has_an_example_that_its_schema_admits(
    document: dict[str, Any],
) -> None:
    """A missing one is added to `web/openapi_examples.py`."""
    for name, status, media_type, content in list_contents(document):
        where = f"{name} {status} {media_type}"
        assert {"example", "examples"} & content.keys(), where
        for example in list_examples(content):
            if media_type == EVENTS:
                check(document, {"$ref": "#/components/schemas/JobView"}, read_event(example))
            else:
                check(document, content["schema"], example)


def read_event(text: str) -> Any:
    return json.loads(text.partition("data: ")[2])


async def test_every_error_is_a_problem_with_its_status_and_codes(
    document: dict[str, Any],
) -> None:
    for name, operation in list_operations(document):
        statuses = set(operation["responses"])
        assert {"500", "503"} <= statuses, name
        assert ("401" in statuses) is (operation.get("security") != [] or "webhooks" in name), name
        assert ("413" in statuses) is ("requestBody" in operation), name
    for name, status, media_type, content in list_contents(document):
        if status >= "400" and "health" not in name:
            assert media_type == PROBLEM, f"{name} {status}"
            for example in list_examples(content):
                assert str(example["status"]) == status
                own = f"urn:taskreel:problem:{example['code']}"
                # IANA has registered a type for this one.
                registered = "https://iana.org/assignments/http-problem-types#quota-exceeded"
                is_quota = example["code"] == "rate_limit_exceeded"
                assert example["type"] == (registered if is_quota else own)


async def test_the_documented_problems_are_those_that_are_sent(
    world: World, ada: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    """The members of an example are those of the real answer."""
    job = await submit_job(ada)
    poor = world.as_user("poor")
    many = {"prompts": ["x"] * 100, "options": {"width": 64}}
    asked: list[tuple[httpx.AsyncClient, str, str, str, dict[str, Any]]] = [
        (ada, "GET", "/api/jobs/job_none", "/api/jobs/{job_id}", {}),
        (world.api, "GET", f"/api/jobs/{job['jobId']}", "/api/jobs/{job_id}", {}),
        (ada, "GET", f"/api/jobs/{job['jobId']}/result", "/api/jobs/{job_id}/result", {}),
        (ada, "POST", f"{IMAGE}/{job['jobId']}/retry", "/api/jobs/{job_type}/{job_id}/retry", {}),
        (ada, "POST", IMAGE, IMAGE, {"json": {"prompt": ""}}),
        (ada, "POST", IMAGE, IMAGE, {"content": b"{"}),
        (ada, "POST", IMAGE, IMAGE, {"content": b" " * 1_100_000}),
        (ada, "GET", "/api/credits/bob", "/api/credits/{user_id}", {}),
    ]
    for _ in range(2):  # the second one does not fit into the 100 credits of a new account
        last = await poor.post("/api/jobs/batch-generation", json=many)
    answers = [
        (await client.request(method, url, **body), method, path)
        for client, method, url, path, body in asked
    ]
    for answer, method, path in [*answers, (last, "POST", "/api/jobs/batch-generation")]:
        sent = answer.json()
        expect_problem(answer, answer.status_code, sent["code"])
        responses = document["paths"][path][method.lower()]["responses"]
        shown = responses[str(answer.status_code)]["content"][PROBLEM]["examples"][sent["code"]]
        assert shown["value"].keys() == sent.keys(), path


async def test_a_new_job_has_the_documented_form(
    ada: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    operation = document["paths"][IMAGE]["post"]
    body = operation["requestBody"]["content"][JSON]["example"]
    sent = (await ada.post(IMAGE, json=body)).json()
    shown = operation["responses"]["202"]["content"][JSON]["example"]
    assert shown.keys() == sent.keys()
    assert shown["payload"] == body
    assert shown["jobType"] == sent["jobType"]
