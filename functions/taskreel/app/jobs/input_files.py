"""Fetch the files that a job starts from to disk, within the limits of a job and an instance."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from taskreel.app.caller import Caller
from taskreel.app.jobs.queries import find_job
from taskreel.app.jobs.uploads import copy_upload, require_received
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import NotFoundError, PermanentError, RateLimitedError
from taskreel.domain.input_limits import InputTotals, find_fields
from taskreel.domain.job import Job
from taskreel.domain.upload import Upload, is_upload_reference
from taskreel.ports import Input

_LONGEST_LABEL = 100
_USER = re.compile(r"(?<=://)[^/]*@")
#: Error code of a job that waits until this instance has room for its files.
NO_ROOM = "no_room_for_inputs"
#: Bounds of that wait. Drawn at random, so that waiting jobs do not come back all at once.
_ROOM_WAIT_SECONDS = (5.0, 20.0)


class InputFiles:
    """The input files of one run of a job, fetched into its folder.

    All files of the job count in total against the limits of a job, and the room for them is
    reserved in the instance before their bytes are stored.
    """

    def __init__(self, services: Services, job: Job, open_folder: Callable[[], Path]) -> None:
        self._services = services
        self._job = job
        self._folder = open_folder()
        self._totals = InputTotals(services.rules.inputs)
        self._reserved = 0

    @property
    def totals(self) -> InputTotals:
        """The counts of all files so far, by the names that they have in the folder."""
        return self._totals

    async def fetch(
        self, urls: tuple[str, ...], name: str, *, measured: bool, by_length: bool = False
    ) -> tuple[Input, ...]:
        """Fetch every input of a unit, in order; `name` is the unit's own name in the folder.

        A URL is `https:`, `data:`, or a file of the same user: `job:{jobId}/{artifact}` or
        `upload:{uploadId}`. With `measured`, pixels and seconds are read from the files;
        with `by_length` so that no header makes one cheaper, for its seconds are paid for. Raises
        PermanentError for a file that cannot be used or is beyond a limit, RateLimitedError while
        the instance has no room, and TemporaryError for a file that may work later.
        """
        targets = [self._folder / f"{name}-input-{index:03}" for index in range(len(urls))]
        # First the files of own jobs, whose sizes are known: a job that is too large downloads
        # nothing.
        artifacts: dict[Path, Artifact] = {}
        uploads: dict[Path, Upload] = {}
        for url, target in zip(urls, targets, strict=True):
            self._totals.start_file(target.name)
            if url.startswith("job:"):
                artifacts[target] = await self._admit_artifact(url, target)
            elif is_upload_reference(url):
                uploads[target] = await self._admit_upload(url, target)

        inputs: list[Input] = []
        for url, target in zip(urls, targets, strict=True):
            if target in uploads:
                label = label_input(self._job.payload, url)
                fetched = await copy_upload(self._services, uploads[target], target, label)
            else:
                fetched = await self._fetch_input(url, target, artifacts.get(target))
            inputs.append(fetched)
            # Old results have no length, and those of today have one.
            known = artifacts.get(target)
            if measured and (known is None or (by_length and not known.duration_seconds)):
                await self._measure_file(fetched, by_length=by_length)
        return tuple(inputs)

    async def _fetch_input(self, url: str, target: Path, artifact: Artifact | None) -> Input:
        label = label_input(self._job.payload, url)
        if artifact is not None:
            return await _copy_artifact(self._services, artifact.path, target, label)
        if url.startswith("data:"):
            content_type, data = decode_data_url(url, label)
            self._admit_bytes(len(data), url, target)
            target.write_bytes(data)  # noqa: ASYNC240 - less than a request body
            return Input(target, url, content_type, label)
        rules = self._services.rules
        content_type = await self._services.fetch(
            url,
            target,
            max_bytes=rules.inputs.max_file_bytes,
            seconds=rules.input_timeout.total_seconds(),
            admit=lambda size: self._admit_bytes(size, url, target),
        )
        return Input(target, url, content_type, label)

    async def _admit_artifact(self, url: str, target: Path) -> Artifact:
        """Find a file of an own job, and count what is known of it."""
        artifact = await find_artifact(self._services, self._job.user_id, url)
        self._admit_bytes(artifact.bytes, url, target)
        self._count_size(url, target, artifact.width, artifact.height, artifact.duration_seconds)
        return artifact

    async def _admit_upload(self, url: str, target: Path) -> Upload:
        """Find an upload of the job's user whose file has arrived, and count its bytes."""
        upload = await require_received(self._services, self._job.user_id, url)
        self._admit_bytes(upload.bytes, url, target)
        return upload

    def _admit_bytes(self, size: int, url: str, target: Path) -> None:
        """Count bytes that are about to be stored, and reserve room for them."""
        self._totals.add_bytes(target.name, size, label_input(self._job.payload, url))
        # A file that is downloaded again, for another provider, takes the room of the first time.
        missing = self._totals.bytes - self._reserved
        if missing <= 0:
            return
        if not self._services.work_dirs.reserve(self._folder, missing):
            raise _no_room_error(self._services)
        self._reserved += missing

    async def _measure_file(self, fetched: Input, *, by_length: bool) -> None:
        """Count the pixels and seconds of a file; one that is unreadable fails at its use."""
        try:
            facts = await self._services.probe_file(fetched.path, every_packet=by_length)
        except PermanentError:
            return
        self._count_size(
            fetched.url, fetched.path, facts.width, facts.height, facts.duration_seconds
        )

    def _count_size(
        self, url: str, target: Path, width: int | None, height: int | None, seconds: float | None
    ) -> None:
        pixels = (width or 0) * (height or 0)
        label = label_input(self._job.payload, url)
        self._totals.set_size(target.name, label, pixels=pixels, seconds=seconds or 0.0)


