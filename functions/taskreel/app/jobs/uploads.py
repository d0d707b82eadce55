"""Uploads of users: announced here, sent to the bucket by a signed URL, used by jobs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.job_counts import find_line
from taskreel.app.jobs.queries import Page, decode_cursor, query_page
from taskreel.app.query_pages import read_values
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, InvalidError, NotFoundError, PermanentError
from taskreel.domain.ids import find_limit_owner, random_upload_id
from taskreel.domain.record import Record
from taskreel.domain.upload import (
    MOST_UPLOAD_BYTES,
    MOST_UPLOADS,
    UPLOAD_LIFETIME,
    Upload,
    build_upload_path,
    read_upload_id,
)
from taskreel.ports import Input, Query, Transaction
from taskreel.store_collections import UPLOADS

_LONGEST_ID = 100
#: Sound may be in a container of films, and is then detected as one.
_SAME_FAMILIES = {"audio": "stream", "video": "stream"}


class NewUpload(Record, kw_only=True):
    """The announcement of a file; `origin` is that of the page which will send it."""

    name: str
    content_type: str
    bytes: int
    sha256: str | None
    origin: str | None


async def create_upload(
    services: Services, caller: Caller, wanted: NewUpload
) -> tuple[Upload, str]:
    """Store an upload; it, and the URL that takes its bytes once by PUT.

    Raises InvalidError (too large), ConflictError (the user's quota).
    """
    _check_size(services, wanted)
    await _check_quota(services, caller, wanted.bytes)
    upload = _build_upload(services, caller, wanted, random_upload_id(services.random))

    async def create(tx: Transaction) -> None:
        tx.create(UPLOADS, upload.upload_id, upload)

    # First the document: a file without one would count against no quota.
    await services.store.transaction(create)
    url = await services.blobs.open_upload(
        upload.path,
        content_type=upload.content_type,
        size=upload.bytes,
        expires_in=UPLOAD_LIFETIME,
        origin=wanted.origin,
    )
    return upload, url


async def store_upload(
    services: Services,
    caller: Caller,
    wanted: NewUpload,
    content: bytes,
    *,
    upload_id: str | None = None,
) -> Upload:
    """Store an upload whose content has come with its announcement.

    The same content may be stored again under its id. Raises InvalidError (too large) and
    ConflictError (the user's quota, or other content under that id).
    """
    _check_size(services, wanted)
    id_ = upload_id or random_upload_id(services.random)
    if await services.store.get(UPLOADS, id_) is None:
        await _check_quota(services, caller, wanted.bytes)
    upload = _build_upload(services, caller, wanted, id_)

    async def create(tx: Transaction) -> Upload:
        found = await tx.get(UPLOADS, id_)
        if found is None:
            tx.create(UPLOADS, id_, upload)
        return found or upload

    # First the document: a file without one would count against no quota.
    stored = await services.store.transaction(create)
    if stored.sha256 != wanted.sha256:
        raise ConflictError("Another file was sent here before. Start a new upload.")
    await services.blobs.put(stored.path, content, content_type=stored.content_type)
    return stored


def _check_size(services: Services, wanted: NewUpload) -> None:
    limit = services.rules.inputs.max_file_bytes
    if wanted.bytes > limit:
        raise InvalidError.at("bytes", f"must be at most {limit}, the limit of an input file")


def _build_upload(services: Services, caller: Caller, wanted: NewUpload, id_: str) -> Upload:
    now = services.clock.now()
    limit_owner = find_limit_owner(caller.user_id)
    return Upload(
        upload_id=id_,
        user_id=caller.user_id,
        limited_as=None if limit_owner == caller.user_id else limit_owner,
        name=wanted.name,
        content_type=wanted.content_type,
        bytes=wanted.bytes,
        sha256=wanted.sha256,
        path=build_upload_path(id_, wanted.name),
        created_at=now,
        expire_at=now + UPLOAD_LIFETIME,
    )


async def find_upload(services: Services, caller: Caller, id_: str) -> Upload:
    """The upload, if the caller has one of that id that has not expired. Raises NotFoundError."""
    found = None
    if len(id_) <= _LONGEST_ID:
        found = await services.store.get(UPLOADS, id_)
    is_own = found is not None and (caller.admin or found.user_id == caller.user_id)
    if found is None or not is_own or found.expire_at <= services.clock.now():
        raise NotFoundError(
            f"You have no upload {id_}. Uploads expire after "
            f"{UPLOAD_LIFETIME.total_seconds() / 3600:.0f} hours: upload the file again."
        )
    return found


async def list_uploads(
    services: Services, caller: Caller, *, limit: int, cursor: str | None
) -> Page[Upload]:
    """The caller's uploads that have not expired, newest first."""
    now = services.clock.now()
    query = Query(
        collection=UPLOADS,
        where=(("userId", "==", caller.user_id),),
        order=(("createdAt", "desc"),),
        after=decode_cursor(cursor) if cursor else None,
    )
    return await query_page(
        services, query, limit=limit, matches=lambda upload: upload.expire_at > now
    )


async def is_received(services: Services, upload: Upload) -> bool:
    """True when the whole file has arrived."""
    info = await services.blobs.info(upload.path)
    return info is not None and info.bytes == upload.bytes


async def delete_upload(services: Services, caller: Caller, id_: str) -> Upload:
    """Delete an upload and its file. Raises NotFoundError."""
    upload = await find_upload(services, caller, id_)
    await _delete(services, upload, caller)
    return upload


async def require_received(services: Services, user_id: str, reference: str) -> Upload:
    """The upload that a job's input names. Raises PermanentError unless its file has arrived."""
    try:
        upload = await find_upload(services, Caller(user_id=user_id), read_upload_id(reference))
    except NotFoundError as error:
        raise PermanentError(f"{reference}: {error.message}", code="input_not_found") from error
    if not await is_received(services, upload):
        raise PermanentError(
            f"{reference}: the file has not been uploaded. PUT its {upload.bytes} bytes to the "
            "upload's URL first.",
            code="input_not_found",
        )
    return upload


async def copy_upload(services: Services, upload: Upload, target: Path, label: str) -> Input:
    """Copy the file to disk, and compare its content with what was announced.

    Raises PermanentError when type or checksum differ.
    """
    digest = None if upload.sha256 is None else hashlib.sha256()
    with target.open("wb") as file:
        async for chunk in services.blobs.read(upload.path):
            file.write(chunk)
            if digest is not None:
                digest.update(chunk)
    content_type = upload.content_type
    if not content_type.startswith("text/"):
        content_type = await _probe_content_type(services, target, label)
        if _media_family(content_type) != _media_family(upload.content_type):
            raise PermanentError(
                f"{label}: the upload was announced as {upload.content_type}, and its content is "
                f"{content_type}.",
                code="input_invalid",
            )
    if digest is not None and digest.hexdigest() != upload.sha256:
        raise PermanentError(
            f"{label}: the content's SHA-256 is {digest.hexdigest()}, and {upload.sha256} was "
            "announced. Upload the file again.",
            code="input_invalid",
        )
    lifetime = services.rules.signed_url_lifetime
    url = await services.blobs.signed_url(upload.path, expires_in=lifetime)
    return Input(target, url, content_type, label)


async def _probe_content_type(services: Services, target: Path, label: str) -> str:
    try:
        facts = await services.probe_file(target)
    except PermanentError as error:
        raise error.with_file_named(target.name, label) from error
    return facts.content_type


def _media_family(content_type: str) -> str:
    family = content_type.partition("/")[0]
    return _SAME_FAMILIES.get(family, family)


async def _check_quota(services: Services, caller: Caller, more: int) -> None:
    """Raise ConflictError when the user's uploads would be too many; delete the expired ones.

    Those of all API keys of a project count together: keys are made at will.
    """
    # Two requests at once may both pass: the quota protects the bucket, and is no exact count.
    line, owner = find_line(find_limit_owner(caller.user_id))
    query = Query(
        collection=UPLOADS,
        where=((line, "==", owner),),
        order=(("createdAt", "desc"),),
        limit=2 * MOST_UPLOADS,
    )
    now = services.clock.now()
    live: list[Upload] = []
    for upload in read_values(await services.store.query(query)):
        if upload.expire_at > now:
            live.append(upload)
        else:
            await _delete(services, upload)
    total = sum(upload.bytes for upload in live) + more
    if len(live) >= MOST_UPLOADS or total > MOST_UPLOAD_BYTES:
        whose = "Your uploads"
        if caller.key_project is not None:
            whose = f"The uploads of all API keys of project {caller.key_project}"
        raise ConflictError(
            f"{whose} may be {MOST_UPLOADS} files and {MOST_UPLOAD_BYTES >> 30} GiB "
            f"together; there are {len(live)}. Delete some, or wait until they expire.",
            code="upload_quota",
        )


async def _delete(services: Services, upload: Upload, caller: Caller | None = None) -> None:
    """Delete it for the caller; for None because it has expired."""
    await services.blobs.delete(upload.path)

    async def delete(tx: Transaction) -> None:
        tx.delete(UPLOADS, upload.upload_id)
        if caller is not None:
            id_, owner = upload.upload_id, upload.user_id
            record_admin_act(services, tx, caller, "upload deleted", subject=id_, owner=owner)

    await services.store.transaction(delete)
