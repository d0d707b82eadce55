"""Files that fal's clients send: what a link takes, from whom, and how large."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from simulation.world import World

INITIATE = "/fal/rest/storage/upload/initiate"
KITE = {"file_name": "kite.txt", "content_type": "text/plain"}


async def initiate(ada: httpx.AsyncClient, **changes: Any) -> dict[str, str]:
    answer = await ada.post(INITIATE, json={**KITE, **changes})
    assert answer.status_code == 200, answer.text
    made: dict[str, str] = answer.json()
    return made


async def test_a_link_takes_its_file_without_a_token_and_again_but_no_other(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await initiate(ada)
    for _ in range(2):
        answer = await world.api.put(made["upload_url"], content=b"some words")
        assert answer.status_code == 200, answer.text
    other = await world.api.put(made["upload_url"], content=b"other words")
    assert other.status_code == 409
    id_ = made["file_url"].removeprefix("upload:")
    upload = (await ada.get(f"/api/uploads/{id_}")).json()
    assert (upload["name"], upload["bytes"], upload["received"]) == ("kite.txt", 10, True)
    assert (await world.as_user("bob").get(f"/api/uploads/{id_}")).status_code == 404


async def test_a_link_that_was_changed_or_is_old_takes_nothing(
    world: World, ada: httpx.AsyncClient
) -> None:
    url, other = [(await initiate(ada))["upload_url"] for _ in range(2)]
    swapped = f"{other.partition('?')[0]}?{url.partition('?')[2]}"
    for one in (swapped, url.partition("?")[0]):
        answer = await world.api.put(one, content=b"x")
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/json"
    await world.advance(25 * 3600)
    assert (await world.api.put(url, content=b"x")).status_code == 403


async def test_a_file_that_is_too_large_is_refused_with_the_way_that_takes_it(
    world: World, ada: httpx.AsyncClient
) -> None:
    url = (await initiate(ada))["upload_url"]
    answer = await world.api.put(url, content=bytes(21 << 20))
    assert answer.status_code == 413
    assert "20 MiB" in answer.json()["detail"]
    for path in ("rest/storage/upload/initiate-multipart", "cdn/files/upload/multipart"):
        answer = await ada.post(f"/fal/{path}", json=KITE)
        assert answer.status_code == 413
        assert "/api/uploads" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"content_type": "application/zip", "file_name": "a.zip"}, "content_type"),
        ({"content_type": 7}, "content_type"),
        ({"file_name": "a" * 300}, "file_name"),
    ],
)
async def test_an_announcement_that_is_wrong_is_refused(
    ada: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    answer = await ada.post(INITIATE, json={**KITE, **changes})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", field]


async def test_without_a_token_nothing_is_taken(world: World) -> None:
    for path in ("rest/storage/upload/initiate", "rest/storage/auth/token", "cdn/files/upload"):
        assert (await world.api.post(f"/fal/{path}", json=KITE)).status_code == 401
    empty = await world.as_user("ada").post("/fal/cdn/files/upload", content=b"")
    assert empty.status_code == 422
