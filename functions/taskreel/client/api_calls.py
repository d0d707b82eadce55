"""The calls of the API, the retries and the reading of responses, without any input or output.

Both clients send these calls. Every call may be sent again: reading changes nothing, a submission
carries an idempotency key, and cancelling twice is cancelling once.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import BaseModel

from taskreel.client.client_errors import ApiError, DownloadError
from taskreel.client.job_models import File, Job

M = TypeVar("M", bound=BaseModel)

#: A long poll is answered after so long; the connection must outlive it.
WAIT_SECONDS = 30
TIMEOUT = httpx.Timeout(30, read=WAIT_SECONDS + 30)
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_DELAY = 30.0
_UNSAFE = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request that may be sent more than once."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


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


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────


def submit_call(
    job_type: str, payload: Mapping[str, Any], key: str | None, wait_seconds: float
) -> ApiCall:
    """Create a job; with a key of its own if none is given, so that it can be sent again."""
    headers = {"Idempotency-Key": key or uuid4().hex}
    if wait_seconds:
        headers["Prefer"] = f"wait={min(wait_seconds, WAIT_SECONDS):g}"
    return ApiCall("POST", f"/api/jobs/{quote(job_type)}", payload, headers=headers)


def quote_call(job_type: str, payload: Mapping[str, Any]) -> ApiCall:
    """Check a request and ask for its price."""
    return ApiCall("POST", f"/api/jobs/{quote(job_type)}", payload, {"validateOnly": "true"})


def read_call(job_id: str, wait_seconds: float = 0) -> ApiCall:
    """Read a job, as soon as it has ended within so long."""
    headers = {"Prefer": f"wait={min(wait_seconds, WAIT_SECONDS):g}"} if wait_seconds > 0 else {}
    return ApiCall("GET", f"/api/jobs/{quote(job_id)}", headers=headers)


def events_call(job_id: str, after: str | None) -> ApiCall:
    """Wait for a job's changes behind a position."""
    query = {} if after is None else {"after": after}
    headers = {"Prefer": f"wait={WAIT_SECONDS}"}
    return ApiCall("GET", f"/api/jobs/{quote(job_id)}/events", query=query, headers=headers)


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
    return ApiCall("POST", f"/api/jobs/{quote(job.job_type)}/{quote(job.job_id)}/cancel")


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
    """The body of a success. Raises ApiError."""
    if response.is_success:
        return model.model_validate_json(response.content)
    try:
        problem = response.json()
    except ValueError:
        problem = None
    raise ApiError(
        response.status_code,
        problem if isinstance(problem, dict) else {"title": response.reason_phrase},
    )


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
