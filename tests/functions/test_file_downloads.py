"""Files of the dev stack under signed URLs: whole, or one range of them."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from simulation.world import BASE, World
from taskreel_local.stack.server_main import PathRouter

TEXT = b"0123456789"


async def download(world: World, wanted: str, method: str = "GET") -> httpx.Response:
    """Ask the stack's port for a range of a file, without a token."""
    await world.files.put("results/a.txt", TEXT, content_type="text/plain")
    url = await world.files.signed_url("results/a.txt", expires_in=timedelta(minutes=1))
    transport = httpx.ASGITransport(PathRouter())
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as anyone:
        return await anyone.request(method, url, headers={"Range": wanted})


@pytest.mark.parametrize(
    ("wanted", "content"),
    [
        ("bytes=0-3", b"0123"),
        ("bytes=4-", b"456789"),
        ("bytes=-2", b"89"),
        ("bytes=-99", TEXT),
        ("bytes=8-99", b"89"),
        ("Bytes=0-0", b"0"),
    ],
)
async def test_one_range_of_a_file_is_sent(world: World, wanted: str, content: bytes) -> None:
    answer = await download(world, wanted)
    assert (answer.status_code, answer.content) == (206, content)
    assert answer.headers["content-range"].endswith("/10")


@pytest.mark.parametrize(
    "wanted",
    [
        "items=0-5",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=x-y",
        "bytes=5-2",
        "bytes=0-1,4-5",
        f"bytes=0-{'9' * 5000}",
        "bytes=0-4 5",
    ],
)
async def test_what_is_no_range_of_bytes_is_ignored(world: World, wanted: str) -> None:
    answer = await download(world, wanted)
    assert (answer.status_code, answer.content) == (200, TEXT)


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=99-100", "bytes=-0"])
async def test_a_range_without_a_byte_of_the_file_cannot_be_sent(world: World, wanted: str) -> None:
    answer = await download(world, wanted)
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */10")


async def test_a_range_is_for_a_file_and_not_for_its_head(world: World) -> None:
    answer = await download(world, "bytes=0-3", "HEAD")
    assert (answer.status_code, answer.headers["content-length"]) == (200, "10")
