"""The SHA-256 of the input files that a request names, where it is known without fetching them.

Those are results of jobs, uploads that were announced with theirs, and data: URLs. What is behind
a web address may change; such an address stands for itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel

from taskreel.app.caller import Caller
from taskreel.app.jobs.input_files import decode_data_url, find_source
from taskreel.app.jobs.uploads import find_upload
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError, PermanentError
from taskreel.domain.upload import is_upload_reference, read_upload_id
from taskreel.jobtypes.fields import check_url
from taskreel.jobtypes.submission import Submission

_OWN_FILE = re.compile(r"data:.*|job:job_\w+(?:/[^/\s]+)?|upload:\w+", re.DOTALL)

#: The names and indexes that lead to a value of a payload.
_Path = tuple[str | int, ...]


async def replace_own_files(
    services: Services, caller: Caller, submission: Submission, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Copy a request's payload with `{"sha256": …}` for each input file whose hash is known.

    Only fields that name input files are replaced, and by what no text equals: a prompt that
    resembles an address is a text. One read for each job and each upload that is named.
    """
    inputs = {path: url for path, url in _find_inputs(submission, ()) if _is_own(url)}
    named = sorted(set(inputs.values()))
    hashes = await asyncio.gather(*(_read_hash(services, caller, one) for one in named))
    known = {one: found for one, found in zip(named, hashes, strict=True) if found}
    replaced = {path: {"sha256": known[url]} for path, url in inputs.items() if url in known}
    copied: dict[str, Any] = _copy_with(payload, replaced, ())
    return copied


def _is_own(url: str) -> bool:
    return _OWN_FILE.fullmatch(url) is not None


def _find_inputs(submission: BaseModel, at: _Path) -> Iterator[tuple[_Path, str]]:
    """The input files of a request, or of a part of it, with their places in its payload."""
    for name, field in type(submission).model_fields.items():
        if name in submission.model_fields_set:
            value = getattr(submission, name)
            place = (*at, field.serialization_alias or field.alias or name)
            if isinstance(value, str) and any(map(_checks_url, field.metadata)):
                yield place, value
            else:
                yield from _find_inputs_within(value, field.annotation, place)


def _find_inputs_within(value: Any, kind: Any, at: _Path) -> Iterator[tuple[_Path, str]]:
    """The input files in a value of the type `kind`."""
    arguments = get_args(kind)
    if isinstance(value, BaseModel):
        yield from _find_inputs(value, at)
    elif get_origin(kind) is Annotated and any(map(_checks_url, arguments)):
        if isinstance(value, str):
            yield at, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            for inner in arguments or (None,):
                yield from _find_inputs_within(item, inner, (*at, index))
    else:
        for inner in arguments:  # of a union, or what is annotated
            yield from _find_inputs_within(value, inner, at)


def _checks_url(annotation: Any) -> bool:
    return isinstance(annotation, AfterValidator) and annotation.func is check_url


async def _read_hash(services: Services, caller: Caller, reference: str) -> str | None:
    """The hash of a file, None where none is known: the run will say what is wrong with it."""
    try:
        if reference.startswith("data:"):
            _, data = decode_data_url(reference, "")
            return hashlib.sha256(data).hexdigest()
        if is_upload_reference(reference):
            return (await find_upload(services, caller, read_upload_id(reference))).sha256
        job, name = await find_source(services, caller.user_id, reference)
    except (NotFoundError, PermanentError):
        return None
    # A job that runs may still replace a file of that name.
    files = job.artifacts if job.status.final else ()
    return next((file.sha256 for file in files if not name or file.name == name), None)


def _copy_with(value: Any, replaced: Mapping[_Path, Any], at: _Path) -> Any:
    if at in replaced:
        return replaced[at]
    if isinstance(value, Mapping):
        return {name: _copy_with(one, replaced, (*at, name)) for name, one in value.items()}
    if isinstance(value, list):
        return [_copy_with(one, replaced, (*at, index)) for index, one in enumerate(value)]
    return value
