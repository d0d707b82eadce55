"""Save, find, list and delete the templates of jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, ForbiddenError, NotFoundError
from taskreel.domain.job_template import (
    MOST_VERSIONS,
    JobTemplate,
    TemplateVersion,
    check_template,
    name_template_id,
)
from taskreel.ports import Query, Transaction
from taskreel.store_collections import JOB_TEMPLATES

#: Templates of one user, and shared ones: a list reads them all, with their versions.
MOST_TEMPLATES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A request to be saved under a name; shared ones are for every user."""

    name: str
    shared: bool
    job_type: str
    data: dict[str, Any]
    defaults: dict[str, Any]


def draft_version(services: Services, caller: Caller, new: NewVersion) -> TemplateVersion:
    """The version as it would be saved, not yet numbered. Raises InvalidError."""
    version = TemplateVersion(
        version=0,
        job_type=new.job_type,
        data=new.data,
        defaults=new.defaults,
        saved_at=services.clock.now(),
        saved_by=caller.user_id,
    )
    check_template(version)
    return version


async def save_template(
    services: Services, caller: Caller, new: NewVersion, *, must_be_new: bool
) -> JobTemplate:
    """Create the template, or its next version unless it `must_be_new`.

    Raises ForbiddenError (a shared one, and no admin), ConflictError (it exists, or there are too
    many) and NotFoundError (no such template to change).
    """
    owner = _find_owner(caller, shared=new.shared)
    draft = draft_version(services, caller, new)
    id_ = name_template_id(owner, new.name)
    if must_be_new and await _count_of(services, owner) >= MOST_TEMPLATES:
        raise ConflictError(f"There are {MOST_TEMPLATES} templates, the most. Delete some first.")

    async def write(tx: Transaction) -> JobTemplate:
        found = await tx.get(JOB_TEMPLATES, id_)
        if must_be_new and found is not None:
            raise ConflictError(
                f"There is a template {new.name!r}: PUT /api/templates/{new.name} saves its next "
                "version."
            )
        if found is None and not must_be_new:
            raise NotFoundError(f"There is no template {new.name!r} of yours to change.")
        number = 1 if found is None else found.newest.version + 1
        version = draft.model_copy(update={"version": number})
        template = found or JobTemplate(
            template_id=id_,
            name=new.name,
            user_id=owner,
            shared=new.shared,
            versions=(),
            created_at=draft.saved_at,
            updated_at=draft.saved_at,
        )
        versions = (*template.versions, version)[-MOST_VERSIONS:]
        template = template.model_copy(update={"versions": versions, "updated_at": draft.saved_at})
        tx.set(JOB_TEMPLATES, id_, template)
        action = f"shared template saved: version {number}"
        _record_shared(services, tx, caller, template, action)
        return template

    return await services.store.transaction(write)


async def find_template(
    services: Services, caller: Caller, name: str, *, shared: bool = False
) -> JobTemplate:
    """The caller's template of that name, else the shared one. Raises NotFoundError."""
    owners = (None,) if shared else (caller.user_id, None)
    for owner in owners:
        found = await services.store.get(JOB_TEMPLATES, name_template_id(owner, name))
        if found is not None:
            return found
    raise NotFoundError(f"There is no template {name!r} of yours, and no shared one.")


async def list_templates(services: Services, caller: Caller) -> list[JobTemplate]:
    """The caller's templates and the shared ones, by name."""
    own, shared = await _list_of(services, caller.user_id), await _list_of(services, None)
    return sorted([*own, *shared], key=lambda one: (one.name, one.shared))


async def delete_template(
    services: Services, caller: Caller, name: str, *, shared: bool
) -> JobTemplate:
    """Delete a template with its versions; jobs that were made of it stay. Raises NotFoundError."""
    owner = _find_owner(caller, shared=shared)
    id_ = name_template_id(owner, name)

    async def write(tx: Transaction) -> JobTemplate:
        found = await tx.get(JOB_TEMPLATES, id_)
        if found is None:
            raise NotFoundError(f"There is no template {name!r} of yours to delete.")
        tx.delete(JOB_TEMPLATES, id_)
        _record_shared(services, tx, caller, found, "shared template deleted")
        return found

    return await services.store.transaction(write)


def _record_shared(
    services: Services, tx: Transaction, caller: Caller, template: JobTemplate, action: str
) -> None:
    """Record a change of a shared template, which belongs to nobody; a user's own is theirs."""
    if template.shared:
        record_admin_act(services, tx, caller, action, subject=template.name, owner=None)


def _find_owner(caller: Caller, *, shared: bool) -> str | None:
    if not shared:
        return caller.user_id
    if not caller.admin:
        raise ForbiddenError("Only an admin may save or delete a shared template.")
    return None


async def _list_of(services: Services, owner: str | None) -> list[JobTemplate]:
    return [row.value for row in await services.store.query(_build_query(owner))]


async def _count_of(services: Services, owner: str | None) -> int:
    return int((await services.store.aggregate(_build_query(owner)))["count"])


def _build_query(owner: str | None) -> Query[JobTemplate]:
    field, value = ("shared", True) if owner is None else ("userId", owner)
    return Query(collection=JOB_TEMPLATES, where=((field, "==", value),), limit=MOST_TEMPLATES)
