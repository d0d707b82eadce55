"""The files that a job starts from, brought to disk with limits and checked."""

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

_LABEL_LETTERS = 100


async def bring(
    services: Services, job: Job, urls: tuple[str, ...], folder: Path, name: str
) -> tuple[Input, ...]:
    """Every input on disk, in order; `name` sets them apart from those of the job's other units."""
    places = [folder / f"{name}-input-{index:03}" for index in range(len(urls))]
    return tuple(
        [await _bring(services, job, url, place) for url, place in zip(urls, places, strict=True)]
    )


async def _bring(services: Services, job: Job, url: str, target: Path) -> Input:
    label = _label(job.payload, url)
    if url.startswith("data:"):
        return _inline(url, target, label)
    if url.startswith("job:"):
        return await _copy(services, await _artifact(services, job, url), target, label)
    rules = services.rules
    seconds = rules.input_timeout.total_seconds()
    content_type = await services.fetch(
        url, target, max_bytes=rules.max_input_bytes, seconds=seconds
    )
    return Input(target, url, content_type, label)


def _label(payload: Mapping[str, Any], url: str) -> str:
    """The address without its query, which may hold a signature; of a data: URL the field that has it."""
    if url.startswith("data:"):
        return next(_fields(payload, url), "a data: URL")
    address = url.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0]
    return (
        address
        if len(address) <= _LABEL_LETTERS
        else f"{address[:30]}…{address[31 - _LABEL_LETTERS :]}"
    )


def _fields(value: Any, wanted: str, at: str = "") -> Iterator[str]:
    """Where `wanted` stands in a payload: `inputFiles[3]`, `scenes[0].audio`."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _fields(one, wanted, f"{at}.{name}" if at else name)
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _fields(one, wanted, f"{at}[{index}]")
    elif value == wanted:
        yield at


async def _artifact(services: Services, job: Job, reference: str) -> str:
    """The path of `job:{jobId}/{artifact}`, a file of the same user's."""
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


async def _copy(services: Services, path: str, target: Path, label: str) -> Input:
    info = await services.blobs.info(path)
    if info is None:
        raise PermanentError(f"The file {label} no longer exists.", code="input_not_found")
    with target.open("wb") as file:
        async for chunk in services.blobs.read(path):
            file.write(chunk)
    url = await services.blobs.signed_url(path, expires_in=services.rules.signed_url_lifetime)
    return Input(target, url, info.content_type, label)


def _inline(url: str, target: Path, label: str) -> Input:
    """A data: URL (RFC 2397)."""
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
            f"{label}: the data: URL's base64 is broken.", code="input_invalid"
        ) from error
    target.write_bytes(data)
    content_type = head.split(";")[0] or "text/plain"
    return Input(target, url, content_type, label)


def suffix_of(content_type: str) -> str:
    """`.png` for image/png; `.bin` for what is not known."""
    return {"image/jpeg": ".jpg", "audio/wav": ".wav", "audio/x-wav": ".wav"}.get(content_type) or (
        mimetypes.guess_extension(content_type) or ".bin"
    )
