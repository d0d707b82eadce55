from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import taskreel
from taskreel.app.messages.job_task import POLL_QUEUE, current_name, type_of_queue
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_status import NEXT_STATUSES, IllegalTransitionError, Status
from taskreel.domain.unit import UnitState
from unit.domain.samples import NOW, SECOND, error, job, statuses, times, unit, unit_runs

FINAL = {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}


def test_the_table_names_every_status() -> None:
    assert set(NEXT_STATUSES) == set(Status)


@pytest.mark.parametrize("status", Status)
def test_four_statuses_are_final(status: Status) -> None:
    assert status.final is (status in FINAL)


@pytest.mark.parametrize("status", [one for one in Status if one not in FINAL])
def test_every_other_status_can_be_cancelled(status: Status) -> None:
    assert job(status).enter_status(Status.CANCELLED, NOW).status is Status.CANCELLED


@given(st.lists(statuses, max_size=20))
def test_no_path_leaves_a_final_status(path: list[Status]) -> None:
    current, ended = job(), False
    for step, wanted in enumerate(path):
        at = NOW + step * SECOND
        if wanted in NEXT_STATUSES[current.status]:
            assert not ended
            current = current.enter_status(wanted, at)
            ended = wanted.final
        else:
            with pytest.raises(IllegalTransitionError, match=current.job_id):
                current.enter_status(wanted, at)


@given(statuses, statuses, times)
def test_a_status_has_the_time_it_was_entered(before: Status, after: Status, at: object) -> None:
    start = job(before)
    if after in NEXT_STATUSES[before]:
        changed = start.enter_status(after, at)  # type: ignore[arg-type]
        assert changed.status_at == {**start.status_at, after: at}
        assert changed.updated_at == at


@pytest.mark.parametrize("status", sorted(FINAL - {Status.EXPIRED}))
def test_an_ended_job_has_neither_lease_nor_alarm(status: Status) -> None:
    ended = job(Status.PROCESSING, lease_until=NOW, next_attempt_at=NOW).enter_status(
        status, NOW, wake_at=NOW, lease_until=NOW
    )
    assert (ended.wake_at, ended.lease_until, ended.next_attempt_at) == (None, None, None)


def test_only_a_transition_changes_a_status() -> None:
    with pytest.raises(ValidationError, match="status"):
        job().with_changes(NOW, status=Status.COMPLETED)  # type: ignore[call-arg]  # refused
    with pytest.raises(AttributeError, match="immutable"):
        job().status = Status.COMPLETED  # type: ignore[misc]


def test_no_code_beside_the_table_copies_a_job_into_another_status() -> None:
    package = Path(taskreel.__file__).parent
    guilty = [
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "model_copy"
        if any(isinstance(key, ast.Constant) and key.value == "status" for key in ast.walk(node))
    ]
    # A message shows the state that it is about, which the job may have left; it stores nothing.
    assert set(guilty) <= {"domain/job.py", "web/other_apis/webhook_messages.py"}


def test_a_job_survives_its_document() -> None:
    before = job(Status.FAILED, units=(unit(UnitState.DONE), unit(error=error())), error=error())
    assert Job.model_validate(before.document()) == before


def test_a_document_is_camel_case() -> None:
    assert {"jobId", "statusAt", "wakeAt", "leaseUntil"} <= set(job(lease_until=NOW).document())


@given(st.lists(unit_runs(), min_size=1, max_size=5).map(tuple), statuses)
def test_only_a_failed_job_is_reopened(units: tuple[object, ...], status: Status) -> None:
    before = job(status, units=units)
    if status is not Status.FAILED:
        with pytest.raises(IllegalTransitionError, match="only a failed job"):
            before.next_round(NOW, 3, NOW)
        return
    after = before.next_round(NOW + SECOND, 3, NOW + 2 * SECOND)
    assert (after.status, after.attempt, after.error, after.credits) == (
        Status.QUEUED,
        0,
        None,
        JobCredits(held=3),
    )
    assert (after.round, after.delivery) == (before.round + 1, before.delivery + 1)
    assert not after.is_started


@given(st.lists(unit_runs(), min_size=1, max_size=5).map(tuple))
def test_a_reopened_job_does_again_only_what_was_not_done(units: tuple[object, ...]) -> None:
    before = job(Status.FAILED, units=units)
    after = before.next_round(NOW, 3, NOW)
    for old, new in zip(before.units, after.units, strict=True):
        if old.state is UnitState.DONE:
            # An earlier round captured it: it costs nothing more.
            assert new == old.with_changes(credits=0)
        else:
            assert new.state is UnitState.TODO
        assert new.operation is None or old.state is UnitState.DONE


def test_a_reopened_job_has_its_whole_deadline_again_and_no_more() -> None:
    day = timedelta(days=1)
    once = (
        job(finish_by=NOW + day)
        .enter_status(Status.PROCESSING, NOW)
        .enter_status(Status.FAILED, NOW)
        .next_round(NOW + day, 1, NOW + day)
    )
    twice = (
        once.enter_status(Status.PROCESSING, NOW + day)
        .enter_status(Status.FAILED, NOW + day)
        .next_round(NOW + 3 * day, 1, NOW)
    )
    assert (once.finish_by, twice.finish_by) == (NOW + 2 * day, NOW + 4 * day)


@pytest.mark.parametrize(
    "stored", ["image-upscale-queue", "image-upscale-high", "image-upscale-low"]
)
def test_a_queue_of_an_earlier_release_has_a_successor(stored: str) -> None:
    assert current_name(stored) == "image-upscale-queue"
    assert type_of_queue(stored) == "image-upscale"


def test_the_queue_of_polls_belongs_to_no_type() -> None:
    assert type_of_queue(POLL_QUEUE) is None
    assert current_name(POLL_QUEUE) == POLL_QUEUE
