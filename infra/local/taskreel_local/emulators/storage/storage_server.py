"""The Cloud Storage emulator: its buckets, and the application that serves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from taskreel_local.emulators.storage.buckets import Buckets
from taskreel_local.emulators.storage.json_api import StorageApi
from taskreel_local.emulators.storage.object_store import FolderObjectStore, MemoryObjectStore


class StorageServer:
    """Cloud Storage's JSON API and signed URLs, in memory or over a folder.

    With `public_key` (PEM) the signatures of signed URLs are verified; without it only their time
    and headers are.
    """

    def __init__(
        self,
        *,
        buckets: Sequence[str] = (),
        folder: Path | None = None,
        public_key: bytes | str | None = None,
    ) -> None:
        self.buckets = Buckets(
            FolderObjectStore(folder) if folder else MemoryObjectStore(), buckets
        )
        self._public_key = _parse_public_key(public_key) if public_key else None

    def create_app(self) -> StorageApi:
        """Return a new ASGI application."""
        return StorageApi(self.buckets, self._public_key)


def generate_signing_key() -> tuple[dict[str, Any], bytes]:
    """Return a service account key file unknown to Google, and its public key in PEM."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    info = {
        "type": "service_account",
        "client_email": "local@taskreel-local.iam.gserviceaccount.com",
        "private_key": key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return info, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _parse_public_key(pem: bytes | str) -> RSAPublicKey:
    key = load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
    if not isinstance(key, RSAPublicKey):
        raise TypeError("public_key must be an RSA key: signed URLs are verified with it")
    return key
