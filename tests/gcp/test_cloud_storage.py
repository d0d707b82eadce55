"""Cloud Storage's own behaviour: signed URLs, damaged content, refusals with a reason."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.auth.credentials import Credentials

from http_handlers import serve_handler
from taskreel.adapters.gcp.cloud_storage import CloudStorage
from taskreel.adapters.gcp.iam_signer import IamSigner
from taskreel.domain.errors import NotFoundError, StoreError
from taskreel_local.emulators.google_emulators import LocalStorage

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
async def blobs(local_storage: LocalStorage, bucket: str) -> AsyncIterator[CloudStorage]:
    cloud = CloudStorage(bucket, emulator=local_storage.url, signing_key=local_storage.signing_key)
    await cloud.put("a b/ü.png", b"picture", content_type="image/png")
    yield cloud
    await cloud.close()


async def request_url(url: str, method: str = "GET", **options: Any) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.request(method, url, **options)


async def test_anyone_may_get_a_signed_url(blobs: CloudStorage) -> None:
    answer = await request_url(await blobs.signed_url("a b/ü.png", expires_in=HOUR))
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (
        200,
        b"picture",
        "image/png",
    )
    assert "content-disposition" not in answer.headers


async def test_a_signed_url_serves_ranges_so_that_players_can_seek(blobs: CloudStorage) -> None:
    url = await blobs.signed_url("a b/ü.png", expires_in=HOUR)
    answer = await request_url(url, headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content, answer.headers["content-range"]) == (
        206,
        b"ctu",
        "bytes 2-4/7",
    )


async def test_a_signed_url_is_for_one_object_and_one_method(blobs: CloudStorage) -> None:
    await blobs.put("other", b"secret", content_type="text/plain")
    url = await blobs.signed_url("a b/ü.png", expires_in=HOUR)
    assert (await request_url(url.replace("a%20b/%C3%BC.png", "other"))).status_code == 403
    assert (await request_url(url, "PUT", content=b"mine")).status_code == 403
    assert (await request_url(url, "DELETE")).status_code == 403


async def test_a_signed_url_expires(blobs: CloudStorage) -> None:
    answer = await request_url(await blobs.signed_url("a b/ü.png", expires_in=timedelta(0)))
    assert answer.status_code == 400
    assert "ExpiredToken" in answer.text


async def test_a_signed_url_lasts_seven_days_at_most(blobs: CloudStorage) -> None:
    url = await blobs.signed_url("a b/ü.png", expires_in=timedelta(days=30))
    assert "X-Goog-Expires=604800" in url
    assert (await request_url(url)).status_code == 200


async def test_an_upload_of_a_file_is_resumable_when_it_is_large(
    blobs: CloudStorage, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(bytes(range(256)) * 40_000)
    await blobs.put("film.mp4", film, content_type="video/mp4")
    assert b"".join([chunk async for chunk in blobs.read("film.mp4")]) == film.read_bytes()


async def test_a_damaged_object_is_refused_at_its_end(
    blobs: CloudStorage, local_storage: LocalStorage, bucket: str
) -> None:
    buckets = local_storage.server.buckets
    buckets._store.save_object(buckets.find_object(bucket, "a b/ü.png"), b"pictrue")
    with pytest.raises(StoreError, match="damaged"):
        _ = [chunk async for chunk in blobs.read("a b/ü.png")]


async def test_an_object_deleted_while_it_is_read_is_not_found(blobs: CloudStorage) -> None:
    await blobs.put("large", bytes(9 << 20), content_type="text/plain")
    reading = blobs.read("large")
    await anext(reading)
    await blobs.delete("large")
    with pytest.raises(NotFoundError, match="deleted while"):
        _ = [chunk async for chunk in reading]


async def test_a_missing_bucket_names_the_script_that_makes_it(local_storage: LocalStorage) -> None:
    cloud = CloudStorage("no-such-bucket", emulator=local_storage.url)
    with pytest.raises(StoreError, match="scripts/provision"):
        await cloud.put("a", b"x", content_type="text/plain")
    await cloud.close()


async def test_without_credentials_the_error_names_the_script_that_gets_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/key.json")
    with pytest.raises(StoreError, match=r"scripts/setup-local-auth\.sh"):
        await CloudStorage("bucket").info("a")


# ── Signing by IAM ───────────────────────────────────────────────────────────────────────────────


class RunningAs(Credentials):
    """The service account of a Cloud Run instance: its address comes with the first token."""

    def __init__(self, given: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library is untyped
        self._given = given
        self.service_account_email = "default"

    def refresh(self, _: object) -> None:
        self.token = self._given
        self.service_account_email = "signer@demo.iam.gserviceaccount.com"


@pytest.fixture
def iam(local_storage: LocalStorage) -> Iterator[str]:
    """IAM's signBlob, signing with the key that the local Cloud Storage checks by."""
    key = load_pem_private_key(local_storage.signing_key["private_key"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    private: RSAPrivateKey = key

    class SignBlob(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wanted = "/v1/projects/-/serviceAccounts/signer@demo.iam.gserviceaccount.com:signBlob"
            allowed = self.path == wanted and self.headers["Authorization"] == "Bearer token"
            self.send_response(200 if allowed else 403)
            self.end_headers()
            signature = private.sign(base64.b64decode(body["payload"]), PKCS1v15(), SHA256())
            self.wfile.write(
                json.dumps({"signedBlob": base64.b64encode(signature).decode()}).encode()
            )

        def log_message(self, *_: object) -> None: ...

    with serve_handler(SignBlob) as origin:
        yield origin


async def test_without_a_key_file_urls_are_signed_by_iam(
    local_storage: LocalStorage, bucket: str, iam: str
) -> None:
    cloud = CloudStorage(bucket, emulator=local_storage.url)
    await cloud.put("a.png", b"picture", content_type="image/png")
    assert cloud._bucket is not None
    cloud._bucket._signer = IamSigner(RunningAs("token"), iam)
    url = await cloud.signed_url("a.png", expires_in=HOUR)
    assert "signer%40demo.iam.gserviceaccount.com" in url
    assert (await request_url(url)).content == b"picture"
    await cloud.close()


async def test_an_account_that_iam_does_not_let_sign_gets_the_names_of_its_roles(
    local_storage: LocalStorage, bucket: str, iam: str
) -> None:
    cloud = CloudStorage(bucket, emulator=local_storage.url)
    await cloud.info("a")
    assert cloud._bucket is not None
    cloud._bucket._signer = IamSigner(RunningAs("another's token"), iam)
    with pytest.raises(StoreError, match=r"serviceAccountTokenCreator.*scripts/provision"):
        await cloud.signed_url("a", expires_in=HOUR)
    await cloud.close()


class Person(Credentials):
    """The login of a person, which is of no service account."""

    def refresh(self, _: object) -> None:
        self.token = "token"


def test_the_credentials_of_a_person_cannot_sign() -> None:
    person = Person()  # type: ignore[no-untyped-call]  # the library is untyped
    with pytest.raises(StoreError, match="Only a service account"):
        _ = IamSigner(person).signer_email


async def test_the_age_of_a_file_begins_when_it_is_stored_and_anew_when_it_is_renewed(
    local_storage: LocalStorage, bucket: str
) -> None:
    stored_at = datetime(2026, 1, 1, tzinfo=UTC)
    cloud = CloudStorage(bucket, emulator=local_storage.url, now=lambda: stored_at)
    await cloud.put("a", b"x", content_type="text/plain")

    async def read_custom_time() -> datetime:
        answer = await request_url(f"{local_storage.url}/storage/v1/b/{bucket}/o/a")
        return datetime.fromisoformat(answer.json()["customTime"])

    assert await read_custom_time() == stored_at
    await cloud.renew(["a"], stored_at + 80 * DAY)
    assert await read_custom_time() == stored_at + 80 * DAY
    # Cloud Storage never moves it back, and refuses to.
    await cloud.renew(["a"], stored_at + DAY)
    assert await read_custom_time() == stored_at + 80 * DAY
    await cloud.close()


async def test_an_upload_goes_on_after_a_cut_and_replaces_nothing(blobs: CloudStorage) -> None:
    data = bytes(range(256)) * 2048
    url = await blobs.open_upload(
        "uploads/u1/a.png",
        content_type="image/png",
        size=len(data),
        expires_in=HOUR,
        origin="https://app.example.com",
    )
    assert await blobs.info("uploads/u1/a.png") is None
    half = len(data) // 2
    first = {"Content-Range": f"bytes 0-{half - 1}/{len(data)}"}
    answer = await request_url(url, "PUT", content=data[:half], headers=first)
    assert (answer.status_code, answer.headers["range"]) == (308, f"bytes=0-{half - 1}")
    rest = {"Content-Range": f"bytes {half}-{len(data) - 1}/{len(data)}"}
    assert (await request_url(url, "PUT", content=data[half:], headers=rest)).is_success
    info = await blobs.info("uploads/u1/a.png")
    assert info is not None
    assert (info.bytes, info.content_type) == (len(data), "image/png")

    with pytest.raises(StoreError, match="412"):
        await blobs.open_upload(
            "uploads/u1/a.png", content_type="image/png", size=1, expires_in=HOUR
        )
