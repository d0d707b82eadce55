"""Signing without a private key: IAM's signBlob, as the service account of this process."""

from __future__ import annotations

import base64
from typing import Any

from google.auth.credentials import Signing
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud.storage.retry import DEFAULT_RETRY

from taskreel.domain.errors import StoreError

_TIMEOUT = (5, 20)
_RETRY = DEFAULT_RETRY.with_timeout(10)


class IamSigner(Signing):
    """Credentials for `generate_signed_url` that have IAM sign.

    The account needs roles/iam.serviceAccountTokenCreator on itself.
    """

    def __init__(
        self, credentials: Any, endpoint: str = "https://iamcredentials.googleapis.com"
    ) -> None:
        self._credentials = credentials
        self._endpoint = endpoint
        self._session = AuthorizedSession(credentials, refresh_timeout=10)

    def sign_bytes(self, message: bytes) -> bytes:
        """Sign `message` with one call to IAM."""
        url = f"{self._endpoint}/v1/projects/-/serviceAccounts/{self.signer_email}:signBlob"
        body = {"payload": base64.b64encode(message).decode()}

        def request_signature() -> Any:
            response = self._session.post(url, json=body, timeout=_TIMEOUT)
            response.raise_for_status()
            return response.json()

        return base64.b64decode(_RETRY(request_signature)()["signedBlob"])

    @property
    def signer_email(self) -> str:
        """The service account's address. The metadata server sends it with the first token."""
        email = getattr(self._credentials, "service_account_email", None)
        if email == "default":
            self._credentials.refresh(Request())
            email = self._credentials.service_account_email
        if email is None:
            raise StoreError(
                "Only a service account can sign URLs of Cloud Storage, and these credentials are "
                "of none. Run `scripts/setup-local-auth.sh` and use the key that it creates."
            )
        return str(email)

    @property
    def signer(self) -> IamSigner:
        """This object, as the `Signing` interface asks for."""
        return self
