"""The API keys of a project: secrets by which programs act in it, without a person's token.

`tk_{project}_{secret}` names the project, so that one read of its document verifies it. The secret
has 256 random bits: no list of guesses reaches it, and its plain SHA-256 may be stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime
from random import Random
from typing import Annotated, Self

from taskreel.domain.ids import random_id
from taskreel.domain.project_role import MemberRole
from taskreel.domain.value import StoredValue, accept_unknown

#: The beginning of each; no JWT begins with it.
KEY_MARK = "tk_"
MOST_KEYS = 50
_TOKEN = re.compile(r"tk_([A-Za-z0-9][A-Za-z0-9._-]{0,127})_[a-z2-7]{52}")


class ProjectKey(StoredValue):
    """A key: its caller is a user of its own, with one role in one project."""

    key_id: str
    name: str
    role: Annotated[MemberRole, accept_unknown(MemberRole)]
    #: The tier of the callers; that of the token by which the key was created.
    tier: str
    #: Of the whole token; the token itself is stored nowhere.
    hash: str
    created_by: str
    created_at: datetime
    #: It opens nothing from then on; None is never.
    expires_at: datetime | None = None
    #: The token before the last rotation, and until when it is accepted beside the new one.
    previous_hash: str | None = None
    previous_until: datetime | None = None

    def is_valid(self, at: datetime) -> bool:
        """True while it has not expired."""
        return self.expires_at is None or at < self.expires_at

    def accepts(self, digest: str, at: datetime) -> bool:
        """True for the hash of its token; the time that it takes tells nothing of the hash."""
        is_current = hmac.compare_digest(self.hash, digest)
        is_previous = hmac.compare_digest(self.previous_hash or "", digest)
        still = self.previous_until is not None and at < self.previous_until
        return self.is_valid(at) and (is_current or (is_previous and still))

    def rotate(self, token: str, until: datetime) -> Self:
        """The key with another token; the one before is accepted until then."""
        return self.model_copy(
            update={
                "hash": hash_token(token),
                "previous_hash": self.hash,
                "previous_until": until,
            }
        )


def make_token(random: Random, project_id: str) -> str:
    """A new token of the project."""
    return f"{KEY_MARK}{project_id}_{random_id(random)}{random_id(random)}"


def read_project_id(token: str) -> str | None:
    """The project that a token names; None for what is no key's token."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else found[1]


def hash_token(token: str) -> str:
    """The stored form of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def find_key(keys: Iterable[ProjectKey], digest: str, at: datetime) -> ProjectKey | None:
    """The key whose token has that hash. All are compared, whichever it is."""
    accepting = [key for key in keys if key.accepts(digest, at)]
    return accepting[0] if accepting else None
