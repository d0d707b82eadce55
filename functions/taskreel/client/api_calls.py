"""The calls of the API, the retries and the reading of responses, without any input or output.

Both clients send these calls. Most may be sent again: reading changes nothing, a submission carries
an idempotency key, and cancelling twice is cancelling once. The others are marked.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel, ValidationError

from taskreel.client.client_errors import (
    ApiError,
    DownloadError,
    JobNotEndedError,
    UnreadableAnswerError,
)
from taskreel.client.job_models import File, Job, Upload

M = TypeVar("M", bound=BaseModel)

#: Called during a transfer with the number of bytes sent so far.
OnProgress = Callable[[int], None]

#: A long poll is answered after so long; the connection must outlive it.
WAIT_SECONDS = 30
TIMEOUT = httpx.Timeout(30, read=WAIT_SECONDS + 30)
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Methods that have the same effect however often they are sent.
_REPEATABLE = frozenset({"GET", "HEAD", "PUT"})
#: Errors before the request was sent.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
CHUNK_BYTES = 1 << 18
_LONGEST_DELAY = 30.0
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request. One that is not `repeatable` is sent again only if it has not been served."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    def may_follow(self, outcome: httpx.Response | httpx.TransportError) -> bool:
        """True if the request may be sent again after this outcome."""
        if self.repeatable or isinstance(outcome, _UNSENT):
            return True
        # Too many requests: this one was refused before anything was done.
        return isinstance(outcome, httpx.Response) and outcome.status_code == 429


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The server, the token, and how often a call is repeated."""

    url: str
    token: str
    max_retries: int = 4
    retry_seconds: float = 0.5

    @classmethod
    def read(cls, url: str | None, token: str | None, **others: Any) -> ClientSettings:
        """The given values, or those of TASKREEL_URL and TASKREEL_TOKEN."""
        url = url or os.environ.get("TASKREEL_URL")
        token = token or os.environ.get("TASKREEL_TOKEN")
        if not url or not token:
            raise ValueError(
                "Give the API's URL and a token, or set TASKREEL_URL and TASKREEL_TOKEN."
            )
        return cls(url.rstrip("/"), token, **others)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every call."""
        return {"Authorization": f"Bearer {self.token}", "User-Agent": "taskreel-client"}

    def find_delay(self, failures: int, response: httpx.Response | None) -> float | None:
        """The seconds before the call is sent again; None to give up.

        `failures` counts the tries so far. Without a response the server was not reached.
        """
        if failures > self.max_retries:
            return None
        if response is not None and response.status_code not in _RETRIED:
            return None
        asked = response.headers.get("Retry-After", "") if response is not None else ""
        if asked.isdecimal():
            return min(float(asked), _LONGEST_DELAY)
        longest = min(_LONGEST_DELAY, self.retry_seconds * 2.0 ** (failures - 1))
        # Jitter: clients that failed at the same time do not come back at the same time.
        return longest * random.uniform(0.5, 1)  # noqa: S311 - it is no secret


def _quote(part: str) -> str:
    """A part of a path, as which no slash in it divides the path."""
    return quote(part, safe="")


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────


def submit_call(
    job_type: str, payload: Mapping[str, Any], key: str | None, wait_seconds: float
) -> ApiCall:
    """Create a job; with a key of its own if none is given, so that it can be sent again."""
    headers = {"Idempotency-Key": key or uuid4().hex}
    if wait_seconds:
        headers["Prefer"] = f"wait={min(wait_seconds, WAIT_SECONDS):g}"
    return ApiCall("POST", f"/api/jobs/{_quote(job_type)}", payload, headers=headers)


def quote_call(job_type: str, payload: Mapping[str, Any]) -> ApiCall:
    """Check a request and ask for its price."""
    return ApiCall("POST", f"/api/jobs/{_quote(job_type)}", payload, {"validateOnly": "true"})


def read_call(job_id: str, wait_seconds: float = 0) -> ApiCall:
    """Read a job, as soon as it has ended within so long."""
    headers = {"Prefer": f"wait={min(wait_seconds, WAIT_SECONDS):g}"} if wait_seconds > 0 else {}
    return ApiCall("GET", f"/api/jobs/{_quote(job_id)}", headers=headers)


def events_call(job_id: str, after: str | None) -> ApiCall:
    """Wait for a job's changes behind a position."""
    query = {} if after is None else {"after": after}
    headers = {"Prefer": f"wait={WAIT_SECONDS}"}
    return ApiCall("GET", f"/api/jobs/{_quote(job_id)}/events", query=query, headers=headers)


def list_call(filters: Mapping[str, Any], cursor: str | None) -> ApiCall:
    """Read a page of the caller's jobs. Filters have the API's names, also in snake_case."""
    query = {
        _to_camel(name): _format(value) for name, value in filters.items() if value is not None
    }
    if cursor is not None:
        query["cursor"] = cursor
    return ApiCall("GET", "/api/jobs", query=query)


def cancel_call(job: Job) -> ApiCall:
    """Cancel a job; one that has ended stays as it is."""
    return ApiCall("POST", f"/api/jobs/{_quote(job.job_type)}/{_quote(job.job_id)}/cancel")


def retry_call(job: Job) -> ApiCall:
    """Open a failed job's next round. A second one would be refused, since the job runs then."""
    path = f"/api/jobs/{_quote(job.job_type)}/{_quote(job.job_id)}/retry"
    return ApiCall("POST", path, repeatable=False)


def replay_call(
    job: Job,
    edit: Mapping[str, Any] | None,
    from_step: str | None,
    provider: str | None,
    key: str | None,
) -> ApiCall:
    """Create a job from an ended one, with the payload edited by a JSON merge patch."""
    given = {"edit": edit, "fromStep": from_step, "provider": provider}
    body = {name: value for name, value in given.items() if value is not None}
    path = f"/api/jobs/{_quote(job.job_type)}/{_quote(job.job_id)}/replay"
    return ApiCall("POST", path, body, headers={"Idempotency-Key": key or uuid4().hex})


