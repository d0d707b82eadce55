"""A client of the public API, like any other program's."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from httpx_sse import aconnect_sse

_CHUNK_BYTES = 1 << 18


class ApiError(Exception):
    """The API refused a request; the message is the API's."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(
            f"{problem.get('detail') or problem.get('title') or 'no details'} ({status})"
        )
        self.status = status
        self.problem = problem


class ApiClient:
    """Calls the API with a token: `async with ApiClient(url, token) as client:`."""

    def __init__(self, url: str, token: str) -> None:
        timeout = httpx.Timeout(30, read=90)
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout
        )
        self._http_without_token = httpx.AsyncClient(timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()
        await self._http_without_token.aclose()

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send a request and return the JSON response. Raises ApiError."""
        response = await self._http.request(method, path, json=body, headers=headers)
        if response.is_success:
            return response.json()
        is_json = "json" in response.headers.get("content-type", "")
        raise ApiError(
            response.status_code, response.json() if is_json else {"title": response.reason_phrase}
        )

    async def submit_job(
        self, job_type: str, body: Mapping[str, Any], *, key: str | None = None
    ) -> dict[str, Any]:
        """Submit a job and return it."""
        job: dict[str, Any] = await self.call(
            "POST", f"/api/jobs/{job_type}", body, {"Idempotency-Key": key} if key else None
        )
        return job

    async def upload_file(self, file: Path, on_progress: Callable[[int], None]) -> str:
        """Upload a file; return its reference, which a job's input may be.

        `on_progress` is called with the numbers of bytes that were sent.
        """
        size = (await asyncio.to_thread(file.stat)).st_size
        content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        made = await self.call(
            "POST",
            "/api/uploads",
            {"name": file.name, "contentType": content_type, "bytes": size},
        )

        async def read_chunks() -> AsyncIterator[bytes]:
            with file.open("rb") as content:
                while chunk := await asyncio.to_thread(content.read, _CHUNK_BYTES):
                    yield chunk
                    on_progress(len(chunk))

        # The URL is signed, so the token is not sent.
        response = await self._http_without_token.put(
            made["uploadUrl"],
            content=read_chunks(),
            headers={"Content-Length": str(size), "Content-Type": content_type},
        )
        if not response.is_success:
            raise ApiError(response.status_code, {"title": f"{file} could not be uploaded"})
        reference: str = made["reference"]
        return reference

    async def follow_job(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the job at each change, until it has ended."""
        while True:
            async with aconnect_sse(self._http, "GET", f"/api/jobs/{job_id}/events") as source:
                if not source.response.is_success:
                    await source.response.aread()
                    raise ApiError(source.response.status_code, source.response.json())
                async for event in source.aiter_sse():
                    # httpx-sse makes an event of a heartbeat that comes after an event with an id.
                    if not event.data:
                        continue
                    job = event.json()
                    yield job
                    if job["status"] in {"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"}:
                        return

    async def download_file(self, url: str, target: Path) -> Path:
        """Save an artifact. Its URL is signed, so the token is not sent."""
        async with self._http_without_token.stream("GET", url) as response:
            response.raise_for_status()
            with target.open("wb") as file:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)
        return target
