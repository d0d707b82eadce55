"""Cron expressions: their times by Debian's rule for changes of the clocks, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.cron import CronSchedule
from taskreel.domain.errors import InvalidError

BERLIN = "Europe/Berlin"


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def test_an_hour_that_the_clocks_repeat_has_one_run() -> None:
    # 2026-10-25: 03:00 CEST becomes 02:00 CET.
    schedule = CronSchedule("30 2 * * *", BERLIN)
    assert schedule.next_times(utc(2026, 10, 24, 12), 2) == [
        utc(2026, 10, 25, 0, 30),
        utc(2026, 10, 26, 1, 30),
    ]


def test_an_hour_that_the_clocks_skip_has_its_run_right_after_it() -> None:
    # 2026-03-29: 02:00 CET becomes 03:00 CEST.
    schedule = CronSchedule("30 2 * * *", BERLIN)
    assert schedule.next_times(utc(2026, 3, 28, 12), 2) == [
        utc(2026, 3, 29, 1, 0),
        utc(2026, 3, 30, 0, 30),
    ]


def test_every_half_hour_runs_on_through_both_changes() -> None:
    for start in (utc(2026, 3, 28, 23), utc(2026, 10, 24, 23)):
        times = CronSchedule("*/30 * * * *", BERLIN).next_times(start, 10)
        assert times == [start + timedelta(minutes=30 * n) for n in range(1, 11)]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 9 * * MON-FRI", "At 09:00 on Monday through Friday"),
        ("@hourly", "At the start of every hour"),
        ("*/30 * * * *", "Every 30 minutes"),
        ("*/2 * 1 * *", "Every 2 minutes on the first day of every month"),
        ("*/7 * * * *", "Every 7 minutes from each full hour"),
        ("*/90 * * * *", "At minute 0 of every hour"),
        ("10/15 * * * *", "Every 15 minutes from minute 10 through 59 of every hour"),
        ("*/30 9-17 * * MON", "Every 30 minutes from 09:00 through 17:59 on Monday"),
        ("10,*/20 * * * *", "At minute 10 and every 20 minutes"),
        ("0 */2 * * *", "At minute 0, every 2 hours"),
        ("0,30 */5 * * *", "At minutes 0 and 30, every 5 hours from midnight"),
        ("15 9-17/2 * * *", "At minute 15, every 2 hours from 9 through 17"),
        ("0 */36 * * *", "At minute 0 past hour 0"),
    ],
)
def test_the_words_say_what_the_expression_means(expression: str, words: str) -> None:
    assert CronSchedule(expression, "UTC").words == words


@pytest.mark.parametrize(
    ("alias", "first"),
    [
        ("@daily", utc(2026, 6, 2)),
        ("@hourly", utc(2026, 6, 1, 13)),
        ("@weekly", utc(2026, 6, 7)),
        ("@monthly", utc(2026, 7, 1)),
        ("@Yearly", utc(2027, 1, 1)),
    ],
)
def test_an_alias_stands_for_its_expression(alias: str, first: datetime) -> None:
    assert CronSchedule(alias, "UTC").next_after(utc(2026, 6, 1, 12, 5)) == first


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * *",
        "61 * * * *",
        "0 0 30 2 *",
        "0 0 31 4 *",
        "*/15 * * * * *",
        # The second Tuesday is never the 1st or the 29th.
        "0 0 */28 * 2#2",
        "@reboot",
        "x x x x x",
    ],
)
def test_an_expression_without_times_is_refused_by_name(expression: str) -> None:
    with pytest.raises(InvalidError) as refused:
        CronSchedule(expression, "UTC")
    assert refused.value.details["errors"][0]["path"] == "cronExpression"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe/Berlin\0", "/"])
def test_a_zone_that_does_not_exist_is_refused_by_name(zone: str) -> None:
    with pytest.raises(InvalidError) as refused:
        CronSchedule("0 0 * * *", zone)
    assert refused.value.details["errors"][0]["path"] == "timeZone"


@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    hours=st.integers(0, 175_000),
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_a_daily_time_comes_once_in_each_day(minute: int, hour: int, hours: int, zone: str) -> None:
    start = utc(2020, 1, 1) + timedelta(hours=hours)
    times = CronSchedule(f"{minute} {hour} * * *", zone).next_times(start, 4)
    assert times == sorted(set(times))
    for earlier, later in pairwise(times):
        assert timedelta(hours=22) < later - earlier < timedelta(hours=26)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6,9,11 *", "never comes"),
        ("0 0 32 1 *", "no cron expression: bad day-of-month; its fields are minute, hour"),
        ("61 0 * * *", "bad minute"),
        ("0 0 * 13 *", "bad month"),
    ],
)
def test_a_date_that_never_comes_is_told_from_a_wrong_field(expression: str, reason: str) -> None:
    with pytest.raises(InvalidError) as raised:
        CronSchedule(expression, "UTC")
    (problem,) = raised.value.details["errors"]
    assert problem["path"] == "cronExpression"
    assert reason in problem["message"]
