"""The Cloud Storage emulator: preconditions, uploads in parts, ranges, pages, signed URLs."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from installed_programs import GCLOUD_INSTALL, find_program
from taskreel.adapters.gcp.cloud_storage import CloudStorage
from taskreel_local.emulators.google_emulators import LocalStorage, storage_emulator
from taskreel_local.emulators.storage import StorageServer

CHUNK = 256 * 1024


@pytest.fixture
def client(local_storage: LocalStorage) -> Client:
    return Client(
        "demo",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": local_storage.url},
    )


@pytest.fixture
def google(client: Client, bucket: str) -> Any:
    """The bucket as Google's own client sees it."""
    return client.bucket(bucket)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A server of its own with one bucket, without a port."""
    server = StorageServer(buckets=["b"])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(server.create_app()), base_url="http://storage.test"
    ) as client:
        yield client


# ── With Google's client ─────────────────────────────────────────────────────────────────────────


def test_a_write_that_needs_another_generation_is_refused(google: Any) -> None:
    blob = google.blob("a")
    blob.upload_from_string(b"1", if_generation_match=0)
    first = blob.generation
    google.blob("a").upload_from_string(b"2", if_generation_match=first)
    for stale in (0, first, 7):
        with pytest.raises(PreconditionFailed):
            google.blob("a").upload_from_string(b"3", if_generation_match=stale, retry=None)
    assert google.blob("a").download_as_bytes() == b"2"


def test_a_delete_that_needs_another_generation_is_refused(google: Any) -> None:
    blob = google.blob("a")
    blob.upload_from_string(b"1")
    with pytest.raises(PreconditionFailed):
        google.blob("a").delete(if_generation_match=blob.generation + 1, retry=None)
    google.blob("a").delete(if_generation_match=blob.generation)
    with pytest.raises(NotFound):
        google.blob("a").delete()


def test_of_sixteen_racers_one_creates(google: Any) -> None:
    def create(n: int) -> bool:
        try:
            google.blob("race").upload_from_string(str(n), if_generation_match=0, retry=None)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, range(16)))
    assert won.count(True) == 1
    assert google.blob("race").download_as_bytes() == str(won.index(True)).encode()


def test_metadata_changes_without_the_content(google: Any) -> None:
    blob = google.blob("a")
    blob.metadata = {"x": "1", "y": "2"}
    blob.upload_from_string(b"content", content_type="text/plain")
    again = google.get_blob("a")
    again.metadata = {"x": None, "z": "3"}
    again.cache_control = "no-store"
    again.patch(if_metageneration_match=1)
    seen = google.get_blob("a")
    assert (seen.metadata, seen.cache_control) == ({"y": "2", "z": "3"}, "no-store")
    assert (seen.metageneration, seen.generation) == (2, blob.generation)
    with pytest.raises(PreconditionFailed):
        again.patch(if_metageneration_match=1, retry=None)


def test_a_copy_and_a_rename_retain_content_and_type(google: Any) -> None:
    blob = google.blob("a/ü b")
    blob.upload_from_string(b"content", content_type="image/png")
    google.copy_blob(blob, google, "copied")
    google.rename_blob(blob, "renamed")
    assert [one.name for one in google.list_blobs()] == ["copied", "renamed"]
    assert google.get_blob("copied").content_type == "image/png"


def test_composing_joins_and_has_no_md5(google: Any) -> None:
    parts = [google.blob(f"part{n}") for n in range(3)]
    for n, part in enumerate(parts):
        part.upload_from_string(str(n) * 3)
    whole = google.blob("whole")
    whole.compose(parts, if_generation_match=0)
    assert google.blob("whole").download_as_bytes() == b"000111222"
    assert (whole.component_count, whole.md5_hash) == (3, None)


def test_a_listing_pages_through_names_and_folds_folders(google: Any) -> None:
    for name in ("a", "b/1", "b/2", "b/c/3", "d/4", "e"):
        google.blob(name).upload_from_string(b"")
    names: list[str] = []
    folders: list[str] = []
    for page in google.list_blobs(delimiter="/", page_size=2).pages:
        names += [blob.name for blob in page]
        folders += page.prefixes
    assert (names, folders) == (["a", "e"], ["b/", "d/"])
    assert [blob.name for blob in google.list_blobs(prefix="b/", page_size=1)] == [
        "b/1",
        "b/2",
        "b/c/3",
    ]
    assert [blob.name for blob in google.list_blobs(start_offset="b/2", end_offset="e")] == [
        "b/2",
        "b/c/3",
        "d/4",
    ]


def test_an_upload_in_chunks_of_unknown_length_arrives_whole(google: Any) -> None:
    blob = google.blob("streamed", chunk_size=CHUNK)
    content = hashlib.shake_128(b"x").digest(3 * CHUNK + 17)
    with blob.open("wb", ignore_flush=True) as file:
        for start in range(0, len(content), 100_000):
            file.write(content[start : start + 100_000])
    assert (
        google.blob("streamed").download_as_bytes(start=CHUNK, end=CHUNK + 9)
        == content[CHUNK : CHUNK + 10]
    )
    assert (
        google.get_blob("streamed").md5_hash
        == base64.b64encode(hashlib.md5(content).digest()).decode()  # noqa: S324 - a checksum
    )


def test_an_upload_whose_checksum_is_wrong_is_refused(google: Any) -> None:
    blob = google.blob("a")
    blob.md5_hash = base64.b64encode(bytes(16)).decode()
    with pytest.raises(Exception, match="doesn't match"):
        blob.upload_from_string(b"content", checksum=None)
    assert google.get_blob("a") is None


def test_a_bucket_is_made_changed_and_removed_only_when_empty(client: Client) -> None:
    bucket: Any = client.create_bucket("made-here")
    bucket.labels = {"team": "reel"}
    bucket.add_lifecycle_delete_rule(age=30)
    bucket.patch()
    assert client.get_bucket("made-here").labels == {"team": "reel"}
    bucket.blob("a").upload_from_string(b"")
    with pytest.raises(Exception, match="not empty"):
        bucket.delete()
    bucket.blob("a").delete()
    bucket.delete()
    assert client.lookup_bucket("made-here") is None


# ── Over bare HTTP ───────────────────────────────────────────────────────────────────────────────


async def begin_upload(http: httpx.AsyncClient, name: str = "a", **params: str) -> str:
    answer = await http.post(
        "/upload/storage/v1/b/b/o", params={"uploadType": "resumable", "name": name, **params}
    )
    assert answer.status_code == 200
    return answer.headers["location"]


async def test_an_interrupted_upload_goes_on_where_it_was(http: httpx.AsyncClient) -> None:
    session = await begin_upload(http)
    content = bytes(CHUNK) + b"the rest"
    part = await http.put(
        session, content=content[: CHUNK + 4], headers={"Content-Range": f"bytes 0-{CHUNK + 3}/*"}
    )
    assert (part.status_code, part.headers["range"]) == (308, f"bytes=0-{CHUNK - 1}")
    asked = await http.put(session, headers={"Content-Range": f"bytes */{len(content)}"})
    assert (asked.status_code, asked.headers["range"]) == (308, f"bytes=0-{CHUNK - 1}")
    rest = {"Content-Range": f"bytes {CHUNK}-{len(content) - 1}/{len(content)}"}
    done = await http.put(session, content=content[CHUNK:], headers=rest)
    assert (done.status_code, done.json()["size"]) == (200, str(len(content)))
    assert (await http.put(session, content=content[CHUNK:], headers=rest)).json() == done.json()


async def test_a_gap_in_an_upload_is_refused(http: httpx.AsyncClient) -> None:
    session = await begin_upload(http)
    answer = await http.put(session, content=b"late", headers={"Content-Range": "bytes 10-13/14"})
    assert answer.status_code == 503


async def test_the_conditions_of_an_upload_are_asked_again_at_its_end(
    http: httpx.AsyncClient,
) -> None:
    session = await begin_upload(http, ifGenerationMatch="0")
    await http.post("/upload/storage/v1/b/b/o?uploadType=media&name=a", content=b"faster")
    assert (await http.put(session, content=b"slow")).status_code == 412
    assert (await http.get("/storage/v1/b/b/o/a?alt=media")).content == b"faster"


async def test_a_cancelled_upload_is_gone(http: httpx.AsyncClient) -> None:
    session = await begin_upload(http)
    assert (await http.delete(session)).status_code == 499
    assert (await http.put(session, content=b"x")).status_code == 404


@pytest.mark.parametrize("content", [b"", b"--edge\r\n", b"\r\n\r\n--edge", bytes(range(256))])
async def test_a_multipart_upload_may_contain_anything(
    http: httpx.AsyncClient, content: bytes
) -> None:
    head = (
        b'--edge\r\nContent-Type: application/json\r\n\r\n{"name": "a"}\r\n'
        b"--edge\r\nContent-Type: image/png\r\n\r\n"
    )
    answer = await http.post(
        "/upload/storage/v1/b/b/o?uploadType=multipart",
        content=head + content + b"\r\n--edge--",
        headers={"Content-Type": "multipart/related; boundary=edge"},
    )
    assert answer.json()["contentType"] == "image/png"
    assert (await http.get("/storage/v1/b/b/o/a?alt=media")).content == content


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        (f"bytes=0-{'9' * 5000}", 200, b"0123456789"),
    ],
)
async def test_ranges(
    http: httpx.AsyncClient, wanted: str, status: int, content: bytes | None
) -> None:
    await http.post("/upload/storage/v1/b/b/o?uploadType=media&name=a", content=b"0123456789")
    answer = await http.get("/storage/v1/b/b/o/a?alt=media", headers={"Range": wanted})
    assert answer.status_code == status
    assert content is None or answer.content == content


async def test_a_reader_who_has_the_newest_gets_304(http: httpx.AsyncClient) -> None:
    made = (
        await http.post("/upload/storage/v1/b/b/o?uploadType=media&name=a", content=b"x")
    ).json()
    unchanged = await http.get(f"/storage/v1/b/b/o/a?ifGenerationNotMatch={made['generation']}")
    assert unchanged.status_code == 304


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/storage/v1/b/none", 404),
        ("GET", "/storage/v1/b/b/o/none", 404),
        ("GET", "/storage/v1/b/b/o?pageToken=%FF", 400),
        ("GET", "/storage/v1/b/b/o?maxResults=many", 400),
        ("POST", "/upload/storage/v1/b/b/o?uploadType=media", 400),
        ("POST", "/upload/storage/v1/b/b/o?uploadType=odd&name=a", 400),
        ("POST", "/storage/v1/b", 400),
        ("POST", "/batch/storage/v1", 501),
        ("GET", "/b/none", 403),
        ("GET", "/b/none?X-Goog-Signature=00", 400),
    ],
)
async def test_requests_are_refused_as_the_service_refuses_them(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.text


async def test_a_url_with_unsigned_service_headers_is_refused(
    local_storage: LocalStorage, bucket: str
) -> None:
    cloud = CloudStorage(bucket, emulator=local_storage.url, signing_key=local_storage.signing_key)
    await cloud.put("a", b"x", content_type="text/plain")
    url = await cloud.signed_url("a", expires_in=timedelta(minutes=1))
    async with httpx.AsyncClient() as client:
        answer = await client.get(url, headers={"x-goog-user-project": "p"})
    assert (answer.status_code, "MalformedSecurityHeader" in answer.text) == (400, True)
    await cloud.close()


# ── Its life ─────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_has_everything_after_a_restart(tmp_path: Path) -> None:
    for expected in ([], ["a", "b"]):
        with storage_emulator(folder=tmp_path) as local:
            options = {"api_endpoint": local.url}
            client: Any = Client("demo", credentials=AnonymousCredentials(), client_options=options)
            bucket = client.lookup_bucket("kept") or client.create_bucket("kept")
            assert [blob.name for blob in bucket.list_blobs()] == expected
            assert all(blob.download_as_bytes() == b"second" for blob in bucket.list_blobs())
            for content in ("first", "second"):
                bucket.blob("a").upload_from_string(content)
                bucket.blob("b").upload_from_string(content)
            client.close()
    assert len(list(tmp_path.glob("*.content"))) == 2


@pytest.mark.emulator
def test_gcloud_storage_works_against_it(
    local_storage: LocalStorage, bucket: str, tmp_path: Path
) -> None:
    find_program("gcloud", GCLOUD_INSTALL)
    (tmp_path / "sent.txt").write_text("hello")
    environment = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_PROJECT": "demo",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{local_storage.url}/storage/v1/",
    }

    def gcloud(*words: str) -> str:
        done = subprocess.run(
            ["gcloud", "storage", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    gcloud("cp", str(tmp_path / "sent.txt"), f"gs://{bucket}/folder/kept.txt")
    assert gcloud("ls", f"gs://{bucket}/**").split() == [f"gs://{bucket}/folder/kept.txt"]
    assert gcloud("cat", f"gs://{bucket}/folder/kept.txt") == "hello"
    gcloud("rm", f"gs://{bucket}/folder/kept.txt")
