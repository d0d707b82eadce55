"""Templates of jobs: a request with references `{{parameters.…}}` to values given at its use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from taskreel.domain.errors import InvalidError, NotFoundError, PermanentError
from taskreel.domain.template import fill_template, find_references, find_roots
from taskreel.domain.value import Location, StoredValue

#: Older versions are forgotten.
MOST_VERSIONS = 5
#: The characters of a version as JSON: all versions fit into one document.
MOST_CHARACTERS = 30_000
_PARAMETERS = "parameters"


class TemplateVersion(StoredValue):
    """The request of a template as it was saved once; it never changes."""

    version: int
    job_type: str
    data: dict[str, Any]
    #: Values of the parameters that a use need not give.
    defaults: dict[str, Any] = Field(default_factory=dict)
    saved_at: datetime
    saved_by: str

    @property
    def parameters(self) -> list[str]:
        """The names of its parameters, sorted."""
        roots = {root for _, root in _list_roots(self.data)}
        return sorted(root[1] for root in roots if len(root) > 1)

    @property
    def open_places(self) -> list[Location]:
        """The places whose value depends on a parameter without a default."""
        return [
            at
            for at, root in _list_roots(self.data)
            if len(root) < 2 or root[1] not in self.defaults
        ]

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The request with its references replaced by the values, or their defaults.

        Raises InvalidError that names a missing or an unknown parameter.
        """
        known = self.parameters
        for name in values:
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise InvalidError.at(
                    f"{_PARAMETERS}.{name}", f"is no parameter of the template (it has: {allowed})"
                )
        merged = {**self.defaults, **values}
        for name in known:
            if merged.get(name) is None:
                raise InvalidError.at(
                    f"{_PARAMETERS}.{name}", "is missing: the template has no default for it"
                )
        try:
            filled: dict[str, Any] = fill_template(
                self.data, {_PARAMETERS: merged}, only={_PARAMETERS}
            )
        except PermanentError as error:
            raise InvalidError.at(_PARAMETERS, error.message) from None
        return filled


class JobTemplate(StoredValue):
    """A named template, of one user or shared with all, with its newest versions."""

    template_id: str
    name: str
    #: None for a shared one.
    user_id: str | None = None
    shared: bool = False
    #: In order; the last is used unless another is named.
    versions: tuple[TemplateVersion, ...]
    created_at: datetime
    updated_at: datetime

    @property
    def newest(self) -> TemplateVersion:
        """The version that a use without a number means."""
        return self.versions[-1]

    def find_version(self, number: int | None) -> TemplateVersion:
        """The version of that number; the newest for None. Raises NotFoundError."""
        if number is None:
            return self.newest
        for one in self.versions:
            if one.version == number:
                return one
        raise NotFoundError(
            f"The template {self.name!r} has no version {number}; it has "
            f"{self.versions[0].version} to {self.newest.version}."
        )


def name_template_id(user_id: str | None, name: str) -> str:
    """The fixed id of a user's template of that name, or of the shared one."""
    owner = "shared" if user_id is None else f"user {user_id}"
    parts = [hashlib.sha256(part.encode()).digest() for part in (owner, name)]
    return f"tpl_{hashlib.sha256(b''.join(parts)).hexdigest()[:32]}"


def check_template(version: TemplateVersion) -> None:
    """Raise InvalidError for references that name no parameter, and for unused defaults."""
    for at, root in _list_roots(version.data):
        if len(root) < 2:
            path = ".".join(str(part) for part in ("data", *at))
            raise InvalidError.at(path, "name one parameter: {{parameters.subject}}")
    for name in version.defaults:
        if name not in version.parameters:
            raise InvalidError.at(f"defaults.{name}", "is no parameter that `data` refers to")


def _list_roots(data: Mapping[str, Any]) -> list[tuple[Location, tuple[str, ...]]]:
    return [
        (at, root)
        for at, text in find_references(data)
        for root in find_roots(text)
        if root[:1] == (_PARAMETERS,)
    ]
