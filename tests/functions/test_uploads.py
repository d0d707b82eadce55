"""Uploads: announced, sent to the URL, and used as inputs of jobs."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest

from functions.job_requests import UPSCALE, expect_problem, read_job, refused_paths, submit_job
from functions.test_inputs import mp4, png
from simulation.world import BASE, World
from taskreel.app.caller import Caller
from taskreel.app.jobs.uploads import NewUpload, store_upload
from taskreel.domain.errors import ConflictError
from taskreel_local.stack.server_main import PathRouter

UPLOADS = "/api/uploads"
PNG = png()


async def announce(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    order = {"name": "cat.png", "contentType": "image/png", "bytes": len(PNG), **fields}
    answer = await client.post(UPLOADS, json=order)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def send(made: dict[str, Any], data: bytes = PNG) -> httpx.Response:
    """PUT the bytes to the stack's port, without a token."""
    transport = httpx.ASGITransport(PathRouter())
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as anyone:
        return await anyone.put(made["uploadUrl"], content=data)


async def upscale(world: World, client: httpx.AsyncClient, reference: str) -> dict[str, Any]:
    job = await submit_job(client, {"imageUrl": reference, "scale": 2}, UPSCALE)
    await world.advance(30)
    return await read_job(client, job)


async def test_an_uploaded_file_is_the_input_of_a_job(world: World, ada: httpx.AsyncClient) -> None:
    made = await announce(ada, sha256=hashlib.sha256(PNG).hexdigest())
    assert made["received"] is False
    assert (await send(made)).status_code == 200
    found = (await ada.get(f"{UPLOADS}/{made['uploadId']}")).json()
    assert found["received"] is True
    assert "uploadUrl" not in found
    job = await upscale(world, ada, made["reference"])
    assert job["status"] == "COMPLETED", job["error"]
    (artifact,) = job["result"]["artifacts"]
    assert (artifact["width"], artifact["height"]) == (64, 48)


@pytest.mark.parametrize("size", [len(PNG) - 1, len(PNG) + 1, 0])
async def test_a_file_of_another_size_than_announced_is_refused(
    ada: httpx.AsyncClient, size: int
) -> None:
    made = await announce(ada)
    assert (await send(made, (PNG + b"x")[:size])).status_code == 400
    assert (await ada.get(f"{UPLOADS}/{made['uploadId']}")).json()["received"] is False


async def test_an_upload_url_takes_one_file(ada: httpx.AsyncClient) -> None:
    made = await announce(ada)
    assert (await send(made)).status_code == 200
    assert (await send(made)).status_code == 403


@pytest.mark.parametrize(
    "change", [("size=", "size=9"), ("expires=", "expires=9"), ("/files/uploads/", "/files/other/")]
)
async def test_a_changed_upload_url_is_refused(
    ada: httpx.AsyncClient, change: tuple[str, str]
) -> None:
    made = await announce(ada)
    changed = {**made, "uploadUrl": made["uploadUrl"].replace(*change)}
    assert (await send(changed)).status_code == 403


@pytest.mark.parametrize(
    ("announced", "data", "words"),
    [
        ({"contentType": "image/png"}, mp4(), "its content is video/mp4"),
        ({"sha256": "0" * 64}, PNG, "SHA-256"),
        ({"contentType": "text/plain", "sha256": "0" * 64}, b"Once upon a time.", "SHA-256"),
    ],
)
async def test_content_that_is_not_what_was_announced_fails_the_job(
    world: World, ada: httpx.AsyncClient, announced: dict[str, Any], data: bytes, words: str
) -> None:
    made = await announce(ada, bytes=len(data), **announced)
    assert (await send(made, data)).status_code == 200
    job = await upscale(world, ada, made["reference"])
    assert (job["status"], job["error"]["code"]) == ("FAILED", "input_invalid")
    assert words in job["error"]["message"]
    assert job["error"]["message"].startswith(f"imageUrl ({made['reference']}): ")


