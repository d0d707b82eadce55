"""A day and three scenarios in virtual time: waits, fairness, estimates, credits."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta

import pytest

from taskreel.domain.job_status import Status
from taskreel.rules_setting import parse_limits
from taskreel_local.rehearsal import scenarios
from taskreel_local.rehearsal.day import (
    JOBS_OF_A_DAY,
    MUSIC,
    RECURRING_JOBS,
    TIERS,
    DayReport,
    describe_day,
    rehearse_day,
)
from taskreel_local.rehearsal.measures import percentile
from taskreel_local.stack.repository_paths import LIMITS

pytestmark = pytest.mark.slow

#: A tenth of a day of 500 users, at the same load: the whole takes more than five minutes of
#: processor time, so CI runs it at night (.ci/nightly).
JOBS = JOBS_OF_A_DAY if os.environ.get("REHEARSAL") == "whole" else JOBS_OF_A_DAY // 10
USERS = JOBS // 100


async def test_a_day_with_an_outage_a_pause_and_a_poison_type() -> None:
    report = await rehearse_day(jobs=JOBS, users=USERS)
    print(*(": ".join(row) for row in describe_day(report)), sep="\n")  # noqa: T201 - with -s
    check_ends(report)
    check_waits(report)
    check_credits(report)
    # Nine of ten start before their p90, through the outage and the pause.
    assert report.estimates_checked >= JOBS / 100
    assert 0.85 <= report.estimates_within_p90 <= 0.95
    assert report.compute_fairness() >= 0.5


def check_ends(report: DayReport) -> None:
    """Everything ended, all of the poison type failed, and each due run came once."""
    assert all(job.status.final for job in report.stored)
    of_poison = [job for job in report.stored if job.job_type == MUSIC]
    assert len(of_poison) > 50
    assert {job.status for job in of_poison} == {Status.FAILED}
    others = Counter(job.status for job in report.stored if job.job_type != MUSIC)
    # What failed met the outage before its breaker was open: no other kind of end.
    assert others.keys() <= {Status.COMPLETED, Status.FAILED}
    assert others[Status.FAILED] <= others[Status.COMPLETED] / 100
    last = max(job.created_at for job in report.stored)
    hours = (last - min(job.created_at for job in report.stored)) / timedelta(hours=1)
    assert len(report.recurring_runs) == RECURRING_JOBS
    assert all(abs(runs - hours) <= 2 for runs in report.recurring_runs.values())
    assert max(report.sold.values()) == 1, "work was bought twice"


def check_waits(report: DayReport) -> None:
    """No tier waits longer than one that pays less, and nobody runs more than the limit."""
    medians = [percentile(report.list_waits(tier), 0.5) for tier in TIERS]
    assert medians[-1] <= medians[1] <= medians[0]
    # At the day's height more comes than can be done. A head start of 300 s does not make up for
    # that, and the height of a whole day lasts ten times as long as that of a tenth.
    longest = 60 * 10 * JOBS / JOBS_OF_A_DAY
    assert percentile(report.list_waits("enterprise"), 0.99) <= longest
    limits = parse_limits(str(LIMITS))
    assert limits is not None
    for user, most in report.most_active.items():
        tier = user.partition("-")[0]
        assert most <= limits.tier("pro" if tier == "recurring" else tier).active_jobs, user


def check_credits(report: DayReport) -> None:
    """Each account: granted = available + captured, nothing is held, and what was done is paid."""
    paid: Counter[str] = Counter()
    for job in report.stored:
        assert job.credits.held == 0, job.job_id
        assert (job.credits.captured > 0) is (job.status is Status.COMPLETED), job.job_id
        paid[job.user_id] += job.credits.captured
    for account in report.accounts:
        assert (account.held, account.active, account.waiting) == (0, 0, 0), account
        assert account.granted == account.available + account.captured
        assert account.captured == paid[account.user_id]


async def test_low_priority_waits_no_longer_than_in_order_and_its_offset() -> None:
    """An hour at 115 % of what can be done, and until that has been worked off."""
    in_order = await scenarios.overload(in_order=True)
    by_rank = await scenarios.overload()
    longest = max(wait for waits in in_order.values() for wait in waits)
    # Twenty seconds more: the order of starts differs, and so do the times that are drawn.
    assert max(by_rank["low"]) <= longest + scenarios.HEAD_STARTS["high"] + 20
    assert percentile(by_rank["high"], 0.5) < percentile(by_rank["low"], 0.5)


async def test_pictures_bought_in_a_backlog_are_there_soon_and_no_delivery_is_in_vain() -> None:
    """1,500 at once, at a provider of four seconds that is polled: ten minutes of work."""
    found = await scenarios.pictures()
    assert 500 <= found.lasted <= 1200
    assert percentile(found.purchase_to_result, 0.5) <= 8
    assert percentile(found.purchase_to_result, 0.99) <= 20
    assert found.deliveries_a_job <= 1.05


async def test_a_flood_of_one_user_leaves_the_service_of_others_even() -> None:
    """The same with 10,000 jobs is in test_flow_rehearsal.py; ten places, 1,500 jobs."""
    found = await scenarios.flood(jobs=1_500)
    assert percentile(found.beside, 0.99) <= 2 * max(percentile(found.alone, 0.99), 1.0)
    assert found.jain_index >= 0.8
