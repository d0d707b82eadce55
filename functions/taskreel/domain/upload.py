"""An upload: a user's file in the bucket, for the inputs of jobs, until it expires."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from taskreel.domain.value import StoredValue

#: An upload can be used, and its URL takes the file, for so long.
UPLOAD_LIFETIME = timedelta(hours=24)
#: A user's uploads at a time, and the sum of their bytes; or those of all API keys of a project.
MOST_UPLOADS = 100
MOST_UPLOAD_BYTES = 2 << 30
_REFERENCE = "upload:"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100


class Upload(StoredValue):
    """The announced name, type and size of a file, which its content is compared with."""

    upload_id: str
    user_id: str
    #: The account with which it counts, where that is not its user's: that of a project's keys.
    limited_as: str | None = None
    name: str
    content_type: str
    bytes: int
    sha256: str | None = None
    path: str
    created_at: datetime
    expire_at: datetime

    @property
    def reference(self) -> str:
        """The upload as an input of a job."""
        return f"{_REFERENCE}{self.upload_id}"


def is_upload_reference(url: str) -> bool:
    """True for `upload:{id}`."""
    return url.startswith(_REFERENCE)


def read_upload_id(reference: str) -> str:
    """The id in `upload:{id}`."""
    return reference.removeprefix(_REFERENCE)


def build_upload_path(upload_id: str, name: str) -> str:
    """The object's path: its name is the file's, without characters that a path may not have."""
    safe = _UNSAFE.sub("-", name).strip(".-")[-_LONGEST_NAME:]
    return f"uploads/{upload_id}/{safe or 'file'}"


def find_upload_folder(path: str) -> str:
    """The prefix of the paths of an upload's files, from the path of one."""
    folder, slash, _ = path.rpartition("/")
    return folder + slash
