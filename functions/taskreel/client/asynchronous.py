"""The asynchronous client: `blocking`, with `await`. A test compares the two."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from taskreel.client import api_calls
from taskreel.client.api_calls import (
    TIMEOUT,
    ApiCall,
    ClientSettings,
    FileCheck,
    LocalFile,
    OnProgress,
    parse_response,
)
from taskreel.client.client_errors import JobFailedError
from taskreel.client.job_models import (
    Account,
    File,
    History,
    Job,
    JobEvents,
    JobsPage,
    Quote,
    Status,
    Upload,
)

M = TypeVar("M", bound=BaseModel)


class AsyncTaskreel:
    """The API by asynchronous calls: `async with AsyncTaskreel(url, token) as taskreel:`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        max_retries: int = 4,
        retry_seconds: float = 0.5,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Build a client; nothing is sent yet.

        Args:
            url: The server's URL; TASKREEL_URL if it is not given.
            token: The token; TASKREEL_TOKEN if it is not given.
            max_retries: How often a call is sent again when the server cannot be reached, is
                overloaded or fails.
            retry_seconds: The first pause before that; each is twice as long as the one before.
            http: Another client, with a proxy or certificates of its own.
        """
        self._settings = ClientSettings.read(
            url, token, max_retries=max_retries, retry_seconds=retry_seconds
        )
        self._http = http or httpx.AsyncClient(timeout=TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    # ── Jobs ─────────────────────────────────────────────────────────────────────────────────────

    async def submit(
        self,
        job_type: str,
        payload: Mapping[str, Any] | BaseModel | None = None,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Job:
        """Create a job of the type from a payload, single fields, or both.

        Two calls with the same `idempotency_key` make one job. Without one each call makes a job,
        and is nevertheless safe to repeat on the network: it has a key of its own.
        """
        body = api_calls.build_payload(payload, fields)
        return await self._call(api_calls.submit_call(job_type, body, idempotency_key, 0), Job)

    async def run(
        self,
        job_type: str,
        payload: Mapping[str, Any] | BaseModel | None = None,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        **fields: Any,
    ) -> Job:
        """Create a job and return it when it has completed. Raises JobFailedError otherwise."""
        job = await self.submit(job_type, payload, idempotency_key=idempotency_key, **fields)
        job = await self.wait(job, timeout=timeout)
        if job.status != Status.COMPLETED:
            raise JobFailedError(job)
        return job

    async def quote(
        self,
        job_type: str,
        payload: Mapping[str, Any] | BaseModel | None = None,
        **fields: Any,
    ) -> Quote:
        """Check a request and return its price; nothing is created."""
        body = api_calls.build_payload(payload, fields)
        return await self._call(api_calls.quote_call(job_type, body), Quote)

    async def get(self, job_id: str) -> Job:
        """Read a job."""
        return await self._call(api_calls.read_call(job_id), Job)

    async def wait(self, job: Job | str, *, timeout: float | None = None) -> Job:
        """Return the job when it has ended. Raises TimeoutError; the job goes on then."""
        job_id = job if isinstance(job, str) else job.job_id
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            seconds: float = api_calls.WAIT_SECONDS
            if until is not None:
                seconds = until - time.monotonic()
            found = await self._call(api_calls.read_call(job_id, seconds), Job)
            if found.has_ended:
                return found
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"{job_id} is {found.status} after {timeout:g} s; it goes on.")

    async def stream(self, job: Job | str) -> AsyncIterator[Job]:
        """Yield the job now and after each change, until it has ended.

        After a cut it goes on where it was: no change is missed, and none comes twice.
        """
        job_id = job if isinstance(job, str) else job.job_id
        position: str | None = None
        while True:
            response = await self._send(api_calls.events_call(job_id, position))
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            answer = parse_response(response, JobEvents)
            position = answer.position
            for event in answer.events:
                yield event.job
                if event.job.has_ended:
                    return

    async def stream_all(self) -> AsyncIterator[Job]:
        """Yield each of your jobs after each of its changes, from now on and without an end."""
        position: str | None = None
        while True:
            response = await self._send(api_calls.all_events_call(position))
            answer = parse_response(response, JobEvents)
            position = answer.position
            for event in answer.events:
                yield event.job

    async def list(self, **filters: Any) -> AsyncIterator[Job]:
        """Yield your jobs, newest first, from as many pages as are needed.

        Filters are those of `GET /api/jobs`, such as `status=["FAILED"]`, `job_type`, `project_id`,
        `text`, `created_after`; `limit` is the size of a page.
        """
        cursor: str | None = None
        while True:
            page = await self.list_page(cursor, **filters)
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    async def list_page(self, cursor: str | None = None, **filters: Any) -> JobsPage:
        """Read one page of a list; `cursor` is the `next_cursor` of the page before."""
        return await self._call(api_calls.list_call(filters, cursor), JobsPage)

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a job and return it; one that has ended stays as it is."""
        found = await self.get(job) if isinstance(job, str) else job
        return await self._call(api_calls.cancel_call(found), Job)

    async def retry(self, job: Job | str) -> Job:
        """Try a failed job again, under its id, and return it as it waits."""
        found = await self.get(job) if isinstance(job, str) else job
        return await self._call(api_calls.retry_call(found), Job)

    async def replay(
        self,
        job: Job | str,
        edit: Mapping[str, Any] | None = None,
        *,
        from_step: str | None = None,
        provider: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Create a job from an ended one, reusing its finished work.

        `edit` is a JSON merge patch on the payload; `from_step` repeats a step and those behind it.
        """
        found = await self.get(job) if isinstance(job, str) else job
        call = api_calls.replay_call(found, edit, from_step, provider, idempotency_key)
        return await self._call(call, Job)

    async def quote_replay(
        self,
        job: Job | str,
        edit: Mapping[str, Any] | None = None,
        *,
        from_step: str | None = None,
        provider: str | None = None,
    ) -> Quote:
        """Check a replay and return its price; nothing is created."""
        found = await self.get(job) if isinstance(job, str) else job
        call = api_calls.replay_call(found, edit, from_step, provider, None)
        return await self._call(api_calls.quote_replay_call(call), Quote)

    async def delete(self, job: Job | str) -> None:
        """Remove a job that has ended, with its files. Raises JobNotEndedError for another."""
        found = await self.get(job if isinstance(job, str) else job.job_id)
        api_calls.parse_json(await self._send(api_calls.delete_call(found)))

    async def history(self, job: Job | str) -> History:
        """Read every change of a job's status, and its failed attempts."""
        job_id = job if isinstance(job, str) else job.job_id
        return await self._call(api_calls.history_call(job_id), History)

    async def account(self) -> Account:
        """Read your credits."""
        return await self._call(api_calls.account_call(), Account)

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """Call a route that has no method here; return its JSON. Raises ApiError.

        A POST, PATCH or DELETE without a key is repeated only if the server has not served it.
        """
        call = api_calls.any_call(method, path, body, query, idempotency_key)
        return api_calls.parse_json(await self._send(call))

    # ── Uploads ──────────────────────────────────────────────────────────────────────────────────

    async def upload(
        self,
        path: str | os.PathLike[str],
        *,
        content_type: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Upload:
        """Upload a local file; its `reference` is an input of a job wherever a URL is.

        `on_progress` is called with the number of bytes sent so far. A transfer that is cut begins
        again. The server compares size, SHA-256 and type when a job uses the file.
        """
        file = api_calls.LocalFile.read(path, content_type)
        failures = 0
        while True:
            upload = await self._call(api_calls.upload_call(file), Upload)
            failures += 1
            if await self._transfer(upload, file, failures, on_progress):
                return upload

    async def _transfer(
        self, upload: Upload, file: LocalFile, failures: int, on_progress: OnProgress | None
    ) -> bool:
        """Send the bytes once; False if another upload is worth a try, after the pause."""
        response: httpx.Response | None = None
        try:
            response = await self._http.put(
                api_calls.find_upload_url(upload),
                content=self._read_chunks(file, on_progress),
                headers=file.headers,
            )
            response.raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            # The answer alone may be lost: a URL takes the bytes once.
            if (await self._call(api_calls.read_upload_call(upload), Upload)).received:
                return True
            refusal = response if isinstance(error, httpx.HTTPStatusError) else None
            delay = self._settings.find_delay(failures, refusal)
            if delay is None and refusal is not None:
                raise api_calls.build_error(refusal) from None
            if delay is None:
                raise
            await asyncio.sleep(delay)
            return False
        return True

    async def _read_chunks(
        self, file: LocalFile, on_progress: OnProgress | None
    ) -> AsyncIterator[bytes]:
        with file.path.open("rb") as source:
            while chunk := source.read(api_calls.CHUNK_BYTES):
                yield chunk
                if on_progress is not None:
                    on_progress(source.tell())

    # ── Files ────────────────────────────────────────────────────────────────────────────────────

    async def download(
        self, job: Job | str, folder: str | os.PathLike[str] = "."
    ) -> Sequence[Path]:
        """Save all files of a job in the folder and return their paths."""
        # Fresh URLs: those of an older answer may have expired.
        found = await self.get(job if isinstance(job, str) else job.job_id)
        target = api_calls.make_folder(folder)
        return [
            await self.download_file(file, api_calls.choose_path(target, file))
            for file in found.files
        ]

    async def download_file(self, file: File, target: str | os.PathLike[str]) -> Path:
        """Save one file, whole or not at all. Raises DownloadError if it is damaged.

        Its URL is signed: the token is not sent.
        """
        path = Path(target)
        part = path.with_name(f".{path.name}.part")
        try:
            for failures in range(1, self._settings.max_retries + 2):
                if await self._fetch(file, part, failures):
                    break
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    async def _fetch(self, file: File, part: Path, failures: int) -> bool:
        """Download once; False if it is worth another try, after the pause."""
        check = FileCheck(file)
        response: httpx.Response | None = None
        try:
            async with self._http.stream("GET", api_calls.find_url(file)) as response:
                with part.open("wb") as output:
                    response.raise_for_status()
                    async for chunk in response.aiter_bytes():
                        output.write(check.add(chunk))
            check.finish()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            refusal = response if isinstance(error, httpx.HTTPStatusError) else None
            delay = self._settings.find_delay(failures, refusal)
            if delay is None:
                raise
            await asyncio.sleep(delay)
            return False
        return True

    # ── Calls ────────────────────────────────────────────────────────────────────────────────────

    async def _call(self, call: ApiCall, model: type[M]) -> M:
        return parse_response(await self._send(call), model)

    async def _send(self, call: ApiCall) -> httpx.Response:
        """The response, after retries; the last one if all have failed."""
        failures = 0
        while True:
            response: httpx.Response | None = None
            try:
                response = await self._http.request(
                    call.method,
                    f"{self._settings.url}{call.path}",
                    json=call.body,
                    params=call.query,
                    headers={**self._settings.headers, **call.headers},
                )
                if response.is_success:
                    return response
            except httpx.TransportError as error:
                failures += 1
                delay = self._settings.find_delay(failures, None)
                if delay is None or not call.may_follow(error):
                    raise
            else:
                failures += 1
                delay = self._settings.find_delay(failures, response)
                if delay is None or not call.may_follow(response):
                    return response
            await asyncio.sleep(delay)