def _no_room_error(services: Services) -> RateLimitedError:
    """The wait for room: no attempt is used, and the job may run on another instance."""
    wait = timedelta(seconds=services.random.uniform(*_ROOM_WAIT_SECONDS))
    until = (services.clock.now() + wait).strftime("%H:%M:%S")
    return RateLimitedError(
        "The files of other jobs take the space for input files at the moment. This job is tried "
        f"again at {until} UTC; it uses no attempt.",
        code=NO_ROOM,
        retry_after=wait,
    )


def label_input(payload: Mapping[str, Any], url: str) -> str:
    """The name of an input in error texts: its field and, unless it is a data: URL, its address."""
    field = next(find_fields(payload, url), "")
    if url.startswith("data:"):
        return field or "a data: URL"
    address = _shorten_address(url)
    return f"{field} ({address})" if field else address


def _shorten_address(url: str) -> str:
    """The address without what may be a secret: its user and password, its query, its fragment."""
    address = _USER.sub("", url.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0])
    if len(address) <= _LONGEST_LABEL:
        return address
    return f"{address[:30]}…{address[31 - _LONGEST_LABEL :]}"


async def find_source(services: Services, user_id: str, reference: str) -> tuple[Job, str]:
    """The job of `job:{jobId}/{artifact}`, and the artifact's name, empty for the first.

    Only the user's own jobs are found. Raises PermanentError for any other.
    """
    job_id, _, name = reference.removeprefix("job:").partition("/")
    try:
        return await find_job(services, Caller(user_id=user_id), job_id), name
    except NotFoundError as error:
        raise PermanentError(
            f"{reference}: you have no job {job_id}.", code="input_not_found"
        ) from error


async def find_artifact(services: Services, user_id: str, reference: str) -> Artifact:
    """The file `job:{jobId}/{artifact}`. Raises PermanentError for one that there is not."""
    source, name = await find_source(services, user_id, reference)
    for artifact in source.artifacts:
        if artifact.name == name or not name:
            return artifact
    names = ", ".join(artifact.name for artifact in source.artifacts) or "none yet"
    raise PermanentError(f"{reference}: that job's artifacts are: {names}.", code="input_not_found")


async def _copy_artifact(services: Services, path: str, target: Path, label: str) -> Input:
    info = await services.blobs.info(path)
    if info is None:
        raise PermanentError(f"The file {label} no longer exists.", code="input_not_found")
    with target.open("wb") as file:
        async for chunk in services.blobs.read(path):
            file.write(chunk)
    url = await services.blobs.signed_url(path, expires_in=services.rules.signed_url_lifetime)
    return Input(target, url, info.content_type, label)


def decode_data_url(url: str, label: str) -> tuple[str, bytes]:
    """The content type and the bytes of a data: URL (RFC 2397)."""
    head, comma, body = url.removeprefix("data:").partition(",")
    if not comma:
        raise PermanentError(
            f"{label}: a data: URL needs a comma before its data.", code="input_invalid"
        )
    try:
        data = (
            base64.b64decode(body, validate=True)
            if head.endswith(";base64")
            else unquote_to_bytes(body)
        )
    except ValueError as error:
        raise PermanentError(
            f"{label}: the base64 of the data: URL is invalid.", code="input_invalid"
        ) from error
    return head.split(";")[0] or "text/plain", data
