"""The rights of each scope that a socket.io connection may follow, for every kind of caller."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from functions.job_requests import image_request, submit_job
from simulation.world import World
from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.live.job_scope import Scope, ScopeKind, Source, may_still_read, open_scope
from taskreel.domain.errors import ForbiddenError, NotFoundError

_MEMBER = {"film": ProjectRole.VIEWER}
CALLERS: Mapping[str, Caller] = {
    "owner": Caller(user_id="ada"),
    "other": Caller(user_id="bob"),
    "member": Caller(user_id="eve", roles=_MEMBER),
    "admin": Caller(user_id="root", admin=True),
}
#: Scope → the callers who see others' jobs in it. The rest get their own alone, or a refusal.
RIGHTS: Mapping[ScopeKind, set[str]] = {
    ScopeKind.OWN: set(),
    ScopeKind.JOB: {"member", "admin"},
    ScopeKind.PROJECT: {"member", "admin"},
    ScopeKind.QUEUE: {"admin"},
}


def test_every_scope_has_a_row() -> None:
    assert RIGHTS.keys() == set(ScopeKind)


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("kind", ScopeKind)
async def test_a_scope_shows_others_jobs_to_those_who_have_the_right(
    world: World, kind: ScopeKind, name: str
) -> None:
    body = {**image_request("pending", times=1, seconds=60), "projectId": "film"}
    job = await world.job((await submit_job(world.as_user("ada"), body))["jobId"])
    named = {
        ScopeKind.OWN: "",
        ScopeKind.JOB: job.job_id,
        ScopeKind.PROJECT: "film",
        ScopeKind.QUEUE: "image-generation-queue",
    }[kind]
    try:
        opened = await open_scope(world.services, CALLERS[name], Scope(kind, named))
    except (ForbiddenError, NotFoundError):
        shown = False
    else:
        own = Source("userId", CALLERS[name].user_id)
        shown = opened.source.covers(job) and opened.source != own
        assert shown or opened.source == own
        assert await may_still_read(world.services, CALLERS[name], opened)
        # With another token, or without the role, others' jobs are no longer read.
        plain = Caller(user_id=CALLERS[name].user_id)
        assert await may_still_read(world.services, plain, opened) is not shown
    assert shown is (name in RIGHTS[kind])
