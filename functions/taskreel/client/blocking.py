"""The blocking client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
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


class Taskreel:
    """The API by blocking calls: `with Taskreel(url, token) as taskreel:`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        max_retries: int = 4,
        retry_seconds: float = 0.5,
        http: httpx.Client | None = None,
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
        self._http = http or httpx.Client(timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    # ── Jobs ─────────────────────────────────────────────────────────────────────────────────────

    def submit(
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
        return self._call(api_calls.submit_call(job_type, body, idempotency_key, 0), Job)

    def run(
        self,
        job_type: str,
        payload: Mapping[str, Any] | BaseModel | None = None,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        **fields: Any,
    ) -> Job:
        """Create a job and return it when it has completed. Raises JobFailedError otherwise."""
        job = self.submit(job_type, payload, idempotency_key=idempotency_key, **fields)
        job = self.wait(job, timeout=timeout)
        if job.status != Status.COMPLETED:
            raise JobFailedError(job)
        return job

    def quote(
        self,
        job_type: str,
        payload: Mapping[str, Any] | BaseModel | None = None,
        **fields: Any,
    ) -> Quote:
        """Check a request and return its price; nothing is created."""
        body = api_calls.build_payload(payload, fields)
        return self._call(api_calls.quote_call(job_type, body), Quote)

    def get(self, job_id: str) -> Job:
        """Read a job."""
        return self._call(api_calls.read_call(job_id), Job)

    def wait(self, job: Job | str, *, timeout: float | None = None) -> Job:
        """Return the job when it has ended. Raises TimeoutError; the job goes on then."""
        job_id = job if isinstance(job, str) else job.job_id
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            seconds: float = api_calls.WAIT_SECONDS
            if until is not None:
                seconds = until - time.monotonic()
            found = self._call(api_calls.read_call(job_id, seconds), Job)
            if found.has_ended:
                return found
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"{job_id} is {found.status} after {timeout:g} s; it goes on.")

    def stream(self, job: Job | str) -> Iterator[Job]:
        """Yield the job now and after each change, until it has ended.

        After a cut it goes on where it was: no change is missed, and none comes twice.
        """
        job_id = job if isinstance(job, str) else job.job_id
        position: str | None = None
        while True:
            response = self._send(api_calls.events_call(job_id, position))
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            answer = parse_response(response, JobEvents)
            position = answer.position
            for event in answer.events:
                yield event.job
                if event.job.has_ended:
                    return

    def stream_all(self) -> Iterator[Job]:
        """Yield each of your jobs after each of its changes, from now on and without an end."""
        position: str | None = None
        while True:
            response = self._send(api_calls.all_events_call(position))
            answer = parse_response(response, JobEvents)
            position = answer.position
            for event in answer.events:
                yield event.job

    def list(self, **filters: Any) -> Iterator[Job]:
        """Yield your jobs, newest first, from as many pages as are needed.

        Filters are those of `GET /api/jobs`, such as `status=["FAILED"]`, `job_type`, `project_id`,
        `text`, `created_after`; `limit` is the size of a page.
        """
        cursor: str | None = None
        while True:
            page = self.list_page(cursor, **filters)
            for job in page.jobs:  # noqa: UP028 - the two clients are the same
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    def list_page(self, cursor: str | None = None, **filters: Any) -> JobsPage:
        """Read one page of a list; `cursor` is the `next_cursor` of the page before."""
        return self._call(api_calls.list_call(filters, cursor), JobsPage)

    def cancel(self, job: Job | str) -> Job:
        """Cancel a job and return it; one that has ended stays as it is."""
        found = self.get(job) if isinstance(job, str) else job
        return self._call(api_calls.cancel_call(found), Job)

    def retry(self, job: Job | str) -> Job:
        """Try a failed job again, under its id, and return it as it waits."""
        found = self.get(job) if isinstance(job, str) else job
        return self._call(api_calls.retry_call(found), Job)

    def replay(
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
        found = self.get(job) if isinstance(job, str) else job
        call = api_calls.replay_call(found, edit, from_step, provider, idempotency_key)
        return self._call(call, Job)

    def quote_replay(
        self,
        job: Job | str,
        edit: Mapping[str, Any] | None = None,
        *,
        from_step: str | None = None,
        provider: str | None = None,
    ) -> Quote:
        """Check a replay and return its price; nothing is created."""
        found = self.get(job) if isinstance(job, str) else job
        call = api_calls.replay_call(found, edit, from_step, provider, None)
        return self._call(api_calls.quote_replay_call(call), Quote)

    def delete(self, job: Job | str) -> None:
        """Remove a job that has ended, with its files. Raises JobNotEndedError for another."""
        found = self.get(job if isinstance(job, str) else job.job_id)
        api_calls.parse_json(self._send(api_calls.delete_call(found)))

    def history(self, job: Job | str) -> History:
        """Read every change of a job's status, and its failed attempts."""
        job_id = job if isinstance(job, str) else job.job_id
        return self._call(api_calls.history_call(job_id), History)

    def account(self) -> Account:
        """Read your credits."""
        return self._call(api_calls.account_call(), Account)

    def call(
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
        return api_calls.parse_json(self._send(call))

    # ── Uploads ──────────────────────────────────────────────────────────────────────────────────

    def upload(
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
            upload = self._call(api_calls.upload_call(file), Upload)
            failures += 1
            if self._transfer(upload, file, failures, on_progress):
                return upload

    def _transfer(
        self, upload: Upload, file: LocalFile, failures: int, on_progress: OnProgress | None
    ) -> bool:
        """Send the bytes once; False if another upload is worth a try, after the pause."""
        response: httpx.Response | None = None
        try:
            response = self._http.put(
                api_calls.find_upload_url(upload),
                content=self._read_chunks(file, on_progress),
                headers=file.headers,
            )
            response.raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            # The answer alone may be lost: a URL takes the bytes once.
            if (self._call(api_calls.read_upload_call(upload), Upload)).received:
                return True
            refusal = response if isinstance(error, httpx.HTTPStatusError) else None
            delay = self._settings.find_delay(failures, refusal)
            if delay is None and refusal is not None:
                raise api_calls.build_error(refusal) from None
            if delay is None:
                raise
            time.sleep(delay)
            return False
        return True

    def _read_chunks(self, file: LocalFile, on_progress: OnProgress | None) -> Iterator[bytes]:
        with file.path.open("rb") as source:
            while chunk := source.read(api_calls.CHUNK_BYTES):
                yield chunk
                if on_progress is not None:
                    on_progress(source.tell())

    # ── Files ────────────────────────────────────────────────────────────────────────────────────

    def download(self, job: Job | str, folder: str | os.PathLike[str] = ".") -> Sequence[Path]:
        """Save all files of a job in the folder and return their paths."""
        # Fresh URLs: those of an older answer may have expired.
        found = self.get(job if isinstance(job, str) else job.job_id)
        target = api_calls.make_folder(folder)
        return [
            self.download_file(file, api_calls.choose_path(target, file)) for file in found.files
        ]

    def download_file(self, file: File, target: str | os.PathLike[str]) -> Path:
        """Save one file, whole or not at all. Raises DownloadError if it is damaged.

        Its URL is signed: the token is not sent.
        """
        path = Path(target)
        part = path.with_name(f".{path.name}.part")
        try:
            for failures in range(1, self._settings.max_retries + 2):
                if self._fetch(file, part, failures):
                    break
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _fetch(self, file: File, part: Path, failures: int) -> bool:
        """Download once; False if it is worth another try, after the pause."""
        check = FileCheck(file)
        response: httpx.Response | None = None
        try:
            with self._http.stream("GET", api_calls.find_url(file)) as response:  # noqa: SIM117
                with part.open("wb") as output:
                    response.raise_for_status()
                    for chunk in response.iter_bytes():
                        output.write(check.add(chunk))
            check.finish()
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            refusal = response if isinstance(error, httpx.HTTPStatusError) else None
            delay = self._settings.find_delay(failures, refusal)
            if delay is None:
                raise
            time.sleep(delay)
            return False
        return True

    # ── Calls ────────────────────────────────────────────────────────────────────────────────────

    def _call(self, call: ApiCall, model: type[M]) -> M:
        return parse_response(self._send(call), model)

    def _send(self, call: ApiCall) -> httpx.Response:
        """The response, after retries; the last one if all have failed."""
        failures = 0
        while True:
            response: httpx.Response | None = None
            try:
                response = self._http.request(
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
            time.sleep(delay)
