"""Cloud KMS as the key service: two calls of its REST API, a few a process and day.

Google's client (google-cloud-kms) would be one more dependency with its own import time; the
session that signs URLs (`iam_signer`) makes the same calls with the libraries that are there.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import google_crc32c
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from requests import RequestException, Response

from taskreel.domain.errors import StoreError

_TIMEOUT = (5, 10)
_ENDPOINT = "https://cloudkms.googleapis.com"
_ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"


class CloudKmsKey:
    """`KeyService` over a symmetric key of Cloud KMS: `projects/P/locations/L/keyRings/R/…`.

    Its versions are Cloud KMS's own matter: the primary one encrypts, every enabled one decrypts.
    """

    def __init__(self, name: str, *, credentials: Any = None, endpoint: str | None = None) -> None:
        self.name = f"gcp-kms://{name}"
        self._resource = name
        self._credentials = credentials
        self._endpoint = (endpoint or _ENDPOINT).rstrip("/")
        self._session: AuthorizedSession | None = None

    async def wrap(self, data_key: bytes, /) -> bytes:
        body = {
            "plaintext": _encode_base64(data_key),
            "plaintextCrc32c": _compute_checksum(data_key),
        }
        answer = await asyncio.to_thread(self._send_request, "encrypt", body)
        wrapped = base64.b64decode(answer["ciphertext"])
        # Google asks for these checks: a key that was damaged on the way is lost for ever.
        if answer.get("verifiedPlaintextCrc32c") is not True:
            raise StoreError("Cloud KMS received a damaged data key; try again.")
        if str(answer.get("ciphertextCrc32c")) != _compute_checksum(wrapped):
            raise StoreError("Cloud KMS's answer was damaged on its way; try again.")
        return wrapped

    async def unwrap(self, wrapped: bytes, /) -> bytes:
        body = {
            "ciphertext": _encode_base64(wrapped),
            "ciphertextCrc32c": _compute_checksum(wrapped),
        }
        answer = await asyncio.to_thread(self._send_request, "decrypt", body)
        data_key = base64.b64decode(answer["plaintext"])
        if str(answer.get("plaintextCrc32c")) != _compute_checksum(data_key):
            raise StoreError("Cloud KMS's answer was damaged on its way; try again.")
        return data_key

    async def close(self) -> None:
        if self._session is not None:
            await asyncio.to_thread(self._session.close)
            self._session = None

    def _send_request(self, verb: str, body: Mapping[str, Any]) -> Any:
        url = f"{self._endpoint}/v1/{self._resource}:{verb}"
        try:
            response = self._open_session().post(url, json=body, timeout=_TIMEOUT)
        except (RequestException, GoogleAuthError) as error:
            raise StoreError(f"Cloud KMS could not be reached to {verb} a data key: {error}") from (
                error
            )
        if not response.ok:
            raise StoreError(self._describe_refusal(verb, response))
        return response.json()

    def _open_session(self) -> AuthorizedSession:
        if self._session is None:
            credentials = self._credentials
            if credentials is None:
                import google.auth

                credentials, _ = google.auth.default(
                    scopes=["https://www.googleapis.com/auth/cloudkms"]
                )
            self._session = AuthorizedSession(credentials, refresh_timeout=10)
        return self._session

    def _describe_refusal(self, verb: str, response: Response) -> str:
        try:
            text = str(response.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            text = response.text[:300]
        advice = {
            403: f"Grant {_ROLE} on the key to this service's account, and enable "
            "cloudkms.googleapis.com: with ENCRYPTION_KEY set, scripts/provision does both.",
            404: "There is no such key: check ENCRYPTION_KEY. scripts/provision makes it.",
            400: "The key is disabled, destroyed or of another kind, or it has not encrypted this "
            "data key: enable its version, or set ENCRYPTION_KEY to the key that did.",
        }.get(response.status_code, "Try again.")
        return f"Cloud KMS refused to {verb} with {self._resource} ({text}). {advice}"


def _encode_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _compute_checksum(content: bytes) -> str:
    return str(google_crc32c.value(content))
