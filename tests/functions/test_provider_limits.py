"""Limits of a provider's account, of one of its models, and of a project."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import force_setattr

from simulation.world import LIMITS, World, running
from taskreel.app.flow.slots import PROJECT_LIMIT, PROVIDER_LIMIT
from taskreel.config import ConfigurationError
from taskreel.domain.job_fields import Priority
from taskreel.domain.job_status import Status
from taskreel.rules_setting import parse_limits

IMAGE = "/api/jobs/image-generation"
SLOW = {
    "prompt": "a kite",
    "provider": "studio",
    "options": {"studio": {"mode": "sleep", "seconds": 10}},
}


def limits_with(**changes: Any) -> str:
    declared = parse_limits(LIMITS)
    assert declared is not None
    return declared.model_copy(update=changes).model_dump_json(by_alias=True)


@pytest.fixture
async def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    limits = limits_with(
        providers={"studio": 2, "studio/tiny": 1}, projects={"film": 1}, windows={"batch": 1}
    )
    async with running(tmp_path, monkeypatch, limits=limits) as made:
        yield made


async def submit(client: httpx.AsyncClient, count: int, **fields: Any) -> list[str]:
    answers = [await client.post(IMAGE, json=SLOW | fields) for _ in range(count)]
    assert {answer.status_code for answer in answers} == {202}, answers[0].text
    return [answer.json()["jobId"] for answer in answers]


async def count_statuses(world: World, jobs: list[str]) -> Counter[Status]:
    return Counter([(await world.job(job)).status for job in jobs])


async def test_more_than_a_providers_account_allows_waits_with_one_sentence(
    limited: World,
) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    jobs = await submit(ada, 5)
    assert (await count_statuses(limited, jobs))[Status.THROTTLED] == 3
    shown = (await ada.get(f"/api/jobs/{jobs[4]}")).json()
    assert (shown["status"], shown["error"]["code"]) == ("THROTTLED", PROVIDER_LIMIT)
    assert shown["error"]["message"].startswith(
        "All places that the account at studio allows are taken. "
    )
    position = (await ada.get(f"/api/queue/{jobs[4]}/position")).json()
    assert (position["ahead"], position["reason"]) == (2, shown["error"]["message"])


async def test_a_waiting_job_starts_the_moment_a_place_is_free(limited: World) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    jobs = await submit(ada, 5)
    for _ in range(12):
        await limited.advance(3)
        statuses = await count_statuses(limited, jobs)
        running_now = statuses[Status.PROCESSING] + statuses[Status.QUEUED]
        assert running_now <= 2
        assert running_now == 2 or statuses[Status.THROTTLED] == 0
    assert (await count_statuses(limited, jobs)) == {Status.COMPLETED: 5}


async def test_other_providers_and_other_projects_do_not_wait(limited: World) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    await submit(ada, 2)
    await submit(ada, 1, projectId="film")
    analysis = await ada.post(
        "/api/jobs/script-generation",
        json={"prompt": "two bakers", "options": {"studio": {"mode": "noop"}}},
    )
    assert analysis.status_code == 202
    assert analysis.json()["status"] == "THROTTLED"  # its only provider is the same
    assert limited.services.rules.limits is not None
    assert limited.services.rules.limits.find_provider_slot("bfl", "flux-1.1-pro") is None


async def test_a_model_with_a_limit_of_its_own_does_not_count_at_its_provider(
    limited: World,
) -> None:
    limits = limited.services.rules.limits
    assert limits is not None
    assert limits.find_provider_slot("studio", "tiny") == "studio/tiny"
    assert limits.find_provider_slot("studio", "large") == "studio"
    assert limits.find_provider_slot("studio", None) == "studio"


async def test_a_project_with_a_limit_of_one_runs_one_job_of_all_its_members(
    limited: World,
) -> None:
    first = await submit(limited.as_user("ada", tier="pro"), 1, projectId="film")
    second = await submit(limited.as_user("bob", tier="pro"), 1, projectId="film")
    waiting = await limited.job(second[0])
    assert waiting.error is not None
    assert waiting.error.code == PROJECT_LIMIT
    assert "Project film has as many jobs under way" in waiting.error.message
    await limited.advance(11)
    assert (await limited.job(first[0])).status is Status.COMPLETED
    await limited.advance(12)
    assert (await limited.job(second[0])).status is Status.COMPLETED


async def test_a_job_that_needs_two_rooms_waits_for_the_one_that_is_full(limited: World) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    film = await submit(ada, 2, projectId="film")  # the second waits for its project
    others = await submit(ada, 2)  # one runs, and one waits for the provider
    assert [(await limited.job(job)).status for job in (film[1], others[1])] == [
        Status.THROTTLED,
        Status.THROTTLED,
    ]
    for _ in range(12):
        await limited.advance(5)
    assert (await count_statuses(limited, [*film, *others])) == {Status.COMPLETED: 4}


async def test_a_place_that_leaked_is_found_by_the_sweep(limited: World) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    jobs = await submit(ada, 3)
    limited.cut_off = True
    # The process dies after the commit of the settlement, before it admits.
    await limited.put((await limited.job(jobs[0])).enter_status(Status.CANCELLED, limited.now()))
    limited.services.counts._rooms["providerSlot", "studio"].open += 1
    await limited.advance(600)
    await limited.sweep()
    assert (await limited.job(jobs[2])).status is Status.QUEUED


async def test_a_limit_that_was_removed_holds_no_job(limited: World) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    jobs = await submit(ada, 3)
    limits = limited.services.rules.limits
    assert limits is not None
    force_setattr(limited.services.rules, "limits", limits.model_copy(update={"providers": {}}))
    limited.cut_off = True
    await limited.advance(600)
    await limited.sweep()
    assert (await limited.job(jobs[2])).status is Status.QUEUED


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"providers": {"studio": 0}}, "providers.studio"),
        ({"projects": {"film": -1}}, "projects.film"),
        ({"windows": {"image-generation": -2}}, "windows.image-generation"),
        ({"priority_seconds": {Priority.HIGH: -1}}, "prioritySeconds.high"),
    ],
)
def test_a_limit_below_one_is_refused_by_its_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        parse_limits(limits_with(**changes))


@pytest.mark.parametrize(("fields", "places"), [({}, 2), ({"projectId": "film"}, 1)])
async def test_scheduled_jobs_of_one_moment_stay_within_the_limits_of_provider_and_project(
    limited: World, fields: dict[str, str], places: int
) -> None:
    """Found by the simulator's rule of windows: they took what room they needed, full or not."""
    ada = limited.as_user("ada", tier="enterprise")
    at = (limited.now() + timedelta(minutes=1)).isoformat()
    jobs = await submit(ada, 4, scheduleAt=at, **fields)
    await limited.advance(58)
    assert await count_statuses(limited, jobs) == {Status.SCHEDULED: 4}
    most = 0
    for _ in range(30):
        await limited.advance(2)
        statuses = await count_statuses(limited, jobs)
        most = max(most, statuses[Status.PROCESSING] + statuses[Status.QUEUED])
    assert most == places
    assert await count_statuses(limited, jobs) == {Status.COMPLETED: 4}