def quote_replay_call(call: ApiCall) -> ApiCall:
    """Check a replay and ask for its price."""
    return ApiCall(call.method, call.path, call.body, {"validateOnly": "true"})


def delete_call(job: Job) -> ApiCall:
    """Remove an ended job and its files. Raises JobNotEndedError for another, which it cancels."""
    if not job.has_ended:
        raise JobNotEndedError(job)
    path = f"/api/jobs/{_quote(job.job_type)}/{_quote(job.job_id)}"
    return ApiCall("DELETE", path, repeatable=False)


def history_call(job_id: str) -> ApiCall:
    """Read the changes of a job's status."""
    return ApiCall("GET", f"/api/jobs/{_quote(job_id)}/history")


def all_events_call(after: str | None) -> ApiCall:
    """Wait for the changes of all jobs behind a position."""
    query = {} if after is None else {"after": after}
    return ApiCall(
        "GET", "/api/jobs/events", query=query, headers={"Prefer": f"wait={WAIT_SECONDS}"}
    )


def any_call(
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    query: Mapping[str, Any] | None,
    key: str | None,
) -> ApiCall:
    """A call of any route. It is repeatable by its method or its idempotency key."""
    return ApiCall(
        method,
        path,
        body,
        query={
            _to_camel(name): _format(value)
            for name, value in (query or {}).items()
            if value is not None
        },
        headers={"Idempotency-Key": key} if key else {},
        repeatable=method in _REPEATABLE or key is not None,
    )


def account_call() -> ApiCall:
    """Read the caller's credits."""
    return ApiCall("GET", "/api/credits")


def build_payload(
    payload: Mapping[str, Any] | BaseModel | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """The request's body: a mapping or a model, and single fields in either spelling."""
    if isinstance(payload, BaseModel):
        payload = payload.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {**(payload or {}), **{_to_camel(name): value for name, value in fields.items()}}


def _to_camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _format(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value))
    return value


# ── Responses ────────────────────────────────────────────────────────────────────────────────────


def parse_response(response: httpx.Response, model: type[M]) -> M:
    """The body of a success. Raises ApiError and UnreadableAnswerError."""
    if not response.is_success:
        raise build_error(response)
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise _build_unreadable(response) from error


def _build_unreadable(response: httpx.Response) -> UnreadableAnswerError:
    kind = response.headers.get("Content-Type", "")
    return UnreadableAnswerError(response.request.url, kind)


def build_error(response: httpx.Response) -> ApiError:
    """The error that a response other than a success tells of."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return ApiError(
        response.status_code,
        problem if isinstance(problem, dict) else {"title": response.reason_phrase},
    )


def parse_json(response: httpx.Response) -> Any:
    """The JSON of a success; None without a body. Raises as `parse_response`."""
    if not response.is_success:
        raise build_error(response)
    try:
        return response.json() if response.content else None
    except ValueError as error:
        raise _build_unreadable(response) from error


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to upload: its path, and the facts that announce it."""

    path: Path
    name: str
    content_type: str
    bytes: int
    sha256: str

    @classmethod
    def read(cls, path: str | os.PathLike[str], content_type: str | None) -> LocalFile:
        """Read the facts of a file. Raises OSError if it cannot be read."""
        path = Path(path)
        guessed = mimetypes.guess_type(path.name)[0]
        with path.open("rb") as file:
            return cls(
                path=path,
                name=path.name,
                content_type=content_type or guessed or "application/octet-stream",
                bytes=os.fstat(file.fileno()).st_size,
                sha256=hashlib.file_digest(file, "sha256").hexdigest(),
            )

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the transfer, whose URL is signed: it needs no token."""
        return {"Content-Length": str(self.bytes), "Content-Type": self.content_type}


def upload_call(file: LocalFile) -> ApiCall:
    """Announce a file. Repeated it makes another upload, which nothing uses and which expires."""
    body = {
        "name": file.name,
        "contentType": file.content_type,
        "bytes": file.bytes,
        "sha256": file.sha256,
    }
    return ApiCall("POST", "/api/uploads", body)


def read_upload_call(upload: Upload) -> ApiCall:
    """Read an upload."""
    return ApiCall("GET", f"/api/uploads/{_quote(upload.upload_id)}")


def find_upload_url(upload: Upload) -> str:
    """The URL that takes the bytes. Raises ValueError for an upload that was read later."""
    if upload.upload_url is None:
        raise ValueError(f"{upload.upload_id} has no upload URL: only a new upload has one.")
    return upload.upload_url


class FileCheck:
    """Counts and hashes a file while it is written."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def add(self, chunk: bytes) -> bytes:
        """Take the next bytes, and return them."""
        self._hash.update(chunk)
        self._size += len(chunk)
        return chunk

    def finish(self) -> None:
        """Raise DownloadError unless it is the file that the job has made."""
        if (self._size, self._hash.hexdigest()) != (self._file.bytes, self._file.sha256):
            raise DownloadError(
                f"{self._file.name} has {self._size} bytes with another SHA-256 than the "
                f"{self._file.bytes} bytes that the job has made; download it again."
            )


def find_url(file: File) -> str:
    """The file's URL. Raises ValueError for one of a list."""
    if file.url is None:
        raise ValueError(f"{file.name} has no URL: lists leave it out. Read the job first.")
    return file.url


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, which exists then."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


def choose_path(folder: Path, file: File) -> Path:
    """A path inside the folder, whatever the name is."""
    return folder / (_UNSAFE.sub("_", file.name).lstrip(".") or "file")
