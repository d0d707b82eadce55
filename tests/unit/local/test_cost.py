"""The bill is arithmetic on a declared table, so it is checked by hand-made sums."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from taskreel.adapters.providers.bfl import adapter as bfl
from taskreel.adapters.providers.google import adapter as google
from taskreel.adapters.providers.provider_webhooks import WEBHOOK_POLL_AFTER
from taskreel.adapters.providers.replicate import adapter as replicate
from taskreel.app.jobs.output_files import _file_suffix
from taskreel_local.cli.cost_command import cost
from taskreel_local.cli.cost_model import Bill, Line, monthly_bill
from taskreel_local.cli.cost_operations import (
    KINDS,
    POLL,
    WEBHOOK,
    Numbers,
    UnknownNumberError,
    count_job,
    count_polls,
    set_numbers,
)
from taskreel_local.cli.declared_services import load_type_retention
from taskreel_local.cli.load_options import parse_mix
from taskreel_local.cli.price_list import list_prices
from taskreel_local.stack.repository_paths import ROOT

MIX = {"image": 70.0, "video": 20.0, "upscale": 10.0}
ASKED_ONCE = Numbers(client_poll_seconds=0)


def find_line(bill: Bill, item: str) -> Line:
    return next(each for each in (*bill.control, *bill.work) if each.item == item)


@pytest.mark.parametrize("location", ["europe-central2", "us-central1"])
def test_the_control_plane_of_a_million_plain_jobs_costs_at_most_25_dollars(location: str) -> None:
    bill = monthly_bill(1_000_000, {"plain": 1}, location=location, numbers=ASKED_ONCE)
    assert bill.control_dollars <= 25


def test_a_mixed_million_costs_what_the_documents_say() -> None:
    as_deployed = monthly_bill(1_000_000, MIX)
    assert round(as_deployed.total_dollars - as_deployed.egress_dollars) == 420
    # The goal of a realistic million, as deployed: its requests do share instances.
    assert round(as_deployed.shared_dollars - as_deployed.egress_dollars) == 356
    webhooks = monthly_bill(1_000_000, MIX, numbers=Numbers(webhooks=1, client_poll_seconds=0))
    # And at the most that it can cost, with both levers.
    assert round(webhooks.total_dollars - webhooks.egress_dollars) == 359


def test_idle_costs_nothing() -> None:
    bill = monthly_bill(0, MIX)
    assert bill.total_dollars == 0
    # Five reads a minute of the sweep, and four of its alerts.
    assert find_line(bill, "Firestore reads").used == 30 * 24 * 60 * 9


def test_alerts_read_more_the_more_types_have_jobs() -> None:
    one, three = (monthly_bill(1000, mix, numbers=ASKED_ONCE) for mix in ({"image": 1.0}, MIX))
    minutes = 30 * 24 * 60
    reads = [find_line(bill, "Firestore reads").used for bill in (one, three)]
    # Beside the jobs' own: a page of accounts, and rollups, the oldest job and a breaker a type.
    assert 25 * minutes <= reads[0] < 26 * minutes
    assert 37 * minutes <= reads[1] < 38 * minutes


def test_writes_are_counted_above_the_free_tier() -> None:
    # 6 a job, and the time of each other minute's sweep; 20,000 a day free, $0.09 for 100,000.
    bill = monthly_bill(1_000_000, {"plain": 1}, location="us-central1")
    expected = pytest.approx((6_000_000 + 21_600 - 600_000) * 0.9e-6)
    assert find_line(bill, "Firestore writes").dollars == expected


def test_a_region_of_the_second_tier_is_dearer_and_its_free_seconds_fewer() -> None:
    first, second = (
        list_prices("us-central1")["Cloud Run CPU"],
        list_prices("europe-central2")["Cloud Run CPU"],
    )
    assert second.dollars == pytest.approx(0.0000336)
    assert second.free * second.dollars == pytest.approx(first.free * first.dollars)


def test_a_task_that_runs_once_is_two_operations() -> None:
    bill = monthly_bill(1_000_000, {"plain": 1})
    assert find_line(bill, "Cloud Tasks").dollars == pytest.approx(0.40)


@pytest.mark.parametrize(
    ("kind", "seconds", "every"),
    [
        ("image", 10, bfl.POLL_AFTER),
        ("upscale", 9, replicate.POLL_AFTER),
        ("video", 120, google.POLL_AFTER),
    ],
)
def test_a_kind_is_polled_as_often_as_its_adapter_asks(
    kind: str, seconds: int, every: timedelta
) -> None:
    assert KINDS[kind].poll_every == every.total_seconds()
    assert count_polls(KINDS[kind], Numbers()) == timedelta(seconds=seconds) / every


def test_a_webhook_takes_the_place_of_all_polls_but_one() -> None:
    polled = count_job(KINDS["image"], Numbers())
    told = count_job(KINDS["image"], Numbers(webhooks=1))
    assert polled.writes - told.writes == 4 * POLL.writes - WEBHOOK.writes
    assert told.processor_seconds < polled.processor_seconds
    assert Numbers().safety_poll_seconds == WEBHOOK_POLL_AFTER.total_seconds()
    # The provider of videos has no webhooks.
    assert count_job(KINDS["video"], Numbers(webhooks=1)) == count_job(KINDS["video"], Numbers())


def test_clients_that_ask_often_are_counted() -> None:
    often = count_job(KINDS["video"], Numbers(client_poll_seconds=5))
    once = count_job(KINDS["video"], ASKED_ONCE)
    # 120 s at the provider and 1.5 s of ours: 24 reads while it works, and the last.
    assert often.reads - once.reads == 24
    assert often.egress_mib - once.egress_mib == pytest.approx(24 * 3 / 1024)


def test_files_are_billed_until_they_can_no_longer_be_restored() -> None:
    warm = monthly_bill(1024, {"audio": 1}, numbers=Numbers(cold_after_days=90))
    cold = monthly_bill(1024, {"audio": 1})
    assert find_line(warm, "Storage capacity").used == pytest.approx(97 / 30)
    assert find_line(warm, "Nearline moves").used == 0
    assert find_line(cold, "Storage capacity").used == pytest.approx(1)
    assert find_line(cold, "Nearline capacity").used == pytest.approx(67 / 30)
    assert find_line(cold, "Nearline reads").used == pytest.approx(0.1)
    assert find_line(warm, "Nearline reads").used == 0


def test_videos_become_nearline_earlier_than_other_files() -> None:
    bill = monthly_bill(1024, {"video": 1})
    assert find_line(bill, "Storage capacity").used == pytest.approx(12 * 7 / 30)
    assert find_line(bill, "Nearline capacity").used == pytest.approx(12 * 90 / 30)


def test_a_kind_that_is_stored_for_fewer_days_costs_less() -> None:
    _, kinds = set_numbers(Numbers(), KINDS, ["video.keep_days=14", "audio.keep_days=7"])
    bill = monthly_bill(1024, {"video": 1}, kinds=kinds)
    # 14 days and 7 of recovery, of which 7 in Standard storage; Nearline bills 30 at the least.
    assert find_line(bill, "Storage capacity").used == pytest.approx(12 * 7 / 30)
    assert find_line(bill, "Nearline capacity").used == pytest.approx(12)
    assert find_line(bill, "Firestore storage").used == pytest.approx(6 * 1024 * 14 / 30 / 1024**2)
    short = monthly_bill(1024, {"audio": 1}, kinds=kinds)
    assert find_line(short, "Storage capacity").used == pytest.approx(14 / 30)
    assert find_line(short, "Nearline moves").used == 0


def test_the_declared_days_of_a_type_are_those_of_its_kind(tmp_path: Path) -> None:
    services = tmp_path / "services.yaml"
    services.write_text("defaults: {env: {TYPE_RETENTION_DAYS: 'video-edit:7,pipeline:30'}}")
    assert load_type_retention(services) == {"video-edit": 7, "pipeline": 30}
    assert load_type_retention() == {}


def test_the_numbers_are_those_that_are_deployed() -> None:
    infra, numbers = ROOT / "infra", Numbers()
    rules = json.loads((infra / "bucket.lifecycle.json").read_text())["rule"]
    of_artifacts = [
        rule for rule in rules if rule["condition"].get("matchesPrefix") == ["artifacts/"]
    ]
    ages = {
        rule["action"]["type"]: rule["condition"].get("daysSinceCustomTime")
        or rule["condition"]["age"]
        for rule in of_artifacts
        # Those of releases before custom times, and that of videos, have other conditions.
        if not {"createdBefore", "matchesSuffix"} & rule["condition"].keys()
    }
    assert ages == {"Delete": numbers.keep_days, "SetStorageClass": numbers.cold_after_days}
    (of_videos,) = [rule for rule in of_artifacts if "matchesSuffix" in rule["condition"]]
    assert of_videos["action"]["storageClass"] == "NEARLINE"
    assert of_videos["condition"]["age"] == numbers.video_cold_after_days
    # The names that the outputs of video jobs have.
    suffixes = {_file_suffix(f"video/{kind}") for kind in ("mp4", "quicktime", "webm")}
    assert suffixes == set(of_videos["condition"]["matchesSuffix"])
    bucket = yaml.safe_load((infra / "bucket.yaml").read_text())
    assert bucket["softDeleteDuration"] == f"{int(numbers.soft_delete_days * 86400)}s"
    backups = yaml.safe_load((infra / "backups.yaml").read_text())
    assert backups["dailyRetention"] == f"{numbers.backup_copies:g}d"


def test_without_free_tiers_everything_is_billed() -> None:
    bill = monthly_bill(1000, {"plain": 1}, free_tiers=False)
    assert all(one.billed == one.used for one in (*bill.control, *bill.work))


def test_a_free_tier_is_given_once() -> None:
    bill = monthly_bill(1_000_000, MIX)
    lines = [one for one in (*bill.control, *bill.work) if one.item == "Cloud Run CPU"]
    free = sum(one.used for one in lines) - sum(one.billed for one in lines)
    assert free == pytest.approx(list_prices("europe-central2")["Cloud Run CPU"].free)


def test_requests_that_share_an_instance_cost_less_the_more_there_are() -> None:
    few, many = (monthly_bill(jobs, MIX, free_tiers=False) for jobs in (1000, 10_000_000))
    assert 0.99 < few.shared_dollars / few.total_dollars <= 1
    assert many.shared_dollars < 0.9 * many.total_dollars


@given(st.integers(0, 10**8), st.integers(0, 10**6))
def test_more_jobs_never_cost_less(jobs: int, more: int) -> None:
    fewer, all_ = monthly_bill(jobs, MIX), monthly_bill(jobs + more, MIX)
    assert fewer.total_dollars <= all_.total_dollars
    assert fewer.shared_dollars <= all_.shared_dollars + 1e-6
    assert all_.shared_dollars <= all_.total_dollars + 1e-6


@given(st.floats(0.1, 1000))
def test_the_mix_is_a_proportion(scale: float) -> None:
    scaled = {kind: share * scale for kind, share in MIX.items()}
    assert monthly_bill(10**6, scaled).total_dollars == pytest.approx(
        monthly_bill(10**6, MIX).total_dollars
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("sculpture=1", "unknown kind 'sculpture'; the kinds are plain"),
        ("image", "'image' is not of the form image=70"),
        ("image=-1", "must not be negative"),
        ("image=70,video=50", "the shares add up to 120"),
        ("image=0", "at least one share must be positive"),
    ],
)
def test_a_mix_that_cannot_be_read(text: str, wrong: str) -> None:
    with pytest.raises(click.BadParameter, match=wrong):
        parse_mix(text)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("speed=3", "there is no number 'speed'"),
        ("image.job_type=3", "there is no number 'image.job_type'"),
        ("downloads", "must be NAME=NUMBER"),
        ("downloads=-1", "must be NAME=NUMBER"),
        ("downloads=nan", "must be NAME=NUMBER"),
        ("safety_poll_seconds=0", "must be more than 0"),
    ],
)
def test_a_number_that_cannot_be_set(change: str, wrong: str) -> None:
    with pytest.raises(UnknownNumberError, match=wrong):
        set_numbers(Numbers(), KINDS, [change])


def test_numbers_of_everything_and_of_a_kind_are_set() -> None:
    numbers, kinds = set_numbers(Numbers(), KINDS, ["downloads=3", "image.seconds=20"])
    assert (numbers.downloads, kinds["image"].seconds, KINDS["image"].seconds) == (3, 20, 10)


def test_the_command_prints_the_bill_its_sources_and_its_numbers() -> None:
    result = CliRunner().invoke(
        cost, ["--jobs", "1000000", "--set", "downloads=2", "--no-free-tiers", "--sources"]
    )
    assert result.exit_code == 0
    assert "Total without internet egress" in result.output
    assert "cloud.google.com/tasks/pricing" in result.output
    assert "1.3 times Oregon's is assumed" in result.output
    assert "downloads" in result.output
    assert "none free: cloud.google.com/tasks/pricing" in result.output


def test_the_command_names_a_number_that_does_not_exist() -> None:
    result = CliRunner().invoke(cost, ["--set", "speed=3"])
    assert result.exit_code == 2
    assert "there is no number 'speed'" in result.output