async def test_an_upload_that_cannot_be_read_is_named_as_its_owner_named_it(
    world: World, ada: httpx.AsyncClient
) -> None:
    cut_off = PNG[:20]
    made = await announce(ada, bytes=len(cut_off))
    await send(made, cut_off)
    job = await upscale(world, ada, made["reference"])
    assert job["error"]["code"] == "unreadable_media"
    assert job["error"]["message"].startswith(f"imageUrl ({made['reference']}) is damaged")


async def test_a_file_that_has_not_arrived_fails_the_job_and_is_not_charged(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await announce(ada)
    job = await upscale(world, ada, made["reference"])
    assert (job["status"], job["error"]["code"]) == ("FAILED", "input_not_found")
    assert "has not been uploaded" in job["error"]["message"]
    assert job["credits"]["captured"] == 0


async def test_uploads_of_others_are_neither_used_nor_shown(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await announce(ada)
    await send(made)
    bob = world.as_user("bob")
    path = f"{UPLOADS}/{made['uploadId']}"
    expect_problem(await bob.get(path), 404, "not_found")
    expect_problem(await bob.delete(path), 404, "not_found")
    job = await upscale(world, bob, made["reference"])
    assert (job["status"], job["error"]["code"]) == ("FAILED", "input_not_found")


async def test_an_upload_expires_after_a_day(world: World, ada: httpx.AsyncClient) -> None:
    made = await announce(ada)
    await world.advance(86_401)
    assert (await send(made)).status_code == 403
    expect_problem(await ada.get(f"{UPLOADS}/{made['uploadId']}"), 404, "not_found")


async def test_a_user_has_a_quota_which_expired_and_deleted_uploads_leave(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = [await announce(ada) for _ in range(100)]
    await send(made[0])
    order = {"name": "a.png", "contentType": "image/png", "bytes": 1}
    expect_problem(await ada.post(UPLOADS, json=order), 409, "upload_quota")
    await announce(world.as_user("bob"))
    assert (await ada.delete(f"{UPLOADS}/{made[0]['uploadId']}")).status_code == 200
    await announce(ada)
    await world.advance(86_401)
    await announce(ada)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": 1 << 40}, "bytes"),
        ({"contentType": "text/html"}, "contentType"),
        ({"contentType": "image/png; x=1"}, "contentType"),
        ({"sha256": "abc"}, "sha256"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_bad_announcement_is_refused_by_field(
    ada: httpx.AsyncClient, fields: dict[str, Any], path: str
) -> None:
    order = {"name": "cat.png", "contentType": "image/png", "bytes": 5, **fields}
    assert refused_paths(await ada.post(UPLOADS, json=order)) == {path}


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b.png", "Ü ß?.png", "....", "\u202egnp.a"])
async def test_no_name_leads_out_of_the_folder(ada: httpx.AsyncClient, name: str) -> None:
    made = await announce(ada, name=name)
    assert f"/files/uploads/{made['uploadId']}/" in made["uploadUrl"]
    assert (await send(made)).status_code == 200


async def test_content_that_came_with_its_announcement_is_stored_once(world: World) -> None:
    """The APIs of fal and Replicate take a file in one request, and its client may repeat it."""
    caller = Caller(user_id="ada")

    def describe(content: bytes) -> NewUpload:
        return NewUpload(
            name="a.txt",
            content_type="text/plain",
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            origin=None,
        )

    first = await store_upload(
        world.services, caller, describe(b"one"), b"one", upload_id="upl_fixed"
    )
    again = await store_upload(
        world.services, caller, describe(b"one"), b"one", upload_id="upl_fixed"
    )
    assert (first.upload_id, again.upload_id) == ("upl_fixed", "upl_fixed")
    found = await world.services.blobs.info(first.path)
    assert found is not None
    assert found.bytes == 3
    with pytest.raises(ConflictError):
        await store_upload(world.services, caller, describe(b"two"), b"two", upload_id="upl_fixed")
