"""The roles of a token: `projectRoles`, a role's name by project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.app.caller import ProjectRole
from taskreel.domain.errors import UnauthenticatedError

_ROLES = {role.name.lower(): role for role in ProjectRole}


def read_roles(claims: Mapping[str, Any]) -> Mapping[str, ProjectRole] | None:
    """The roles of the claims; None without any.

    Raises UnauthenticatedError for a role that there is not.
    """
    given = claims.get("projectRoles")
    if given is None:
        return None
    if not isinstance(given, dict) or not all(
        isinstance(role, str) and role in _ROLES for role in given.values()
    ):
        raise UnauthenticatedError(
            "Invalid token: its `projectRoles` must map each project to one of: "
            f"{', '.join(_ROLES)}."
        )
    return {str(project): _ROLES[role] for project, role in given.items()}


def write_roles(roles: Mapping[str, ProjectRole]) -> dict[str, str]:
    """The claim of these roles."""
    return {project: role.name.lower() for project, role in roles.items()}
