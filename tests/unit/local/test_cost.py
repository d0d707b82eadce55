"""The bill is arithmetic on a declared table, so it is checked by hand-made sums."""

from __future__ import annotations

from datetime import timedelta

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from taskreel.adapters.providers.bfl import adapter as bfl
from taskreel.adapters.providers.google import adapter as google
from taskreel.adapters.providers.replicate import adapter as replicate
from taskreel_local.cli.cost_command import cost, parse_mix
from taskreel_local.cli.cost_model import JOBS, POLL, Bill, list_prices, monthly_bill

MIX = {"image": 70.0, "video": 20.0, "upscale": 10.0}


def line(bill: Bill, item: str) -> float:
    return next(each.dollars for each in bill.control if each.item == item)


@pytest.mark.parametrize("location", ["europe-central2", "us-central1"])
def test_a_million_plain_jobs_cost_at_most_ten_dollars(location: str) -> None:
    assert (
        monthly_bill(1_000_000, {"plain": 1}, location=location, status_reads=0).control_dollars
        <= 10
    )


def test_idle_costs_nothing() -> None:
    assert monthly_bill(0, MIX).total_dollars == 0


def test_writes_are_counted_above_the_free_tier() -> None:
    # 6 a job, 20,000 a day free, $0.09 for 100,000.
    bill = monthly_bill(1_000_000, {"plain": 1}, location="us-central1")
    assert line(bill, "Firestore writes") == pytest.approx((6_000_000 - 600_000) * 0.9e-6)


def test_a_region_of_the_second_tier_is_dearer_and_its_free_seconds_fewer() -> None:
    first, second = (
        list_prices("us-central1")["Cloud Run CPU"],
        list_prices("europe-central2")["Cloud Run CPU"],
    )
    assert second.dollars == pytest.approx(0.0000336)
    assert second.free * second.dollars == pytest.approx(first.free * first.dollars)


def test_a_task_that_runs_once_is_two_operations() -> None:
    assert line(monthly_bill(1_000_000, {"plain": 1}), "Cloud Tasks") == pytest.approx(0.40)


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
    polls = (JOBS[kind].task_operations - JOBS["text"].task_operations) / POLL.task_operations
    assert polls == timedelta(seconds=seconds) / every


def test_a_free_tier_is_given_once() -> None:
    bill = monthly_bill(1_000_000, MIX)
    used = sum(each.used for each in (*bill.control, *bill.work) if each.item == "Cloud Run CPU")
    billed = sum(
        each.billed for each in (*bill.control, *bill.work) if each.item == "Cloud Run CPU"
    )
    assert used - billed == pytest.approx(list_prices("europe-central2")["Cloud Run CPU"].free)


@given(st.integers(0, 10**8), st.integers(0, 10**6))
def test_more_jobs_never_cost_less(jobs: int, more: int) -> None:
    assert monthly_bill(jobs, MIX).total_dollars <= monthly_bill(jobs + more, MIX).total_dollars


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
        ("image=70,video=50", "the shares are 120 together"),
        ("image=0", "at least one share must be positive"),
    ],
)
def test_a_mix_that_cannot_be_read(text: str, wrong: str) -> None:
    with pytest.raises(click.BadParameter, match=wrong):
        parse_mix(text)


def test_the_command_prints_the_bill_and_its_sources() -> None:
    result = CliRunner().invoke(
        cost, ["--jobs", "1000000", "--mix", "image=70,video=20,upscale=10", "--sources"]
    )
    assert result.exit_code == 0
    assert "Control plane, each million of these jobs" in result.output
    assert "cloud.google.com/tasks/pricing" in result.output
    assert "1.3 times Oregon's is assumed" in result.output
