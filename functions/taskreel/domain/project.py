"""Projects: their members and roles, and what they may spend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from taskreel.domain.credits import CappedSpend, SpendCap
from taskreel.domain.ids import key_of_user, project_account_id
from taskreel.domain.project_key import ProjectKey
from taskreel.domain.project_role import MemberRole
from taskreel.domain.value import StoredValue, accept_unknown, is_known

MOST_MEMBERS = 200
#: The name of the cap on all that a project spends, in place of a day or a month.
TOTAL = "total"
#: The stored field of what it has spent.
TOTAL_FIELD = "totalSpent"
PROJECT_ID = "letters, digits, and . _ - behind the first of them, at most 128"
_PROJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_project_id(text: str) -> bool:
    """Tell if a project of that id can be stored; jobs may name others, which have no members."""
    return _PROJECT_ID.fullmatch(text) is not None


class ProjectMember(StoredValue):
    """A user of the project, and since when they have the role."""

    user_id: str
    role: Annotated[MemberRole, accept_unknown(MemberRole)]
    since: datetime


class Project(CappedSpend):
    """A project. It also counts the spend of the jobs that name it, and may cap it."""

    project_id: str
    name: str
    owner_id: str
    #: In order of their joining; the owner is the first of a new project.
    members: tuple[ProjectMember, ...] = ()
    #: Their ids again, by which a user's projects are found.
    member_ids: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime
    #: The credits that its jobs may spend in all; None is no limit.
    total_cap: int | None = None
    #: What its jobs hold and have captured in all; counted from the release that stores it on.
    total_spent: int = Field(default=0, exclude_if=lambda value: not value)
    #: Its jobs under way at a time, pipelines counted as one; None is no limit of its own.
    active_jobs: int | None = None
    #: True while its own account pays its jobs: from a grant on, until an admin says otherwise.
    has_account: bool = Field(default=False, exclude_if=lambda value: not value)
    #: Its API keys, in order of their creation.
    keys: tuple[ProjectKey, ...] = Field(default=(), exclude_if=lambda value: not value)

    @property
    def account_id(self) -> str | None:
        """The account that pays its jobs; None where the members pay their own."""
        return project_account_id(self.project_id) if self.has_account else None

    @property
    def has_caps(self) -> bool:
        """True when only so much may be spent, in a period or in all."""
        return super().has_caps or self.total_cap is not None

    @property
    def total(self) -> SpendCap:
        """The cap on all that is spent, whenever."""
        return SpendCap(
            name=TOTAL, period=TOTAL, limit=self.total_cap, spent=self.total_spent, resets_on=None
        )

    def list_caps(self, at: datetime) -> list[SpendCap]:
        """The caps of the day and the month, and that on all that is spent."""
        return [*super().list_caps(at), self.total]

    def find_role(self, user_id: str, at: datetime) -> MemberRole | None:
        """The role of a member, or of a key that has neither been revoked nor expired.

        None for one that has none, or has a role of a later release.
        """
        for member in self.members:
            if member.user_id == user_id:
                return _read_role(member.role)
        key = self.find_key_of(user_id)
        return None if key is None or not key.is_valid(at) else _read_role(key.role)

    def find_key(self, key_id: str) -> ProjectKey | None:
        """The key of that id; None once it has been revoked."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def find_key_of(self, user_id: str) -> ProjectKey | None:
        """The key of this project whose callers are that user."""
        owner = key_of_user(user_id)
        if owner is None or owner.project_id != self.project_id:
            return None
        return self.find_key(owner.key_id)

    def with_member(self, user_id: str, role: MemberRole, at: datetime) -> Self:
        """The project with that user in that role."""
        member = ProjectMember(user_id=user_id, role=role, since=at)
        if user_id not in self.member_ids:
            return self._with_members([*self.members, member], at)
        return self._with_members(
            [member if one.user_id == user_id else one for one in self.members], at
        )

    def without_member(self, user_id: str, at: datetime) -> Self:
        """The project without that user."""
        return self._with_members([one for one in self.members if one.user_id != user_id], at)

    def hold(self, cost: int, at: datetime) -> Self:
        """The project with `cost` counted as spent. Raises SpendCapError if a cap is reached."""
        fields = self.count_hold(cost, at, f"the project {self.project_id}'s")
        spent = {**fields, "total_spent": self.total_spent + cost}
        return self.without_stale_spend(at).model_copy(update=spent)

    def _with_members(self, members: Sequence[ProjectMember], at: datetime) -> Self:
        return self.model_copy(
            update={
                "members": tuple(members),
                "member_ids": tuple(one.user_id for one in members),
                "updated_at": at,
            }
        )


def _read_role(role: MemberRole) -> MemberRole | None:
    return role if is_known(role) else None
