"""One Cloud Storage bucket through Google's blocking client; its methods are called on threads."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
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

from taskreel.adapters.gcp.error_advice import (
    Service,
    explain_error,
    explain_missing_credentials,
)
from taskreel.adapters.gcp.iam_signer import IamSigner
from taskreel.domain.errors import NotFoundError, StoreError
from taskreel.ports import BlobInfo

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_CHUNK_BYTES = 4 << 20
#: Cloud Storage accepts no V4 signature that lasts longer.
_LONGEST_URL = timedelta(days=7)
_PARALLEL_DELETES = 8
#: Seconds to connect and to read, for one try. `_RETRY` limits all tries of a call to ten seconds.
#: Every call here may be repeated: an upload replaces the object by the same bytes.
_TIMEOUT = (5, 60)
_RETRY = DEFAULT_RETRY.with_timeout(10).with_delay(initial=0.2, maximum=3)


class Bucket:
    """The blocking calls behind `CloudStorage`. Raises StoreError with the command to run."""

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
            role=(
                "roles/storage.objectAdmin on the bucket and "
                "roles/iam.serviceAccountTokenCreator on itself"
            ),
            provision="scripts/provision",
            emulator=emulator,
        )
        self._name = name
        self._emulator = emulator
        with self._translate_errors():
            credentials = _find_credentials(emulator, signing_key)
            options = None if emulator is None else {"api_endpoint": emulator}
            self._client = Client(
                project or "unused", credentials=credentials, client_options=options
            )
            self._signer = _load_key(signing_key) if signing_key else IamSigner(credentials)
        self._bucket = self._client.bucket(name)

    def upload(self, path: str, source: Path | bytes, content_type: str, at: datetime) -> None:
        """Store the object whole, verified by checksum; an existing one is replaced.

        `at` is the custom time, from which the lifecycle counts its age.
        """
        blob = self._bucket.blob(path)
        blob.custom_time = at
        options = {
            "content_type": content_type,
            "checksum": "crc32c",
            "timeout": _TIMEOUT,
            "retry": _RETRY,
        }
        with self._translate_errors():
            if isinstance(source, bytes):
                blob.upload_from_string(source, **options)
            else:
                blob.upload_from_filename(str(source), **options)

    def open_chunks(self, path: str) -> Iterator[bytes]:
        """The object's content in chunks. Raises NotFoundError at once if there is no object.

        All chunks are of the generation that exists now, even if the object is replaced meanwhile.
        """
        blob = self._find_blob(path)
        if blob is None:
            raise NotFoundError(f"There is no file {path}.")
        return self._read_chunks(blob)

    def read_info(self, path: str) -> BlobInfo | None:
        """The object's size and type, or None if there is no object."""
        blob = self._find_blob(path)
        return None if blob is None else BlobInfo(path, blob.size, blob.content_type)

    def sign_url(self, path: str, expires_in: timedelta) -> str:
        """Sign a V4 URL for GET. It is valid for seven days at most."""
        with self._translate_errors():
            return str(
                self._bucket.blob(path).generate_signed_url(
                    version="v4",
                    method="GET",
                    expiration=min(expires_in, _LONGEST_URL),
                    api_access_endpoint=self._emulator,
                    credentials=self._signer,
                )
            )

    def open_upload(self, path: str, content_type: str, size: int, origin: str | None) -> str:
        """Begin a resumable upload of so many bytes; the URL of its session is the permission.

        An object that exists is not replaced.
        """
        with self._translate_errors():
            return str(
                self._bucket.blob(path).create_resumable_upload_session(
                    content_type=content_type,
                    size=size,
                    origin=origin,
                    timeout=_TIMEOUT,
                    if_generation_match=0,
                )
            )

    def renew(self, path: str, at: datetime) -> None:
        """Move the custom time of an object to `at`; it is never moved back."""
        blob = self._find_blob(path)
        if blob is None or (blob.custom_time is not None and blob.custom_time >= at):
            return
        blob.custom_time = at
        with suppress(NotFound), self._translate_errors():
            blob.patch(timeout=_TIMEOUT, retry=_RETRY)

    def delete_prefix(self, prefix: str) -> int:
        """Delete every object whose path begins with `prefix`; return their number."""
        names = [name for page in self.open_pages(prefix) for name in page]
        with self._translate_errors(), ThreadPoolExecutor(_PARALLEL_DELETES) as pool:
            list(pool.map(self._delete_object, names))
        return len(names)

    def open_pages(self, prefix: str) -> Iterator[list[str]]:
        """Yield the names of the objects that begin with `prefix`, by pages."""
        with self._translate_errors():
            listed = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                fields="items(name),nextPageToken",
                timeout=_TIMEOUT,
                retry=_RETRY,
            )
            for page in listed.pages:
                yield [blob.name for blob in page]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _find_blob(self, path: str) -> Any:
        with self._translate_errors():
            return self._bucket.get_blob(path, timeout=_TIMEOUT, retry=_RETRY)

    def _read_chunks(self, blob: Any) -> Iterator[bytes]:
        """Read the ranges of one generation, then compare the checksum of the whole."""
        checksum = 0
        for start in range(0, blob.size, _CHUNK_BYTES):
            chunk = self._read_range(blob, start)
            checksum = google_crc32c.extend(checksum, chunk)
            yield chunk
        if base64.b64encode(checksum.to_bytes(4)).decode() != blob.crc32c:
            raise StoreError(
                f"Cloud Storage: {blob.name} was damaged while it was read: its checksum differs. "
                "Read it again; if that fails too, run `scripts/doctor`."
            )

    def _read_range(self, blob: Any, start: int) -> bytes:
        try:
            with self._translate_errors():
                return bytes(
                    blob.download_as_bytes(
                        start=start,
                        end=start + _CHUNK_BYTES - 1,
                        raw_download=True,
                        checksum=None,
                        timeout=_TIMEOUT,
                        retry=_RETRY,
                    )
                )
        except NotFound as error:
            raise NotFoundError(f"{blob.name} was deleted while it was read.") from error

    def _delete_object(self, name: str) -> None:
        with suppress(NotFound):  # deleted by another process, or by our own earlier try
            self._bucket.blob(name).delete(timeout=_TIMEOUT, retry=_RETRY)

    def _store_error(self, code: str, details: object) -> StoreError:
        resource = f"gs://{self._name}"
        return StoreError(explain_error(self._service, resource, code, str(details)))

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise StoreError for every error of the client, except NotFound for a missing object."""
        try:
            yield
        except StoreError:
            raise
        except NotFound as error:
            if "bucket" not in str(error.message).lower():
                raise
            raise self._store_error("404", error.message) from error
        except GoogleAPICallError as error:
            raise self._store_error(str(int(error.code or 500)), error.message) from error
        except DefaultCredentialsError as error:
            raise StoreError(explain_missing_credentials(self._service)) from error
        except GoogleAuthError as error:
            raise self._store_error("UNAUTHENTICATED", error) from error
        except requests.HTTPError as error:
            status = "unreachable" if error.response is None else str(error.response.status_code)
            raise self._store_error(status, error) from error
        except (requests.RequestException, RetryError) as error:
            raise self._store_error("unreachable", error) from error


def _find_credentials(emulator: str | None, signing_key: Mapping[str, Any] | None) -> Any:
    if emulator is not None:
        return AnonymousCredentials()
    if signing_key is not None:
        return _load_key(signing_key).with_scopes(_SCOPES)
    return google.auth.default(scopes=_SCOPES)[0]


def _load_key(info: Mapping[str, Any]) -> Any:
    return Credentials.from_service_account_info(dict(info))
