"""The jobs whose changes a reader may ask for, and who may ask for which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from taskreel.app.caller import Caller
from taskreel.app.jobs.queries import find_job
from taskreel.app.messages.job_task import type_of_queue
from taskreel.app.projects.rights import add_stored_role
from taskreel.app.services import Services
from taskreel.domain.errors import ForbiddenError, InvalidError, UnauthenticatedError
from taskreel.domain.job import Job
from taskreel.jobtypes import JOB_TYPES, explain_unknown_type

_MOST_NAME_CHARACTERS = 256


class ScopeKind(StrEnum):
    """The kinds of scopes, as a client writes them."""

    OWN = "own"
    JOB = "jobId"
    PROJECT = "projectId"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Scope:
    """Jobs that a reader asks for: all of the caller's, one, a project's or a queue's."""

    kind: ScopeKind
    name: str = ""


OWN_JOBS = Scope(ScopeKind.OWN)


@dataclass(frozen=True, slots=True)
class Source:
    """The stored documents that are watched: those with this value of a field of theirs."""

    field: str
    value: str

    def covers(self, job: Job) -> bool:
        """True if the job's document is one of these."""
        values: dict[str, str | None] = {
            "userId": job.user_id,
            "projectId": job.project_id,
            "jobType": job.job_type,
        }
        return values[self.field] == self.value


@dataclass(frozen=True, slots=True)
class OpenScope:
    """A scope that the caller may read: its source, and which of the source's jobs belong to it."""

    scope: Scope
    source: Source
    includes: Callable[[Job], bool]
    #: The project whose members may read it, where it has others' jobs.
    project_id: str | None = None


async def open_scope(
    services: Services, caller: Caller, scope: Scope, job: Job | None = None
) -> OpenScope:
    """Check that the caller may read the scope; `job` is its job, if that was found before.

    Everything of an ordinary user comes from one source, their own jobs, so that they cost one
    watch however many scopes they ask for.

    Raises:
        NotFoundError: There is no such job, or the caller may not see it.
        ForbiddenError: Only admins may read a queue.
        InvalidError: The queue does not exist, or a name is too long.
        UnauthenticatedError: The caller's API key was revoked: a token for streams outlives it.
    """
    if caller.key_project is not None:
        await _check_key(services, caller)
    if len(scope.name) > _MOST_NAME_CHARACTERS:
        raise InvalidError.at(scope.kind, f"must have at most {_MOST_NAME_CHARACTERS} characters")
    own = Source("userId", caller.user_id)
    match scope.kind:
        case ScopeKind.OWN:
            return OpenScope(scope, own, _includes_all)
        case ScopeKind.JOB:
            job = job or await find_job(services, caller, scope.name)
            source = Source("userId", job.user_id)
            project_id = job.project_id
            return OpenScope(scope, source, lambda other: other.job_id == scope.name, project_id)
        case ScopeKind.PROJECT:
            caller = await add_stored_role(services, caller, scope.name)
            sees_all = caller.admin or caller.is_member(scope.name)
            source = Source("projectId", scope.name) if sees_all else own
            return OpenScope(scope, source, lambda job: job.project_id == scope.name, scope.name)
        case ScopeKind.QUEUE:
            if not caller.admin:
                raise ForbiddenError(
                    "Only an admin may follow a queue: the token needs the claim `role: admin`."
                )
            return _open_queue(scope)


async def may_still_read(services: Services, caller: Caller, opened: OpenScope) -> bool:
    """Tell if the caller may go on with an open scope: a role may have been taken from them.

    It costs a read where their role in the project is a stored one or they call by an API key, and
    nothing else. Raises StoreError.
    """
    if caller.key_project is not None:
        try:
            await _check_key(services, caller)
        except UnauthenticatedError:
            return False
    if caller.admin or opened.source == Source("userId", caller.user_id):
        return True
    caller = await add_stored_role(services, caller, opened.project_id)
    return caller.is_member(opened.project_id)


async def _check_key(services: Services, caller: Caller) -> None:
    from taskreel.app.projects.key_callers import check_key  # of few callers: cold start

    await check_key(services, caller)


def _open_queue(scope: Scope) -> OpenScope:
    """A job type's queue, by its name or by the type's."""
    job_type = type_of_queue(scope.name) or scope.name
    if job_type not in JOB_TYPES:
        raise InvalidError.at("queue", explain_unknown_type(scope.name))
    return OpenScope(scope, Source("jobType", job_type), _includes_all)


def _includes_all(_job: Job) -> bool:
    return True
