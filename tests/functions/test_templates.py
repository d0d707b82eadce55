"""Templates over HTTP: saved in versions, private or shared, checked at saving and at use."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem, read_job, refused_paths
from simulation.world import World

TEMPLATES = "/api/templates"
NOOP = {"studio": {"mode": "noop"}}
POSTER: dict[str, Any] = {
    "name": "poster",
    "jobType": "image-generation",
    "data": {
        "prompt": "A poster of {{parameters.subject}}, {{parameters.style}}",
        "options": {"width": "{{parameters.width}}", "height": 64, **NOOP},
    },
    "defaults": {"style": "as a woodcut", "width": 64},
}


async def save(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post(TEMPLATES, json={**POSTER, **changes})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def use(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post(f"{TEMPLATES}/poster/jobs", json=body)


async def test_a_job_of_a_template_is_the_filled_in_request(
    world: World, ada: httpx.AsyncClient
) -> None:
    saved = await save(ada)
    assert saved["version"]["parameters"] == ["style", "subject", "width"]
    made = await use(ada, parameters={"subject": "a red kite", "width": 128})
    assert made.status_code == 202, made.text
    payload = (await read_job(ada, made.json()))["payload"]
    assert payload["prompt"] == "A poster of a red kite, as a woodcut"
    # A reference that is the whole value has the parameter's type.
    assert payload["options"]["width"] == 128
    await world.settle()
    assert (await read_job(ada, made.json()))["status"] == "COMPLETED"


async def test_a_missing_and_an_unknown_parameter_are_refused_by_name(
    ada: httpx.AsyncClient,
) -> None:
    await save(ada)
    assert refused_paths(await use(ada)) == {"parameters.subject"}
    unknown = await use(ada, parameters={"subject": "a kite", "sytle": "x"})
    assert refused_paths(unknown) == {"parameters.sytle"}


async def test_a_value_is_checked_as_the_request_is(ada: httpx.AsyncClient) -> None:
    await save(ada)
    wrong = await use(ada, parameters={"subject": "a kite", "width": 7})
    assert refused_paths(wrong) == {"options.width"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"data": {"prompt": "{{parameters.a}}", "sedd": 3}}, "data.sedd"),
        ({"data": {"prompt": "x", "options": {"width": 7}}, "defaults": {}}, "data.options.width"),
        ({"data": {"prompt": "{{parameters}}"}, "defaults": {}}, "data.prompt"),
        ({"data": {"prompt": "x"}, "defaults": {"style": "y"}}, "defaults.style"),
        ({"name": "a/b"}, "name"),
    ],
)
async def test_a_wrong_template_is_refused_when_it_is_saved(
    ada: httpx.AsyncClient, changes: dict[str, Any], path: str
) -> None:
    body = {**POSTER, "defaults": {}, **changes}
    assert refused_paths(await ada.post(TEMPLATES, json=body)) == {path}


async def test_a_change_is_a_version_and_earlier_ones_can_be_used(
    ada: httpx.AsyncClient,
) -> None:
    await save(ada)
    data = {"prompt": "A sketch of {{parameters.subject}}", "options": NOOP}
    put = await ada.put(f"{TEMPLATES}/poster", json={"jobType": "IMAGE_GENERATION", "data": data})
    assert (put.json()["version"]["version"], put.json()["earlierVersions"]) == (2, [1])
    newest = await use(ada, parameters={"subject": "a kite"})
    first = await use(ada, parameters={"subject": "a kite"}, version=1)
    prompts = [(await read_job(ada, made.json()))["payload"]["prompt"] for made in (newest, first)]
    assert prompts == ["A sketch of a kite", "A poster of a kite, as a woodcut"]
    expect_problem(await use(ada, parameters={"subject": "x"}, version=9), 404, "not_found")
    for _ in range(25):
        await ada.put(f"{TEMPLATES}/poster", json={"jobType": "image-generation", "data": data})
    assert (await ada.get(f"{TEMPLATES}/poster")).json()["earlierVersions"] == [*range(23, 27)]


async def test_templates_are_private_and_shared_ones_are_an_admins(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    bob = world.as_user("bob")
    await save(ada)
    expect_problem(await bob.get(f"{TEMPLATES}/poster"), 404, "not_found")
    expect_problem(await use(bob, parameters={"subject": "x"}), 404, "not_found")
    refused = await bob.post(TEMPLATES, json={**POSTER, "shared": True})
    expect_problem(refused, 403, "forbidden")
    await save(admin, shared=True, defaults={"subject": "us", "style": "x", "width": 64})
    made = await use(bob)
    assert (await read_job(bob, made.json()))["payload"]["prompt"] == "A poster of us, x"
    # Her own comes first.
    assert refused_paths(await use(ada)) == {"parameters.subject"}
    listed = (await ada.get(TEMPLATES)).json()["templates"]
    assert [(one["name"], one["shared"]) for one in listed] == [
        ("poster", False),
        ("poster", True),
    ]
    expect_problem(await bob.delete(f"{TEMPLATES}/poster?shared=true"), 403, "forbidden")
    assert (await ada.delete(f"{TEMPLATES}/poster")).status_code == 200
    assert (await use(ada)).status_code == 202


async def test_a_name_is_taken_once_and_a_change_needs_the_template(
    ada: httpx.AsyncClient,
) -> None:
    order = {name: POSTER[name] for name in ("jobType", "data", "defaults")}
    expect_problem(await ada.put(f"{TEMPLATES}/poster", json=order), 404, "not_found")
    await save(ada)
    expect_problem(await ada.post(TEMPLATES, json=POSTER), 409, "conflict")


async def test_a_use_has_the_key_and_the_quote_of_a_submission(ada: httpx.AsyncClient) -> None:
    await save(ada)
    body = {"parameters": {"subject": "a kite"}}
    path = f"{TEMPLATES}/poster/jobs"
    first = await ada.post(path, json=body, headers={"Idempotency-Key": "order-1"})
    again = await ada.post(path, json=body, headers={"Idempotency-Key": "order-1"})
    assert first.json()["jobId"] == again.json()["jobId"]
    quote = await ada.post(f"{path}?validateOnly=true", json=body)
    assert (quote.status_code, quote.json()["cost"]) == (200, 1)
