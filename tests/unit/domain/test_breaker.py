from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from taskreel.domain.breaker import (
    WINDOW_STEPS,
    Breaker,
    BreakerRule,
    BreakerState,
    counts_against_provider,
    is_unmistakable,
)
from taskreel.domain.errors import (
    LeaseLostError,
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    RunError,
    TemporaryError,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULE = BreakerRule(
    window_seconds=60,
    min_calls=4,
    failure_rate=0.5,
    open_seconds=10,
    max_open_seconds=60,
    probe_seconds=20,
)
#: What happens next: how many seconds later, and whether it fails.
histories = st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=60)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def after(outcomes: str, start: float = 0, breaker: Breaker | None = None) -> Breaker:
    """A breaker after calls a second apart: `.` succeeds, `x` fails."""
    breaker = breaker or Breaker()
    for second, outcome in enumerate(outcomes):
        now = at(start + second)
        breaker = breaker.record_result(failed=outcome == "x", begun_at=now, now=now, rule=RULE)
    return breaker


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("", BreakerState.CLOSED),
        ("xxx", BreakerState.CLOSED),
        ("xxxx", BreakerState.OPEN),
        ("..xx", BreakerState.OPEN),
        ("...xx.", BreakerState.CLOSED),
        ("xx..", BreakerState.CLOSED),
    ],
)
def test_it_opens_on_the_failure_that_reaches_the_rate(outcomes: str, state: BreakerState) -> None:
    assert after(outcomes).state_at(at(5)) is state


def test_what_lies_behind_the_window_is_forgotten() -> None:
    breaker = after("xxx", breaker=None)
    assert after("x", start=80, breaker=breaker).state_at(at(81)) is BreakerState.CLOSED


def test_open_lets_nothing_begin_until_its_time_is_up() -> None:
    breaker = after("xxxx")
    assert breaker.admits_at(at(4)) == at(3 + 10)
    assert breaker.state_at(at(13)) is BreakerState.HALF_OPEN
    assert breaker.admits_at(at(13)) == at(13)


def test_half_open_lets_one_begin_and_the_next_when_that_one_is_given_up() -> None:
    breaker = after("xxxx").record_start(at(13), RULE)
    assert breaker.admits_at(at(14)) == at(13 + 20)
    assert breaker.admits_at(at(40)) == at(40)


def test_a_probe_that_succeeds_closes_it_with_nothing_held_against_it() -> None:
    breaker = (
        after("xxxx")
        .record_start(at(13), RULE)
        .record_result(failed=False, begun_at=at(13), now=at(15), rule=RULE)
    )
    assert breaker.state_at(at(15)) is BreakerState.CLOSED
    assert after("xxx", start=16, breaker=breaker).state_at(at(20)) is BreakerState.CLOSED


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_the_maximum() -> None:
    breaker, now, waits = after("xxxx"), at(3), []
    for _ in range(5):
        probe = breaker.admits_at(now)
        assert probe is not None
        waits.append((probe - now).total_seconds())
        now = probe
        breaker = breaker.record_start(now, RULE).record_result(
            failed=True, begun_at=now, now=now, rule=RULE
        )
    assert waits == [10, 20, 40, 60, 60]


def test_work_begun_before_it_opened_neither_closes_nor_reopens_it() -> None:
    breaker = after("xxxx").record_start(at(13), RULE)
    for failed in (True, False):
        assert (
            breaker.record_result(failed=failed, begun_at=at(1), now=at(14), rule=RULE) == breaker
        )


@pytest.mark.parametrize("state", [BreakerState.OPEN, BreakerState.CLOSED])
def test_an_admins_word_stands_until_it_is_taken_back(state: BreakerState) -> None:
    breaker = after("xxxx" * 5, start=20, breaker=Breaker().force(state, NOON))
    assert breaker.state_at(at(1000)) is state
    assert breaker.admits_at(at(1000)) == (at(1000) if state is BreakerState.CLOSED else None)
    assert Breaker().force(None, at(1000)).state_at(at(1000)) is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (ProviderDownError("x"), True),
        (TemporaryError("x", code="operation_failed"), True),
        (TemporaryError("x", code="no_output"), True),
        (PermanentError("x", code="ambiguous_create"), True),
        (PermanentError("x", code="provider_auth"), True),
        (PermanentError("x", code="moderation"), False),
        (PermanentError("x", code="provider_rejected"), False),
        (PermanentError("x", code="unsupported_parameter"), False),
        (RateLimitedError("x", retry_after=timedelta(seconds=1)), False),
        (TemporaryError("x", code="internal_error"), False),
        (LeaseLostError("x"), False),
    ],
)
def test_only_the_providers_own_faults_count(error: RunError, *, counts: bool) -> None:
    assert counts_against_provider(error) is counts


def failing(users: str, start: float = 0, breaker: Breaker | None = None) -> Breaker:
    """A breaker after failures a second apart, each due to the input of the user of that letter.

    `.` is a success.
    """
    breaker = breaker or Breaker()
    for second, user in enumerate(users):
        now = at(start + second)
        breaker = breaker.record_result(
            failed=user != ".", begun_at=now, now=now, rule=RULE, user=user
        )
    return breaker


