"""The callers of projects' API keys.

A key is verified by its project's document, which is read again after some seconds: a revoked key
opens nothing after that time, at the process that has revoked it at once. What it spends is decided
by the document as the transaction of the hold reads it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.job_counts import KnownKeys
from taskreel.app.projects.rights import load_project
from taskreel.app.services import Services
from taskreel.domain.errors import RateExceededError, UnauthenticatedError
from taskreel.domain.ids import project_key_user_id
from taskreel.domain.project import Project
from taskreel.domain.project_key import (
    ProjectKey,
    find_key,
    hash_token,
    read_project_id,
)
from taskreel.domain.rate_limit import REFUSALS
from taskreel.domain.value import is_known

#: For so long a verified key is taken for valid: the slack of its revocation.
KEY_AGE = timedelta(seconds=10)
#: A key that is not among those read is looked up again after so long: it may be a new one.
_UNKNOWN_AGE = timedelta(seconds=1)
#: Projects in memory; of an unknown one the document is read.
_MOST_PROJECTS = 10_000
#: Reads in a second, at a process, for keys that name projects which it does not know.
_MOST_STRANGE_READS = 50
_SECOND = timedelta(seconds=1)


class KeyCallers:
    """Verifies the tokens of keys at this process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._strange_since: datetime | None = None
        self._strange_reads = 0

    async def find_caller(self, token: str) -> tuple[Caller, float]:
        """The caller of a key's token, and until when, in seconds since 1970.

        It costs one read of the project, and none if that was read seconds ago. Raises
        UnauthenticatedError, RateExceededError for a flood of keys that do not exist, and
        StoreError.
        """
        project_id = read_project_id(token)
        if project_id is None:
            raise UnauthenticatedError(
                "Invalid API key: a key has the form tk_PROJECTID_SECRET, and its SECRET has 52 "
                "letters and digits. Send the whole token, as it was shown when it was created."
            )
        digest = hash_token(token)
        now = self._services.clock.now()
        known = self._services.counts.keys_of_project.get(project_id)
        age = KEY_AGE if known is None else now - known.read_at
        key = None
        if known is not None and timedelta(0) <= age < KEY_AGE:
            key = find_key(known.keys, digest, now)
        if key is None and (known is None or not timedelta(0) <= age < _UNKNOWN_AGE):
            if known is None or not known.exists:
                self._count_strange_read(now)
            project = await load_project(self._services.store, project_id)
            key = find_key(note_keys(self._services, project_id, project).keys, digest, now)
        if key is None or not is_known(key.role):
            raise UnauthenticatedError(
                "Invalid API key: it was revoked or replaced, has expired, or never existed. "
                "An admin of its project can list the valid keys and create another."
            )
        caller = Caller(
            user_id=project_key_user_id(project_id, key.key_id),
            tier=key.tier,
            projects=frozenset([project_id]),
            roles={project_id: ProjectRole[key.role.name]},
        )
        return caller, _find_end(key, digest)

    def _count_strange_read(self, now: datetime) -> None:
        """Raise RateExceededError when guesses of projects would read the store too often."""
        since = self._strange_since
        if since is None or not timedelta(0) <= now - since < _SECOND:
            self._strange_since, self._strange_reads = now, 0
        if self._strange_reads >= _MOST_STRANGE_READS:
            raise RateExceededError(
                "This service receives too many API keys that do not exist: try again in a second.",
                policy=REFUSALS,
                retry_after=_SECOND,
            )
        self._strange_reads += 1


async def check_key(services: Services, caller: Caller) -> None:
    """Check that the key of a caller who has one is still valid: for long connections.

    Raises UnauthenticatedError.
    """
    project_id = caller.key_project
    if project_id is None:
        return
    project = await load_project(services.store, project_id)
    if project is None or project.find_role(caller.user_id, services.clock.now()) is None:
        raise UnauthenticatedError("The API key was revoked or has expired.")


def note_keys(services: Services, project_id: str, project: Project | None) -> KnownKeys:
    """Take up the keys of a project's document."""
    known = services.counts.keys_of_project
    if len(known) >= _MOST_PROJECTS:
        known.clear()
    keys = () if project is None else project.keys
    found = KnownKeys(keys, project is not None, services.clock.now())
    known[project_id] = found
    return found


def _find_end(key: ProjectKey, digest: str) -> float:
    """The time at which the token ends, in seconds since 1970."""
    ends = [key.expires_at, None if digest == key.hash else key.previous_until]
    return min((end.timestamp() for end in ends if end is not None), default=float("inf"))
