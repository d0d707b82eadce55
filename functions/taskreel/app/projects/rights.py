"""The role of a caller in a project: by their token, else by the store.

A role that the token's `projectRoles` names for the project is the caller's, be it higher or lower
than that of the store. A token whose `projects` leave the project out has no part in it.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.services import Services
from taskreel.domain.errors import ForbiddenError
from taskreel.domain.project import Project, is_project_id
from taskreel.ports import Store, Transaction
from taskreel.store_collections import PROJECTS


async def load_project(reader: Store | Transaction, project_id: str | None) -> Project | None:
    """The stored project; None for a name that jobs have, and that was never created. One read."""
    if project_id is None or not is_project_id(project_id):
        return None
    return await reader.get(PROJECTS, project_id)


async def add_stored_role(services: Services, caller: Caller, project_id: str | None) -> Caller:
    """The caller with their role in the project; a read only where their token gives them none."""
    if project_id is None or caller.admin or caller.is_member(project_id):
        return caller
    project = await load_project(services.store, project_id)
    return caller if project is None else join(caller, project, services.clock.now())


def join(caller: Caller, project: Project, at: datetime) -> Caller:
    """The caller with the role that the project has for them, unless their token says another."""
    id_ = project.project_id
    is_left_out = caller.projects is not None and id_ not in caller.projects
    stored = project.find_role(caller.user_id, at)
    if stored is None or is_left_out or caller.is_member(id_):
        return caller
    return replace(caller, roles={**(caller.roles or {}), id_: ProjectRole[stored.name]})


def require_editor(caller: Caller, project: Project, at: datetime) -> None:
    """Raise ForbiddenError for a caller who may not submit to the project."""
    if caller.key_project is not None:
        # Their role was read some seconds ago: a revoked key spends nothing from this read on.
        caller = replace(caller, roles=None)
    role = join(caller, project, at).find_role(project.project_id)
    if caller.admin or (role is not None and role >= ProjectRole.EDITOR):
        return
    if caller.key_project is not None:
        raise ForbiddenError(
            f"This API key may not submit to project {project.project_id}: its role must be editor "
            "or admin, and it must be neither revoked nor expired."
        )
    why = "You are no member" if role is None else "You are a viewer"
    raise ForbiddenError(
        f"{why} of project {project.project_id}: submitting to it needs the role editor, "
        "which one of its admins can give you."
    )
