"""A deployment's capacity is arithmetic on its declarations, so hand-made sums check it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from taskreel_local.cli.capacity_command import capacity, load_deployment
from taskreel_local.cli.capacity_model import (
    Deployment,
    Limit,
    Quotas,
    average_load,
    find_limits,
    find_needs,
    warm_up_minutes,
)
from taskreel_local.cli.cost_operations import KINDS, Numbers

MIX = {"image": 70.0, "video": 20.0, "upscale": 10.0}
QUOTAS = Quotas()
DEPLOYMENT = load_deployment()


def list_limits(
    mix: dict[str, float], deployment: Deployment = DEPLOYMENT, user: float = 0.1
) -> list[Limit]:
    return find_limits(average_load(mix, KINDS, Numbers()), deployment, QUOTAS, user)


def find_limit(start: str, found: list[Limit]) -> float:
    return next(one.jobs_per_second for one in found if one.name.startswith(start))


def test_the_first_limit_of_videos_is_the_window_in_which_they_wait_for_their_provider() -> None:
    (first, *_) = list_limits({"video": 100})
    # 120 s at the provider and 1.5 s of ours, 120 of them at a time.
    assert first.name == "window of video-generation: 120 jobs queued or at a provider"
    assert first.jobs_per_second == pytest.approx(120 / 121.5)


def test_a_type_that_is_a_part_of_the_jobs_carries_more_of_the_whole() -> None:
    alone = find_limit("image-generation-queue: 10 tasks a second", list_limits({"image": 1}))
    half = find_limit(
        "image-generation-queue: 10 tasks a second", list_limits({"image": 1, "video": 1})
    )
    assert alone == pytest.approx(10)
    assert half == pytest.approx(20)


def test_polls_share_one_queue() -> None:
    found = list_limits({"image": 1})
    assert find_limit("provider-poll-queue: 500 tasks a second", found) == pytest.approx(500 / 5)
    assert find_limit("provider-poll-queue: 250 tasks at a time", found) == pytest.approx(250 / 1.5)


def test_an_index_that_grows_at_its_end_takes_500_writes_a_second() -> None:
    # A plain job writes its document three times; the wake times have eight ranges.
    found = list_limits({"plain": 1})
    assert find_limit("index of updates of image-generation", found) == pytest.approx(500 / 3)
    assert "index of updates of image-generation: 1 shard" in {limit.name for limit in found}
    assert find_limit("index of wake times", found) == pytest.approx(8 * 500 / 3)
    more = list_limits({"plain": 1}, replace(DEPLOYMENT, wake_shards=30, type_shards=30))
    for name in ("index of wake times", "index of updates of image-generation"):
        assert find_limit(f"{name}: 30 shards", more) == pytest.approx(30 * 500 / 3)


def test_one_busy_user_is_a_limit_of_their_own() -> None:
    assert find_limit("submissions of a user", list_limits(MIX, user=0.5)) == pytest.approx(200)
    assert find_limit("submissions of a user", list_limits(MIX, user=0)) == math.inf


def test_more_instances_raise_the_limits_of_their_service_alone() -> None:
    services = dict(DEPLOYMENT.services)
    services["task-processor"] = replace(services["task-processor"], max_instances=50)
    more = list_limits(MIX, replace(DEPLOYMENT, services=services))
    before = list_limits(MIX)
    name = "task-processor: CPUs of "
    assert find_limit(name, more) == pytest.approx(10 * find_limit(name, before))
    assert find_limit("jobs-api: CPUs", more) == find_limit("jobs-api: CPUs", before)


def test_what_a_load_needs_is_what_its_limits_allow() -> None:
    """At the first limit exactly, every need is met; a little above, one is not."""
    load = average_load(MIX, KINDS, Numbers())
    first = find_limits(load, DEPLOYMENT, QUOTAS, 0.1)[0].jobs_per_second
    at = find_needs(first * 0.999, load, DEPLOYMENT, QUOTAS)
    assert all(need.is_met for need in at), at
    above = find_needs(first * 1.001, load, DEPLOYMENT, QUOTAS)
    assert [need.name for need in above if not need.is_met] == [
        "window of video-generation: open jobs"
    ]


def test_shards_are_needed_above_500_tasks_a_second_of_a_queue() -> None:
    load = average_load({"image": 1}, KINDS, Numbers())
    needs = {need.name: need for need in find_needs(101, load, DEPLOYMENT, QUOTAS)}
    # Five polls an image.
    assert needs["provider-poll-queue: shards"].needed == 2
    assert not needs["provider-poll-queue: shards"].is_met
    assert needs["image-generation-queue: shards"].is_met
    sharded = replace(DEPLOYMENT, shards={"provider-poll-queue": 2})
    needs = {need.name: need for need in find_needs(101, load, sharded, QUOTAS)}
    assert needs["provider-poll-queue: shards"].is_met


@given(st.floats(0.1, 1e4), st.floats(1, 10))
def test_more_jobs_never_need_less(rate: float, times: float) -> None:
    load = average_load(MIX, KINDS, Numbers())
    less, more = (find_needs(one, load, DEPLOYMENT, QUOTAS) for one in (rate, rate * times))
    assert all(a.needed <= b.needed for a, b in zip(less, more, strict=True))
    assert warm_up_minutes(rate, load, QUOTAS) <= warm_up_minutes(rate * times, load, QUOTAS)


def test_a_cold_database_grows_by_half_every_five_minutes() -> None:
    load = average_load({"plain": 1}, KINDS, Numbers())
    assert warm_up_minutes(500 / 6, load, QUOTAS) == 0
    assert warm_up_minutes(750 / 6, load, QUOTAS) == 5
    assert warm_up_minutes(751 / 6, load, QUOTAS) == 10


def test_the_command_says_that_the_deployment_carries_a_load_or_names_the_first_limit() -> None:
    carried = CliRunner().invoke(capacity, ["--jobs-per-day", "100000", "--peak", "3"])
    assert carried.exit_code == 0, carried.output
    assert "MORE" not in carried.output
    assert "3,000,000 jobs a month cost at most $" in carried.output
    much = CliRunner().invoke(capacity, ["--jobs-per-second", "1000", "--sources"])
    assert much.exit_code == 1
    assert "First limit: window of video-generation" in much.output
    assert "minutes to grow to it from nothing" in much.output
    assert "cloud.google.com/tasks/docs/quotas" in much.output


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--quota", "speed=1"], "must be NAME=NUMBER"),
        (["--quota", "cpus=0"], "must be NAME=NUMBER"),
        (["--jobs-per-second", "1", "--jobs-per-day", "1"], "not both"),
        (["--jobs-per-second", "0"], "0"),
    ],
)
def test_a_load_or_a_quota_that_cannot_be(arguments: list[str], wrong: str) -> None:
    result = CliRunner().invoke(capacity, arguments)
    assert result.exit_code == 2
    assert wrong in result.output


def test_a_quota_can_be_set() -> None:
    few, many = (
        CliRunner().invoke(capacity, ["--jobs-per-second", "40", "--quota", f"cpus={cpus}"]).output
        for cpus in (1, 1000)
    )
    row = next(one for one in few.splitlines() if "CPUs in the region" in one)
    assert row.endswith("MORE")
    row = next(one for one in many.splitlines() if "CPUs in the region" in one)
    assert row.endswith("of 1,000")
