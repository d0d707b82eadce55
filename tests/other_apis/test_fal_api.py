"""fal's API, judged by its released client, with nothing changed but the host."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from functions.job_requests import read_job
from other_apis.conftest import OtherApis
from simulation.world import World, token
from taskreel.adapters.logged_store import LoggedStore
from taskreel.domain.job_fields import Priority
from taskreel.ports import Collection

FLUX = "/fal/fal-ai/flux/schnell"
OWN = "/fal/taskreel/image-generation"
SLOW = {"prompt": "a kite", "options": {"studio": {"mode": "sleep", "seconds": 3600}}}


async def test_the_python_client_subscribes_queues_and_cancels(apis: OtherApis) -> None:
    host = apis.url.removeprefix("https://")
    found = await apis.run_python(
        "fal_python_client.py",
        FAL_QUEUE_RUN_HOST=f"{host}/fal",
        FAL_RUN_HOST=f"{host}/fal/run",
        FAL_KEY=token("ada"),
    )

    [image] = found["subscribed"]["images"]
    assert (image["width"], image["height"], image["content_type"]) == (64, 64, "image/png")
    assert found["subscribed"]["prompt"] == "a kite"
    assert found["ended"] == "Completed"
    assert len(found["run"]["images"]) == 1
    assert found["slow"]["seen"] == ["Completed", "InProgress"]
    job = await apis.world.job(found["slow"]["id"])
    assert job.priority is Priority.LOW
    assert job.payload["startWithinSeconds"] == 600
    assert "images" in found["result"]
    assert found["uploaded"]["sizes"] == [128, 128]
    uploads = (await apis.world.as_user("ada").get("/api/uploads")).json()["uploads"]
    sent = {one["reference"]: one["name"] for one in uploads}
    assert sent.keys() == set(found["uploaded"]["references"])
    assert set(sent.values()) == {"Drachen ä.png"}
    assert found["cancelled"] == ["cancelled", "The request was cancelled."]
    assert found["asynchronous"] == 2
    errors = found["errors"]
    assert errors["failed"]["status"] == 422
    assert errors["failed"]["type"] == "studio_failed"
    assert "fails permanently" in errors["failed"]["message"]
    assert errors["unknown"]["status"] == 404
    assert errors["unknown"]["message"].endswith("did you mean fal-ai/flux/schnell?")
    assert "did you mean" not in errors["unlike"]["message"]
    assert "fal-ai/nano-banana-2" in errors["unlike"]["message"]
    assert found["sounds"] == ["audio/mpeg", "audio/mpeg"]
    assert errors["invalid"]["status"] == 422
    assert errors["invalid"]["message"][0]["loc"] == ["body", "image_size", "width"]
    assert errors["unauthenticated"] == 401


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The reads of the store from here on: each get, and each document that a watch reports."""
    reads: list[str] = []
    get, watch = LoggedStore.get, LoggedStore.watch

    async def counted_get(store: LoggedStore, collection: Collection[Any], id_: str, /) -> Any:
        reads.append(id_)
        return await get(store, collection, id_)

    async def counted_watch(store: LoggedStore, collection: Collection[Any], id_: str, /) -> Any:
        async for value in watch(store, collection, id_):
            reads.append(id_)
            yield value

    monkeypatch.setattr(LoggedStore, "get", counted_get)
    monkeypatch.setattr(LoggedStore, "watch", counted_watch)
    return reads


