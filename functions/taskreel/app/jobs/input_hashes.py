"""The SHA-256 of the input files that a request names, where it is known without fetching them.

Those are results of jobs, uploads that were announced with theirs, and data: URLs. What is behind
a web address may change; such an address stands for itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from taskreel.app.caller import Caller
from taskreel.app.jobs.input_files import decode_data_url
from taskreel.app.jobs.queries import find_job
from taskreel.app.jobs.uploads import find_upload
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError, PermanentError
from taskreel.domain.upload import is_upload_reference, read_upload_id

_JOB_FILE = re.compile(r"job:(job_\w+)(?:/([^/\s]+))?")
_UPLOAD = re.compile(r"upload:\w+")


async def replace_own_files(
    services: Services, caller: Caller, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Copy a payload with `sha256:…` in the place of each file whose hash is known.

    One read for each job and each upload that it names.
    """
    named = sorted(set(_find_references(payload)))
    hashes = await asyncio.gather(*(_read_hash(services, caller, one) for one in named))
    known = {one: f"sha256:{found}" for one, found in zip(named, hashes, strict=True) if found}
    replaced: dict[str, Any] = _replace(payload, known) if known else dict(payload)
    return replaced


def _find_references(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith("data:") or _JOB_FILE.fullmatch(value) or _UPLOAD.fullmatch(value):
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _find_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _find_references(inner)


async def _read_hash(services: Services, caller: Caller, reference: str) -> str | None:
    """The hash of a file, None where none is known: the run will say what is wrong with it."""
    try:
        if reference.startswith("data:"):
            _, data = decode_data_url(reference, "")
            return hashlib.sha256(data).hexdigest()
        if is_upload_reference(reference):
            return (await find_upload(services, caller, read_upload_id(reference))).sha256
        job_id, _, name = reference.removeprefix("job:").partition("/")
        job = await find_job(services, caller, job_id)
    except (NotFoundError, PermanentError):
        return None
    # A job that runs may still replace a file of that name.
    files = job.artifacts if job.status.final else ()
    return next((file.sha256 for file in files if not name or file.name == name), None)


def _replace(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return known.get(value, value)
    if isinstance(value, Mapping):
        return {name: _replace(inner, known) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replace(inner, known) for inner in value]
    return value
