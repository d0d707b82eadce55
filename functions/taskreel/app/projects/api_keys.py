"""Create, list, rotate and revoke the API keys of a project. Every change is in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.projects.key_callers import note_keys
from taskreel.app.projects.members import change_project, find_project
from taskreel.app.projects.rights import join
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from taskreel.domain.ids import random_key_id
from taskreel.domain.project import Project
from taskreel.domain.project_key import MOST_KEYS, ProjectKey, hash_token, make_token
from taskreel.domain.project_role import MemberRole

#: The longest time for which the token before a rotation is accepted beside the new one.
LONGEST_OVERLAP = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key as it is ordered. `tier` is None for that of the caller."""

    name: str
    role: MemberRole
    expires_at: datetime | None = None
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key and its token, which is stored nowhere and shown this once."""

    key: ProjectKey
    token: str


async def create_key(
    services: Services, caller: Caller, project_id: str, order: NewKey
) -> IssuedKey:
    """Create an API key, as an admin of the project.

    Its callers have the tier of the one who creates it: only an administrator of the deployment
    chooses another. Raises NotFoundError, ForbiddenError, InvalidError, and ConflictError for a
    project that has as many keys as it may have.
    """
    now = services.clock.now()
    if order.tier is not None and not caller.admin:
        raise ForbiddenError(
            "Only an admin of the deployment chooses the tier of a key: leave tier out, and the "
            "key has that of your token."
        )
    if order.expires_at is not None and order.expires_at <= now:
        raise InvalidError.at("expiresAt", "must be in the future")
    # Of every project that can have keys the id is one that a token can name.
    token = make_token(services.random, project_id)
    key = ProjectKey(
        key_id=random_key_id(services.random),
        name=order.name,
        role=order.role,
        tier=order.tier or caller.tier,
        hash=hash_token(token),
        created_by=caller.user_id,
        created_at=now,
        expires_at=order.expires_at,
    )

    def change(project: Project) -> Project:
        # Expired ones go when there is no room; until then the list shows why they stopped working.
        keys = project.keys
        if len(keys) >= MOST_KEYS:
            keys = tuple(one for one in keys if one.is_valid(now))
        if len(keys) >= MOST_KEYS:
            raise ConflictError(
                f"The project has {MOST_KEYS} keys, which is the limit: revoke one."
            )
        return project.model_copy(update={"keys": (*keys, key), "updated_at": now})

    action = f"project key created: {key.key_id} as {key.role}"
    await _change_keys(services, caller, project_id, change, action)
    return IssuedKey(key, token)


async def list_keys(services: Services, caller: Caller, project_id: str) -> tuple[ProjectKey, ...]:
    """The keys of the project that were not revoked, for its admins. Raises as `create_key`."""
    project = await find_project(services, caller, project_id)
    role = join(caller, project, services.clock.now()).find_role(project_id)
    if not caller.admin and (role is not ProjectRole.ADMIN or caller.key_project is not None):
        raise ForbiddenError(f"The keys of project {project_id} are for its admins.")
    return project.keys


async def rotate_key(
    services: Services, caller: Caller, project_id: str, key_id: str, overlap: timedelta
) -> IssuedKey:
    """Give a key another token; the one before is accepted for `overlap` beside it.

    It stays the same user: its jobs, schedules and webhooks stay its own. Raises as `create_key`.
    """
    token = make_token(services.random, project_id)
    until = services.clock.now() + overlap

    def change(project: Project) -> Project:
        _find_key(project, key_id)
        keys = tuple(
            one.rotate(token, until) if one.key_id == key_id else one for one in project.keys
        )
        return project.model_copy(update={"keys": keys, "updated_at": services.clock.now()})

    action = f"project key rotated: {key_id}"
    changed = await _change_keys(services, caller, project_id, change, action)
    return IssuedKey(_find_key(changed, key_id), token)


async def revoke_key(services: Services, caller: Caller, project_id: str, key_id: str) -> None:
    """Remove a key: it spends nothing from then on, and opens nothing some seconds later.

    Its jobs go on, and are its project's. Raises as `create_key`.
    """

    def change(project: Project) -> Project:
        _find_key(project, key_id)
        keys = tuple(one for one in project.keys if one.key_id != key_id)
        return project.model_copy(update={"keys": keys, "updated_at": services.clock.now()})

    await _change_keys(services, caller, project_id, change, f"project key revoked: {key_id}")


async def _change_keys(
    services: Services,
    caller: Caller,
    project_id: str,
    change: Callable[[Project], Project],
    action: str,
) -> Project:
    entry = build_audit_entry(services, caller.user_id, action, subject=project_id)
    changed = await change_project(services, caller, project_id, change, entry)
    note_keys(services, project_id, changed)
    return changed


def _find_key(project: Project, key_id: str) -> ProjectKey:
    key = project.find_key(key_id)
    if key is None:
        raise NotFoundError(f"Project {project.project_id} has no key {key_id}.")
    return key
