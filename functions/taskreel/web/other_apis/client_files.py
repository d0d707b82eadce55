"""Files that other services' clients send by themselves, as uploads of their user."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass

from taskreel.app.caller import Caller
from taskreel.app.jobs import uploads
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError
from taskreel.domain.upload import Upload

#: The file is in the memory while it is stored; larger ones go by POST /api/uploads.
MOST_FILE_BYTES = 20 << 20
_FAMILIES = ("image/", "video/", "audio/", "text/plain")
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file, and its name and type as its client has sent them."""

    name: str
    content_type: str
    content: bytes


def choose_type(name: str, content_type: str, *, at: str) -> str:
    """The type that was sent, or that of the name. Raises InvalidError if it is no medium."""
    guessed, _ = mimetypes.guess_type(name)
    for one in (content_type, guessed):
        if one and one.startswith(_FAMILIES):
            return one
    message = "must be an image, a video, sound or plain text, by its type or its name's ending"
    raise InvalidError.at(at, message)


async def store_file(
    services: Services,
    caller: Caller,
    file: SentFile,
    *,
    at: str = "file",
    upload_id: str | None = None,
) -> Upload:
    """Store the file as an upload. Raises InvalidError, and ConflictError (the user's quota)."""
    if not file.content:
        raise InvalidError.at(at, "is empty")
    wanted = uploads.NewUpload(
        name=file.name[:_LONGEST_NAME] or "file",
        content_type=choose_type(file.name, file.content_type, at=at),
        bytes=len(file.content),
        sha256=hashlib.sha256(file.content).hexdigest(),
        origin=None,
    )
    return await uploads.store_upload(services, caller, wanted, file.content, upload_id=upload_id)
