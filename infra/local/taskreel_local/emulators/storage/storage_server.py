"""The local Cloud Storage as a whole: what it keeps, and the application that serves it."""

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
from taskreel_local.emulators.storage.json_api import Api
from taskreel_local.emulators.storage.object_store import FolderShelf, MemoryShelf


class StorageServer:
    """Cloud Storage's JSON API and signed URLs over memory, or over a folder that outlives the process.

    With `public_key` (PEM) the signatures of signed URLs are checked; without it only their time and headers are.
    """

    def __init__(
        self,
        *,
        buckets: Sequence[str] = (),
        folder: Path | None = None,
        public_key: bytes | str | None = None,
    ) -> None:
        self.buckets = Buckets(FolderShelf(folder) if folder else MemoryShelf(), buckets)
        self._public_key = _rsa_key(public_key) if public_key else None

    def app(self) -> Api:
        """The ASGI application."""
        return Api(self.buckets, self._public_key)


def throwaway_key() -> tuple[dict[str, Any], bytes]:
    """A service account key that no Google knows, as its file would read, and its public half in PEM."""
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


def _rsa_key(pem: bytes | str) -> RSAPublicKey:
    key = load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
    if not isinstance(key, RSAPublicKey):
        raise TypeError("signed URLs are checked with an RSA public key")
    return key
