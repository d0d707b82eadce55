"""The roles of the members and keys of a project."""

from __future__ import annotations

from enum import StrEnum


class MemberRole(StrEnum):
    """The role of a member; each may do what those before it may. The owner is an admin, too."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"