async def test_a_minute_of_polls_costs_a_read_for_each_change(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`subscribe` asks ten times a second; each poll here comes while nothing has changed."""
    reads = count_reads(monkeypatch)
    monkeypatch.setattr("taskreel.web.other_apis.fal_api._HOLD_SECONDS", 0.0)
    given = {"prompt": "a kite", "options": {"studio": {"mode": "sleep", "seconds": 60}}}
    submitted = (await ada.post(OWN, json=given)).json()
    url = submitted["status_url"]
    polls = 0
    status: dict[str, Any] = {}
    async with asyncio.timeout(60):
        while status.get("status") != "COMPLETED":
            status = (await ada.get(url)).json()
            polls += 1
            await world.advance(0.1)
    assert polls > 500
    polled = [one for one in reads if one == submitted["request_id"]]
    assert len(polled) <= 60, f"{len(polled)} reads for {polls} polls"


async def test_a_status_is_held_until_something_changes(
    world: World, ada: httpx.AsyncClient
) -> None:
    submitted = (await ada.post(OWN, json=SLOW)).json()
    held = asyncio.create_task(ada.get(submitted["status_url"]))
    await asyncio.sleep(0.05)
    assert not held.done()
    await world.settle()
    assert (await held).json()["status"] == "IN_PROGRESS"


async def test_a_waiting_request_has_its_position(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 is the next one."""
    monkeypatch.setattr("taskreel.web.other_apis.fal_api._HOLD_SECONDS", 0.0)
    world.cut_off = True
    users = [world.as_user(name) for name in ("ada", "bob", "eve")]
    submitted = []
    for user in users:
        submitted.append((await user.post(OWN, json=SLOW)).json())
        await world.advance(1)
    shown = [
        (await user.get(one["status_url"])).json()
        for user, one in zip(users, submitted, strict=True)
    ]
    assert [one["queue_position"] for one in shown] == [0, 1, 2]


async def test_another_user_cannot_poll_read_or_cancel(
    world: World, ada: httpx.AsyncClient
) -> None:
    submitted = (await ada.post(OWN, json=SLOW)).json()
    await world.settle()
    assert (await ada.get(submitted["status_url"])).status_code == 202
    bob = world.as_user("bob")  # while the job is followed for ada
    for method, url in (
        ("GET", submitted["status_url"]),
        ("GET", submitted["response_url"]),
        ("GET", f"{submitted['status_url']}/stream"),
        ("PUT", submitted["cancel_url"]),
    ):
        answer = await bob.request(method, url)
        assert answer.status_code == 404, url
        assert answer.json()["error_type"] == "not_found"
    job = await read_job(ada, {"jobId": submitted["request_id"]})
    assert job["status"] == "PROCESSING"


async def test_an_unknown_job_is_not_found(ada: httpx.AsyncClient) -> None:
    answer = await ada.get("/fal/fal-ai/flux/requests/job_missing/status")
    assert answer.status_code == 404
    assert "job_missing" in answer.json()["detail"]


async def test_a_job_that_expires_is_completed_with_an_error(
    world: World, ada: httpx.AsyncClient
) -> None:
    """The client knows no other end."""
    world.cut_off = True
    headers = {"x-fal-request-timeout": "5"}
    submitted = (await ada.post(FLUX, json={"prompt": "a kite"}, headers=headers)).json()
    await world.advance(10)
    await world.sweep()
    status = await ada.get(submitted["status_url"])
    assert status.status_code == 200
    assert status.json()["error_type"] == "startup_timeout"
    assert (await ada.get(submitted["response_url"])).status_code == 504


async def test_the_proxy_serves_fals_own_urls_and_forwards_nothing(
    ada: httpx.AsyncClient,
) -> None:
    for url in ("http://queue.fal.run/fal-ai/flux/schnell", "https://example.com/x", "", "x"):
        answer = await ada.post("/fal/proxy", json={}, headers={"x-fal-target-url": url})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json"
    target = {"x-fal-target-url": "https://queue.fal.run/fal-ai/flux/schnell"}
    answer = await ada.post("/fal/proxy", json={"prompt": "a kite"}, headers=target)
    assert answer.status_code == 200
    assert answer.json()["status"] == "IN_QUEUE"


@pytest.mark.parametrize(
    ("header", "value"), [("x-fal-request-timeout", "soon"), ("x-fal-request-timeout", "inf")]
)
async def test_a_header_that_is_wrong_is_refused(
    ada: httpx.AsyncClient, header: str, value: str
) -> None:
    answer = await ada.post(FLUX, json={"prompt": "a kite"}, headers={header: value})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", header]


@pytest.mark.parametrize(
    ("body", "place", "message"),
    [
        ({"prompt": "a kite", "webhook_url": "junk"}, ["webhook_url"], "must be a complete"),
        # The name chooses the model, which is no input.
        ({"prompt": "a kite", "image_url": "https://example.com/a.png"}, [], "takes at most 0"),
    ],
)
async def test_what_a_job_cannot_be_made_of_is_named_as_the_client_named_it(
    ada: httpx.AsyncClient, body: dict[str, Any], place: list[str], message: str
) -> None:
    refused = await ada.post(FLUX, json=body)
    (found,) = refused.json()["detail"]
    assert (refused.status_code, found["loc"]) == (422, ["body", *place])
    assert message in found["msg"]


async def test_a_file_that_cannot_be_read_is_named_as_clients_name_inputs(
    world: World, ada: httpx.AsyncClient
) -> None:
    junk = {"prompt": "x", "image_url": "data:image/png;base64,AAAA"}
    made = (await ada.post("/fal/fal-ai/flux-2-pro/edit", json=junk)).json()
    replicate = "/replicate/v1/models/black-forest-labs/flux-kontext-pro/predictions"
    prediction = (await ada.post(replicate, json={"input": junk})).json()
    await world.advance(60)
    failed = (await ada.get(made["response_url"])).json()["detail"]
    assert failed.startswith("image_urls[0] is of an unknown kind")
    shown = (await ada.get(prediction["urls"]["get"])).json()
    assert shown["error"] == failed
