"""Examples of the responses of projects and their API keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from taskreel.app.caller import Caller
from taskreel.app.projects.api_keys import IssuedKey
from taskreel.domain.project import Project
from taskreel.domain.project_key import KEY_MARK, ProjectKey, hash_token
from taskreel.domain.project_role import MemberRole
from taskreel.web.project_keys import IssuedKeyView, KeyList, build_issued_view, build_key_view
from taskreel.web.projects import ProjectList, ProjectView, build_project_view

_AT = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
_ID = "prj_4mq7rzvb2k3xw5ny6c8dt9fhja"
_TOKEN = f"{KEY_MARK}{_ID}_{'abcdefghijklmnopqrstuvwxyz' * 2}"
_KEY = ProjectKey(
    key_id="key_7w2nq5xk4t6zrb3vd8mjc9hfya",
    name="render server",
    role=MemberRole.EDITOR,
    tier="pro",
    hash=hash_token(_TOKEN),
    created_by="ada",
    created_at=_AT,
    expires_at=_AT + timedelta(days=90),
)


def _build_project() -> ProjectView:
    project = Project(
        project_id=_ID,
        name="The lighthouse film",
        owner_id="ada",
        daily_cap=500,
        created_at=_AT,
        updated_at=_AT,
    )
    for user, role in (("ada", MemberRole.ADMIN), ("bob", MemberRole.EDITOR)):
        project = project.with_member(user, role, _AT)
    return build_project_view(Caller(user_id="ada"), project.hold(12, _AT), _AT)


def _build_issued_key() -> IssuedKeyView:
    return build_issued_view(_ID, IssuedKey(_KEY, _TOKEN), _AT)


#: Name of a response's schema → its example.
PROJECT_EXAMPLES: Mapping[str, Callable[[], BaseModel]] = {
    "IssuedKeyView": _build_issued_key,
    "KeyList": lambda: KeyList(keys=[build_key_view(_ID, _KEY, _AT)]),
    "ProjectList": lambda: ProjectList(projects=[_build_project()]),
    "ProjectView": _build_project,
}
