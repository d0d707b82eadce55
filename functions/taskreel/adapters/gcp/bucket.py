"""One Cloud Storage bucket through the library's blocking client: for threads. Raises StoreError with what mends it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import google.auth
import google_crc32c
import requests
from google.api_core.exceptions import GoogleAPICallError, NotFound, RetryError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2.service_account import Credentials

from taskreel.adapters.gcp.error_advice import Service, advice, without_credentials
from taskreel.adapters.gcp.signing import IamSigner
from taskreel.domain.errors import NotFoundError, StoreError
from taskreel.ports import BlobInfo

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_CHUNK = 4 << 20
_LONGEST_URL = timedelta(days=7)
_DELETES_AT_ONCE = 8
#: Connect and read, for one try; all tries of a call together take at most the retry's own time. Every call here may
#: be repeated: an upload replaces the object by the same bytes, or asks that there be none.
_TIMEOUT = (5, 60)
_RETRY = DEFAULT_RETRY.with_timeout(10).with_delay(initial=0.2, maximum=3)


class Bucket:
    """The calls that `CloudStorage` makes."""

    def __init__(
        self,
        name: str,
        project: str | None,
        emulator: str | None,
        signing_key: Mapping[str, Any] | None,
    ) -> None:
        self._service = Service(
            name="Cloud Storage",
            api="storage.googleapis.com",
            role="roles/storage.objectAdmin on the bucket and roles/iam.serviceAccountTokenCreator on itself",
            provision="scripts/provision",
            emulator=emulator,
        )
        self._name = name
        self._emulator = emulator
        with self._translated():
            credentials = _credentials(emulator, signing_key)
            options = None if emulator is None else {"api_endpoint": emulator}
            self._client = Client(
                project or "unused", credentials=credentials, client_options=options
            )
            self._signer = _key(signing_key) if signing_key else IamSigner(credentials)
        self._bucket = self._client.bucket(name)

    def put(self, path: str, source: Path | bytes, content_type: str) -> None:
        """Store the object whole, verified by checksum; one that is there is replaced."""
        blob = self._bucket.blob(path)
        options = {
            "content_type": content_type,
            "checksum": "crc32c",
            "timeout": _TIMEOUT,
            "retry": _RETRY,
        }
        with self._translated():
            if isinstance(source, bytes):
                blob.upload_from_string(source, **options)
            else:
                blob.upload_from_filename(str(source), **options)

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of the generation that is there now; raises at once when there is none."""
        blob = self._found(path)
        if blob is None:
            raise NotFoundError(f"There is no file {path}.")
        return self._chunks(blob)

    def info(self, path: str) -> BlobInfo | None:
        """Size and type."""
        blob = self._found(path)
        return None if blob is None else BlobInfo(path, blob.size, blob.content_type)

    def signed_url(self, path: str, expires_in: timedelta) -> str:
        """A V4 URL for GET; it lasts seven days at most."""
        with self._translated():
            return str(
                self._bucket.blob(path).generate_signed_url(
                    version="v4",
                    method="GET",
                    expiration=min(expires_in, _LONGEST_URL),
                    api_access_endpoint=self._emulator,
                    credentials=self._signer,
                )
            )

    def delete(self, prefix: str) -> int:
        """Remove what lies under `prefix` now."""
        with self._translated():
            listed = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                fields="items(name),nextPageToken",
                timeout=_TIMEOUT,
                retry=_RETRY,
            )
            names = [blob.name for blob in listed]
            with ThreadPoolExecutor(_DELETES_AT_ONCE) as pool:
                list(pool.map(self._delete, names))
        return len(names)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _found(self, path: str) -> Any:
        with self._translated():
            return self._bucket.get_blob(path, timeout=_TIMEOUT, retry=_RETRY)

    def _chunks(self, blob: Any) -> Iterator[bytes]:
        """Ranges of one generation, and at the end the proof that they were all of it."""
        checksum = 0
        for start in range(0, blob.size, _CHUNK):
            chunk = self._range(blob, start)
            checksum = google_crc32c.extend(checksum, chunk)
            yield chunk
        if base64.b64encode(checksum.to_bytes(4)).decode() != blob.crc32c:
            raise StoreError(
                f"{blob.name} was damaged on its way from Cloud Storage. Read it again."
            )

    def _range(self, blob: Any, start: int) -> bytes:
        try:
            with self._translated():
                return bytes(
                    blob.download_as_bytes(
                        start=start,
                        end=start + _CHUNK - 1,
                        raw_download=True,
                        checksum=None,
                        timeout=_TIMEOUT,
                        retry=_RETRY,
                    )
                )
        except NotFound as error:
            raise NotFoundError(f"{blob.name} was deleted while it was read.") from error

    def _delete(self, name: str) -> None:
        with suppress(NotFound):  # somebody else was faster, or our first try was
            self._bucket.blob(name).delete(timeout=_TIMEOUT, retry=_RETRY)

    def _advice(self, code: str, said: str) -> str:
        return advice(self._service, f"gs://{self._name}", code, said)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Refusals in our own words; a missing object passes as it is."""
        try:
            yield
        except StoreError:
            raise
        except NotFound as error:
            if "bucket" not in error.message.lower():
                raise
            raise StoreError(self._advice("404", error.message)) from error
        except GoogleAPICallError as error:
            raise StoreError(self._advice(str(int(error.code or 500)), error.message)) from error
        except DefaultCredentialsError as error:
            raise StoreError(without_credentials(self._service)) from error
        except GoogleAuthError as error:
            raise StoreError(self._advice("UNAUTHENTICATED", str(error))) from error
        except requests.HTTPError as error:
            status = "unreachable" if error.response is None else str(error.response.status_code)
            raise StoreError(self._advice(status, str(error))) from error
        except (requests.RequestException, RetryError) as error:
            raise StoreError(self._advice("unreachable", str(error))) from error


def _credentials(emulator: str | None, signing_key: Mapping[str, Any] | None) -> Any:
    if emulator is not None:
        return AnonymousCredentials()
    if signing_key is not None:
        return _key(signing_key).with_scopes(_SCOPES)
    return google.auth.default(scopes=_SCOPES)[0]


def _key(info: Mapping[str, Any]) -> Any:
    return Credentials.from_service_account_info(dict(info))
