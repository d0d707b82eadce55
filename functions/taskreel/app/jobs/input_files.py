"""Fetch the files that a job starts from to disk, with limits on size and time."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from taskreel.app.caller import Caller
from taskreel.app.jobs.queries import find_job
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError, PermanentError
from taskreel.domain.job import Job
from taskreel.ports import Input

_LONGEST_LABEL = 100


async def fetch_inputs(
    services: Services, job: Job, urls: tuple[str, ...], folder: Path, name: str
) -> tuple[Input, ...]:
    """Fetch every input into `folder`, in order; `name` is the unit's own name there.

    A URL is `https:`, `data:` or `job:{jobId}/{artifact}`, a file of the same user. Raises
    PermanentError for one that cannot be used, and TemporaryError for one that may work later.
    """
    inputs: list[Input] = []
    for index, url in enumerate(urls):
        target = folder / f"{name}-input-{index:03}"
        inputs.append(await _fetch_input(services, job, url, target))
    return tuple(inputs)


async def _fetch_input(services: Services, job: Job, url: str, target: Path) -> Input:
    label = _label_input(job.payload, url)
    if url.startswith("data:"):
        return _write_data_url(url, target, label)
    if url.startswith("job:"):
        path = await _find_artifact(services, job, url)
        return await _copy_artifact(services, path, target, label)
    rules = services.rules
    seconds = rules.input_timeout.total_seconds()
    content_type = await services.fetch(
        url, target, max_bytes=rules.max_input_bytes, seconds=seconds
    )
    return Input(target, url, content_type, label)


def _label_input(payload: Mapping[str, Any], url: str) -> str:
    """The name of an input in error texts: its field for a data: URL, else its address.

    The query of an address is omitted, since it may hold a signature.
    """
    if url.startswith("data:"):
        return next(_find_fields(payload, url), "a data: URL")
    address = url.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0]
    return (
        address
        if len(address) <= _LONGEST_LABEL
        else f"{address[:30]}…{address[31 - _LONGEST_LABEL :]}"
    )


def _find_fields(value: Any, wanted: str, at: str = "") -> Iterator[str]:
    """The paths of the value `wanted` in a payload: `inputFiles[3]`, `scenes[0].audio`."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _find_fields(one, wanted, f"{at}.{name}" if at else name)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _find_fields(one, wanted, f"{at}[{index}]")
    elif value == wanted:
        yield at


async def _find_artifact(services: Services, job: Job, reference: str) -> str:
    """The path of `job:{jobId}/{artifact}` in the bucket; only the user's own jobs are found."""
    job_id, _, name = reference.removeprefix("job:").partition("/")
    try:
        source = await find_job(services, Caller(user_id=job.user_id), job_id)
    except NotFoundError as error:
        raise PermanentError(
            f"{reference}: you have no job {job_id}.", code="input_not_found"
        ) from error
    for artifact in source.artifacts:
        if artifact.name == name or not name:
            return artifact.path
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


def _write_data_url(url: str, target: Path, label: str) -> Input:
    """Decode a data: URL (RFC 2397) into a file."""
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
    except binascii.Error as error:
        raise PermanentError(
            f"{label}: the base64 of the data: URL is invalid.", code="input_invalid"
        ) from error
    target.write_bytes(data)
    content_type = head.split(";")[0] or "text/plain"
    return Input(target, url, content_type, label)


def file_suffix(content_type: str) -> str:
    """The file name suffix of a content type: `.png` for image/png, `.bin` for an unknown one."""
    return {"image/jpeg": ".jpg", "audio/wav": ".wav", "audio/x-wav": ".wav"}.get(content_type) or (
        mimetypes.guess_extension(content_type) or ".bin"
    )
