"""Create projects, change their members and caps. Every change is in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.credits.grants import check_user_id
from taskreel.app.projects.rights import join, load_project
from taskreel.app.query_pages import read_page_by_id
from taskreel.app.services import Services
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.erasure import PSEUDONYM_PREFIX
from taskreel.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from taskreel.domain.ids import random_id
from taskreel.domain.project import MOST_MEMBERS, PROJECT_ID, Project, is_project_id
from taskreel.domain.project_role import MemberRole
from taskreel.ports import Query, Transaction
from taskreel.store_collections import AUDIT, PROJECTS

#: A user is a member of so many at most, as far as they create them or list them.
MOST_PROJECTS = 200


async def create_project(
    services: Services,
    caller: Caller,
    name: str,
    *,
    project_id: str | None = None,
    owner_id: str | None = None,
) -> Project:
    """Create a project whose owner is the caller.

    Its id is random: a name that others' jobs already have would show those to its members. Only an
    administrator, who may see them anyway, chooses an id, or another owner. Raises ForbiddenError,
    InvalidError, and ConflictError for an id that is taken.
    """
    _refuse_key(caller)
    if not caller.admin and (project_id is not None or owner_id is not None):
        raise ForbiddenError(
            "Only an admin chooses projectId or ownerId: leave them out, and the answer has an id."
        )
    if project_id is not None and not is_project_id(project_id):
        raise InvalidError.at("projectId", f"must have {PROJECT_ID}")
    if owner_id is not None:
        check_user_id(owner_id)
    if len(await list_projects(services, caller)) >= MOST_PROJECTS:
        raise ConflictError(f"You are a member of {MOST_PROJECTS} projects, which is the limit.")
    now = services.clock.now()
    owner = owner_id or caller.user_id
    project = Project(
        project_id=project_id or f"prj_{random_id(services.random)}",
        name=name,
        owner_id=owner,
        created_at=now,
        updated_at=now,
    ).with_member(owner, MemberRole.ADMIN, now)
    action = f"project created for {owner}"
    entry = build_audit_entry(services, caller.user_id, action, subject=project.project_id)

    async def write(tx: Transaction) -> Project:
        if await tx.get(PROJECTS, project.project_id) is not None:
            raise ConflictError(f"There is a project {project.project_id} already.")
        tx.create(PROJECTS, project.project_id, project)
        tx.create(AUDIT, entry.entry_id, entry)
        return project

    return await services.store.transaction(write)


async def list_projects(services: Services, caller: Caller) -> list[Project]:
    """The stored projects of which the caller is a member, by name; of an API key, its own."""
    if caller.key_project is not None:
        return [await find_project(services, caller, caller.key_project)]
    query = Query(
        collection=PROJECTS,
        where=(("memberIds", "array-contains", caller.user_id),),
        limit=MOST_PROJECTS,
    )
    found = [row.value for row in await services.store.query(query)]
    return sorted(found, key=lambda one: (one.name, one.project_id))


async def list_all_projects(
    services: Services, *, limit: int, after: str | None
) -> tuple[list[Project], str | None]:
    """Everybody's projects by their ids, and the id behind which the next page begins."""
    return await read_page_by_id(services.store, PROJECTS, limit=limit, after=after)


async def find_project(services: Services, caller: Caller, project_id: str) -> Project:
    """The project, for its members and admins. Raises NotFoundError."""
    project = await load_project(services.store, project_id)
    return _check_member(services, caller, project, project_id)


async def set_member(
    services: Services, caller: Caller, project_id: str, user_id: str, role: MemberRole
) -> Project:
    """Give a user a role in the project, as one of its admins."""
    check_user_id(user_id)

    def change(project: Project) -> Project:
        if user_id == project.owner_id and role is not MemberRole.ADMIN:
            raise ConflictError(
                f"{user_id} owns the project, and so is an admin of it: "
                "make another member its owner first."
            )
        if user_id not in project.member_ids and len(project.members) >= MOST_MEMBERS:
            raise ConflictError(f"The project has {MOST_MEMBERS} members, which is the limit.")
        return project.with_member(user_id, role, services.clock.now())

    action = f"project member set: {user_id} as {role}"
    entry = build_audit_entry(services, caller.user_id, action, subject=project_id)
    return await change_project(services, caller, project_id, change, entry)


