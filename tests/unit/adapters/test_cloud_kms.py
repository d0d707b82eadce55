"""The Cloud KMS adapter against a server that answers as Google's reference documents it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import google_crc32c
import pytest
from google.auth.credentials import AnonymousCredentials

from http_handlers import serve_handler
from taskreel.adapters.gcp.cloud_kms import CloudKmsKey
from taskreel.domain.errors import StoreError

NAME = "projects/p/locations/europe-west1/keyRings/taskreel/cryptoKeys/documents"


def checksum(content: bytes) -> str:
    return str(google_crc32c.value(content))


@dataclass
class Kms:
    """One key. `encrypt` and `decrypt` of its resource, with their checksums."""

    url: str = ""
    refusal: tuple[int, str] | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.paths.append(path)
        if self.refusal is not None:
            return self.refusal[0], {"error": {"message": self.refusal[1]}}
        if path.endswith(":encrypt"):
            plain = base64.b64decode(body["plaintext"])
            sealed = b"sealed " + plain[::-1]
            found: dict[str, Any] = {
                "name": f"{NAME}/cryptoKeyVersions/1",
                "ciphertext": base64.b64encode(sealed).decode(),
                "ciphertextCrc32c": checksum(sealed),
                "verifiedPlaintextCrc32c": body["plaintextCrc32c"] == checksum(plain),
            }
        else:
            sealed = base64.b64decode(body["ciphertext"])
            assert body["ciphertextCrc32c"] == checksum(sealed)
            plain = sealed.removeprefix(b"sealed ")[::-1]
            found = {
                "plaintext": base64.b64encode(plain).decode(),
                "plaintextCrc32c": checksum(plain),
            }
        return 200, found | self.changes


@pytest.fixture
def kms() -> Iterator[Kms]:
    server = Kms()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = server.answer(self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with serve_handler(Handler) as url:
        server.url = url
        yield server


@pytest.fixture
def key(kms: Kms) -> CloudKmsKey:
    return CloudKmsKey(NAME, credentials=AnonymousCredentials(), endpoint=kms.url)


async def test_a_data_key_comes_back_as_it_was(kms: Kms, key: CloudKmsKey) -> None:
    wrapped = await key.wrap(b"k" * 31 + b"!")
    assert wrapped.startswith(b"sealed ")
    assert await key.unwrap(wrapped) == b"k" * 31 + b"!"
    assert kms.paths == [f"/v1/{NAME}:encrypt", f"/v1/{NAME}:decrypt"]
    assert key.name == f"gcp-kms://{NAME}"
    await key.close()


@pytest.mark.parametrize(
    "changes", [{"ciphertextCrc32c": "1"}, {"verifiedPlaintextCrc32c": False}, {}]
)
async def test_a_key_that_was_damaged_on_its_way_is_not_used(
    kms: Kms, key: CloudKmsKey, changes: dict[str, Any]
) -> None:
    if changes:
        kms.changes = changes
        with pytest.raises(StoreError, match="damaged"):
            await key.wrap(b"k" * 32)
    else:
        kms.changes = {"plaintextCrc32c": "1"}
        with pytest.raises(StoreError, match="damaged"):
            await key.unwrap(b"sealed x")
    await key.close()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "roles/cloudkms.cryptoKeyEncrypterDecrypter"),
        (404, "There is no such key"),
        (400, "enable its version"),
        (503, "Try again"),
    ],
)
async def test_a_refusal_says_what_to_do(
    kms: Kms, key: CloudKmsKey, status: int, words: str
) -> None:
    kms.refusal = (status, "Google's own words")
    with pytest.raises(StoreError, match=words) as raised:
        await key.unwrap(b"sealed x")
    assert "Google's own words" in raised.value.message
    await key.close()


async def test_a_service_that_cannot_be_reached_is_no_answer() -> None:
    key = CloudKmsKey(NAME, credentials=AnonymousCredentials(), endpoint="http://127.0.0.1:1")
    with pytest.raises(StoreError, match="could not be reached"):
        await key.wrap(b"k" * 32)
    await key.close()
