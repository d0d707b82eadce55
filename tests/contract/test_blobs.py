"""The contract of the Blobs port, over a folder and over Cloud Storage."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskreel.domain.errors import NotFoundError
from taskreel.ports import BlobInfo, Blobs

HOUR = timedelta(hours=1)


async def read_all(blobs: Blobs, path: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(path)])


async def put_object(blobs: Blobs, path: str, data: bytes = b"x") -> None:
    await blobs.put(path, data, content_type="text/plain")


@pytest.mark.parametrize("size", [0, 1, 70_000, 9_000_001])
async def test_bytes_read_back_as_they_were_put(blobs: Blobs, size: int) -> None:
    data = hashlib.shake_128(b"seed").digest(size)
    await blobs.put("a/b.bin", data, content_type="application/x-thing")
    assert await read_all(blobs, "a/b.bin") == data
    assert await blobs.info("a/b.bin") == BlobInfo("a/b.bin", size, "application/x-thing")


@pytest.mark.parametrize("size", [0, 300_000, 12_345_678])
async def test_a_file_reads_back_as_it_was(blobs: Blobs, tmp_path: Path, size: int) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(hashlib.shake_128(b"film").digest(size))
    await blobs.put("films/clip.mp4", file, content_type="video/mp4")
    assert await read_all(blobs, "films/clip.mp4") == file.read_bytes()
    assert await blobs.info("films/clip.mp4") == BlobInfo("films/clip.mp4", size, "video/mp4")


async def test_a_large_object_comes_in_chunks(blobs: Blobs) -> None:
    await put_object(blobs, "large", bytes(9 << 20))
    sizes = [len(chunk) async for chunk in blobs.read("large")]
    assert (sum(sizes), max(sizes) < 9 << 20) == (9 << 20, True)


@pytest.mark.parametrize(
    "path", ["with space.txt", "ü/ß.txt", "100%.txt", "a+b&c=d?.txt", "q#f.txt", "tab\tname"]
)
async def test_any_name_can_be_put_found_and_deleted(blobs: Blobs, path: str) -> None:
    await put_object(blobs, path, b"here")
    assert await read_all(blobs, path) == b"here"
    assert await blobs.delete(path) == 1
    assert await blobs.info(path) is None


async def test_putting_again_replaces(blobs: Blobs) -> None:
    await blobs.put("a", b"first and longer", content_type="text/plain")
    await blobs.put("a", b"second", content_type="image/png")
    assert await read_all(blobs, "a") == b"second"
    assert await blobs.info("a") == BlobInfo("a", 6, "image/png")


async def test_a_reader_never_sees_half_of_two_objects(blobs: Blobs) -> None:
    first, second = b"1" * (6 << 20), b"2" * (6 << 20)
    await put_object(blobs, "a", first)
    reading = blobs.read("a")
    begun = await anext(reading)
    await put_object(blobs, "a", second)
    rest = begun
    try:
        rest += b"".join([chunk async for chunk in reading])
    except NotFoundError:  # the generation is gone: said, not mixed
        rest = first
    assert rest == first


async def test_an_absent_object_is_not_found(blobs: Blobs) -> None:
    assert await blobs.info("nothing") is None
    with pytest.raises(NotFoundError, match="nothing"):
        await read_all(blobs, "nothing")


async def test_delete_removes_all_under_a_prefix_and_counts(blobs: Blobs) -> None:
    for path in ("artifacts/j1/1/a.png", "artifacts/j1/2/b.png", "artifacts/j10/1/c.png", "other"):
        await put_object(blobs, path)
    assert await blobs.delete("artifacts/j1/") == 2
    assert await blobs.info("artifacts/j1/1/a.png") is None
    assert await blobs.info("artifacts/j10/1/c.png") is not None
    assert await blobs.delete("artifacts/j1/") == 0


async def test_a_prefix_may_end_within_a_name(blobs: Blobs) -> None:
    for path in ("a/one", "a/other", "a/two"):
        await put_object(blobs, path)
    assert await blobs.delete("a/o") == 2


async def test_the_paths_under_a_prefix_are_listed(blobs: Blobs) -> None:
    names = {"artifacts/j1/1/a.png", "artifacts/j1/2/b.png", "artifacts/j10/1/c.png", "other"}
    for path in names:
        await put_object(blobs, path)
    under = {"artifacts/j1/1/a.png", "artifacts/j1/2/b.png"}
    assert {path async for path in blobs.list_paths("artifacts/j1/")} == under
    assert {path async for path in blobs.list_paths("")} == names
    assert [path async for path in blobs.list_paths("nothing/")] == []


async def test_files_that_exist_are_renewed_and_read_as_before(blobs: Blobs) -> None:
    await blobs.put("a/one", b"here", content_type="image/png")
    await blobs.renew(["a/one", "a/gone"], datetime.now(UTC) + HOUR)
    await blobs.renew([], datetime.now(UTC))
    assert await read_all(blobs, "a/one") == b"here"
    assert await blobs.info("a/one") == BlobInfo("a/one", 4, "image/png")
    assert await blobs.info("a/gone") is None


async def test_many_objects_are_deleted_over_several_pages(blobs: Blobs) -> None:
    await asyncio.gather(*(put_object(blobs, f"many/{n:03}") for n in range(60)))
    assert await blobs.delete("many/") == 60


async def test_a_signed_url_names_the_object_and_differs_by_time_and_purpose(blobs: Blobs) -> None:
    await put_object(blobs, "a b/c.png")
    urls = {
        await blobs.signed_url("a b/c.png", expires_in=HOUR),
        await blobs.signed_url("a b/c.png", expires_in=2 * HOUR),
    }
    assert len(urls) == 2
    assert all("a%20b/c.png?" in url for url in urls)