async def remove_member(
    services: Services, caller: Caller, project_id: str, user_id: str
) -> Project:
    """Remove a user, as one of the project's admins, or as that user."""

    def change(project: Project) -> Project:
        if user_id not in project.member_ids:
            raise NotFoundError(f"{user_id} is no member of project {project_id}.")
        if user_id == project.owner_id:
            raise ConflictError(f"{user_id} owns the project: make another member its owner first.")
        return project.without_member(user_id, services.clock.now())

    action = f"project member removed: {user_id}"
    leaves = user_id == caller.user_id
    entry = build_audit_entry(services, caller.user_id, action, subject=project_id)
    return await change_project(services, caller, project_id, change, entry, is_allowed=leaves)


async def set_owner(services: Services, caller: Caller, project_id: str, user_id: str) -> Project:
    """Make another member the owner, as the owner or an administrator.

    After the owner's erasure any admin of the project may: its owner is a pseudonym, which no one
    can sign in as.
    """

    def change(project: Project) -> Project:
        is_erased = project.owner_id.startswith(PSEUDONYM_PREFIX)
        if not (caller.admin or caller.user_id == project.owner_id or is_erased):
            raise ForbiddenError("Only the owner of a project may make another member its owner.")
        if user_id not in project.member_ids:
            raise InvalidError.at("ownerId", "must be a member of the project")
        now = services.clock.now()
        admin = project.with_member(user_id, MemberRole.ADMIN, now)
        return admin.model_copy(update={"owner_id": user_id})

    action = f"project owner set: {user_id}"
    entry = build_audit_entry(services, caller.user_id, action, subject=project_id)
    return await change_project(services, caller, project_id, change, entry)


async def set_project_caps(
    services: Services,
    caller: Caller,
    project_id: str,
    *,
    daily: int | None,
    monthly: int | None,
    reason: str,
) -> Project:
    """Limit the credits of the holds of the project's jobs in a day and in a month (UTC).

    What is spent already counts. A cap below it stops new holds, and no job that has one.
    """
    caps = {"daily_cap": daily, "monthly_cap": monthly}
    action = "project caps set: daily {}, monthly {}"
    return await _set_limits(services, caller, project_id, caps, action, reason)


async def set_project_limits(
    services: Services,
    caller: Caller,
    project_id: str,
    *,
    active_jobs: int | None,
    total: int | None,
    reason: str,
) -> Project:
    """Limit the project's jobs under way at a time, and the credits of all its jobs in total.

    None is no limit. The first counts the jobs that are submitted from then on.
    """
    limits = {"active_jobs": active_jobs, "total_cap": total}
    action = "project limits set: active jobs {}, credits {}"
    return await _set_limits(services, caller, project_id, limits, action, reason)


async def _set_limits(
    services: Services,
    caller: Caller,
    project_id: str,
    limits: Mapping[str, int | None],
    action: str,
    reason: str,
) -> Project:
    """Set the fields `limits`; `action` has a place for the value of each, in their order."""

    def change(project: Project) -> Project:
        now = services.clock.now()
        limited = project.model_copy(update={**limits, "updated_at": now})
        return limited.without_stale_alerts(now)

    named = ("none" if limit is None else str(limit) for limit in limits.values())
    action = action.format(*named)
    entry = build_audit_entry(services, caller.user_id, action, subject=project_id, reason=reason)
    return await change_project(services, caller, project_id, change, entry)


async def change_project(
    services: Services,
    caller: Caller,
    project_id: str,
    change: Callable[[Project], Project],
    entry: AuditEntry,
    *,
    is_allowed: bool = False,
) -> Project:
    """Store the changed project, by one of its admins unless the caller `is_allowed` anyway."""
    _refuse_key(caller)

    async def write(tx: Transaction) -> Project:
        project = _check_member(services, caller, await load_project(tx, project_id), project_id)
        role = join(caller, project, services.clock.now()).find_role(project_id)
        if not (is_allowed or caller.admin or role is ProjectRole.ADMIN):
            raise ForbiddenError(f"Changing project {project_id} needs the role admin in it.")
        changed = change(project)
        tx.set(PROJECTS, project_id, changed)
        tx.create(AUDIT, entry.entry_id, entry)
        return changed

    return await services.store.transaction(write)


def _check_member(
    services: Services, caller: Caller, project: Project | None, project_id: str
) -> Project:
    if project is not None:
        joined = join(caller, project, services.clock.now())
        if caller.admin or joined.is_member(project_id):
            return project
    raise NotFoundError(f"There is no project {project_id} of which you are a member.")


def _refuse_key(caller: Caller) -> None:
    """Raise ForbiddenError for an API key: one that has leaked must not create others."""
    if caller.key_project is not None:
        raise ForbiddenError(
            "An API key cannot create or change projects, members, limits or keys: send the JWT of "
            "a person who is an admin of the project."
        )
