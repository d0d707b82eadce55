"""Sums over stored numbers: a model's days, and an erased user's account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from taskreel.app.erasure.move_account import _combine_accounts
from taskreel.app.records.model_performance import list_model_days
from taskreel.domain.credits import Account
from taskreel.domain.job_metrics import DailyMetrics

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_model_s_numbers_are_added_over_the_job_types_of_a_day() -> None:
    numbers = {"calls": 2.0, "credits": 3.0, "released": 1.0, "costUsd": 0.5}
    numbers |= {"run.1000": 2.0, "error.timeout": 1.0, "of_a_later_release": 9.0}
    models = {"bfl/flux": numbers, "fal": {"calls": 1.0}}
    days = [
        DailyMetrics(day=day, job_type=job_type, models=models, expire_at=LATER)
        for day, job_type in (("2026-11-23", "a"), ("2026-11-22", "a"), ("2026-11-22", "b"))
    ]
    first, *others = list_model_days(days)
    assert (first.day, first.provider, first.model) == ("2026-11-22", "bfl", "flux")
    assert (first.calls, first.credits, first.released, first.cost_usd) == (4, 6.0, 2.0, 1.0)
    assert (first.run_ms, first.errors) == ({"1000": 4}, {"timeout": 2})
    assert [(one.day, one.provider, one.model, one.calls) for one in others] == [
        ("2026-11-22", "fal", None, 2),
        ("2026-11-23", "bfl", "flux", 2),
        ("2026-11-23", "fal", None, 1),
    ]


def stored_account(available: int, **fields: Any) -> dict[str, Any]:
    given = {"userId": "ada", "available": available, "held": 0, "captured": 1}
    return {**given, "granted": available + 1, **fields}


def test_a_second_account_of_an_erased_user_is_added_to_the_first() -> None:
    """A token that was still valid opened it after the first was moved."""
    before = stored_account(5, wakeAt=NOON, wakeShard=3)
    both = _combine_accounts(stored_account(7, wakeAt=LATER, tier="pro"), before, "erased_1")
    after = Account.model_validate(both)
    assert (after.user_id, after.available, after.captured, after.granted) == (
        "erased_1",
        12,
        2,
        14,
    )
    assert (after.wake_at, after.wake_shard, after.tier) == (NOON, 3, None)


def test_an_erased_users_account_has_its_sums_alone() -> None:
    moved = Account.model_validate(
        _combine_accounts(stored_account(7, tier="pro"), None, "erased_1")
    )
    assert (moved.user_id, moved.available, moved.captured, moved.tier) == ("erased_1", 7, 1, None)