@pytest.mark.parametrize(
    ("users", "state"),
    [
        ("aaaaaaaaaaaa", BreakerState.CLOSED),
        ("abababababab", BreakerState.CLOSED),
        ("aabbc", BreakerState.OPEN),
        # Of one user two count, however many there are: six failures, seven successes.
        (".......aaaaaaaaaabcbc", BreakerState.CLOSED),
    ],
)
def test_failures_of_one_users_inputs_pause_no_provider(users: str, state: BreakerState) -> None:
    assert failing(users).state_at(at(13)) is state


def test_failures_of_one_user_do_not_hide_an_outage() -> None:
    breaker = failing("aaaaaaaaaa")
    assert after("xxxx", start=11, breaker=breaker).state_at(at(15)) is BreakerState.OPEN


def test_a_probe_that_one_users_input_fails_leaves_room_for_the_next_probe() -> None:
    breaker = after("xxxx")
    for second in (13, 14, 15):
        breaker = breaker.record_start(at(second), RULE)
        breaker = failing("a", start=second, breaker=breaker)
        assert breaker.admits_at(at(second)) == at(second)
    breaker = failing("bc", start=16, breaker=breaker)
    assert breaker.state_at(at(18)) is BreakerState.OPEN


def test_a_document_of_the_last_release_is_read() -> None:
    stored = {"steps": [{"index": 7, "succeeded": 1, "failed": 2}], "openings": 1}
    breaker = Breaker.model_validate(stored)
    assert (breaker.steps[0].failed, breaker.openings) == (2, 1)
    assert "userFailures" not in str(breaker.document())


def test_many_users_stay_a_small_document() -> None:
    breaker = Breaker()
    rule = replace(RULE, min_calls=10_000)
    for number in range(1000):
        breaker = breaker.record_result(
            failed=True, begun_at=NOON, now=NOON, rule=rule, user=f"{number:08}"
        )
    assert len(str(breaker.document())) < 1000


@pytest.mark.parametrize(
    ("error", "unmistakable"),
    [
        (ProviderDownError("x"), True),
        (PermanentError("x", code="provider_auth"), True),
        (PermanentError("x", code="provider_out_of_credit"), True),
        (TemporaryError("x", code="operation_failed"), False),
        (TemporaryError("x", code="no_output"), False),
        (PermanentError("x", code="ambiguous_create"), False),
    ],
)
def test_only_connection_server_and_account_are_never_an_inputs_fault(
    error: RunError, *, unmistakable: bool
) -> None:
    assert is_unmistakable(error) is unmistakable


def lived(
    history: list[tuple[float, bool]],
) -> tuple[Breaker, datetime, list[tuple[datetime, bool, BreakerState]]]:
    """A breaker through a history in which work begins only when it is admitted."""
    breaker, now, calls = Breaker(), NOON, []
    for seconds, failed in history:
        now += timedelta(seconds=seconds)
        if breaker.admits_at(now) == now:
            calls.append((now, failed, breaker.state_at(now)))
            breaker = breaker.record_start(now, RULE).record_result(
                failed=failed, begun_at=now, now=now, rule=RULE
            )
    return breaker, now, calls


@given(history=histories)
def test_it_is_open_only_after_enough_failures(history: list[tuple[float, bool]]) -> None:
    breaker, now, calls = lived(history)
    if breaker.state_at(now) is BreakerState.OPEN:
        opened = breaker.since
        assert opened is not None
        at_opening = [
            call for call in calls if call[0] <= opened and call[0] > opened - timedelta(seconds=60)
        ]
        probe = at_opening[-1][2] is BreakerState.HALF_OPEN
        failures = sum(failed for _, failed, _ in at_opening)
        assert probe or (
            len(at_opening) >= RULE.min_calls and failures >= RULE.failure_rate * RULE.min_calls
        )


@given(history=histories, wait=st.floats(0, 200))
def test_the_time_it_names_is_honest(history: list[tuple[float, bool]], wait: float) -> None:
    breaker, now, _ = lived(history)
    then = breaker.admits_at(now)
    assert then is not None
    assert then >= now
    assert then - now <= timedelta(seconds=RULE.max_open_seconds)
    assert breaker.admits_at(then) == then
    if now + timedelta(seconds=wait) < then:
        assert breaker.admits_at(now + timedelta(seconds=wait)) == then


@given(history=st.lists(st.tuples(st.floats(0, 40), st.just(False)), max_size=60))
def test_success_never_opens_it(history: list[tuple[float, bool]]) -> None:
    breaker, now, calls = lived(history)
    assert breaker.state_at(now) is BreakerState.CLOSED
    assert len(calls) == len(history)


@given(history=histories)
def test_it_stays_a_small_document_and_survives_being_one(
    history: list[tuple[float, bool]],
) -> None:
    breaker, _, _ = lived(history)
    assert len(breaker.steps) <= WINDOW_STEPS
    assert Breaker.model_validate(breaker.document()) == breaker


@given(history=histories)
def test_one_probe_at_a_time(history: list[tuple[float, bool]]) -> None:
    breaker, now, _ = lived([*history, *[(0.0, True)] * 4])
    probe = breaker.admits_at(now)
    assert probe is not None
    out = breaker.record_start(probe, RULE)
    if breaker.state_at(probe) is BreakerState.HALF_OPEN:
        later = out.admits_at(probe + timedelta(seconds=1))
        assert later == probe + timedelta(seconds=RULE.probe_seconds)
