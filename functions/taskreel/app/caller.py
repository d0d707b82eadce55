"""The authenticated caller of a use case, and their rights on jobs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from taskreel.domain.ids import key_of_user
from taskreel.domain.job import Job
from taskreel.domain.record import Record


class ProjectRole(IntEnum):
    """A member's role in a project; each may do what those before it may."""

    #: Reads the jobs of all members.
    VIEWER = 1
    #: Submits to the project; cancels, retries, replays and moves the jobs of all members.
    EDITOR = 2
    #: Deletes them.
    ADMIN = 3


class Caller(Record, kw_only=True):
    """The user of a request, with the claims of their token."""

    user_id: str
    tier: str = "free"
    admin: bool = False
    projects: frozenset[str] | None = None
    #: The role in each project of which the caller is a member.
    roles: Mapping[str, ProjectRole] | None = None
    #: True where an order over many jobs acts: the audit log has the order, and not each job.
    in_bulk: bool = False
    #: The admin who has this done for the user.
    ordered_by: str | None = None

    @property
    def key_project(self) -> str | None:
        """The project by whose API key they call; None for a person."""
        key = key_of_user(self.user_id)
        return None if key is None else key.project_id

    def may_see(self, job: Job) -> bool:
        """Tell if the caller may see a job: their own, their projects', any for an admin."""
        return self._has_rights(job, ProjectRole.VIEWER)

    def may_change(self, job: Job) -> bool:
        """Tell if the caller may cancel, retry, replay or move a job."""
        return self._has_rights(job, ProjectRole.EDITOR)

    def may_delete(self, job: Job) -> bool:
        """Tell if the caller may delete a job."""
        return self._has_rights(job, ProjectRole.ADMIN)

    def is_member(self, project_id: str | None) -> bool:
        """Tell if the caller has a role in the project."""
        return self.find_role(project_id) is not None

    def find_role(self, project_id: str | None) -> ProjectRole | None:
        """The caller's role in the project; None for one that is no member."""
        return self.roles.get(project_id) if self.roles and project_id is not None else None

    def _has_rights(self, job: Job, least: ProjectRole) -> bool:
        if self.admin or job.user_id == self.user_id:
            return True
        role = self.find_role(job.project_id)
        return role is not None and role >= least
