"""The rules of an audit over one job, and between the documents of one user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from taskreel.app.audit.job_rules import Rule, check_job
from taskreel.app.audit.user_books import UserBooks
from taskreel.domain.artifact import Artifact
from taskreel.domain.client_webhook import DeliveryState, WebhookDelivery
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.domain.ids import hashed_delivery_id
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_history import StatusChange
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.domain.webhook_events import WebhookSubscription
from unit.domain.samples import NOW, SECOND, job, unit

FILE = Artifact(
    name="image.png",
    path="artifacts/job_1/1/image.png",
    content_type="image/png",
    bytes=4,
    sha256="0" * 64,
)


def done(**fields: Any) -> UnitRun:
    return unit(UnitState.DONE, artifacts=(FILE,), **fields)


def ended(status: Status = Status.COMPLETED, **fields: Any) -> Job:
    """A job that ended in order, with one finished unit that was captured."""
    given = {"units": (done(),), "credits": JobCredits(captured=1), "wake_at": None, **fields}
    return job(status, **given)


def entry(entry_id: str, kind: EntryKind, amount: int, **fields: Any) -> LedgerEntry:
    given = {"user_id": "ada", "created_at": NOW, **fields}
    return LedgerEntry(entry_id=entry_id, kind=kind, amount=amount, **given)


GRANT = entry("initial.ada", EntryKind.GRANT, 10)
CAPTURE = entry("job_1.1", EntryKind.CAPTURE, 1, held=1, job_id="job_1")
ACCOUNT = Account(user_id="ada", available=9, granted=10, captured=1)


def books(*documents: Job | LedgerEntry, account: Account | None = ACCOUNT) -> UserBooks:
    found = UserBooks("ada")
    if account is not None:
        found.put_account(account)
    for document in documents:
        if isinstance(document, Job):
            found.put_job(document)
        else:
            found.put_entry(document)
    return found


def list_broken_rules(found: UserBooks, **options: int) -> list[Rule]:
    return sorted({one.rule for one in found.check(**options)})


# ── One job ──────────────────────────────────────────────────────────────────────────────────────


def changes_to(*statuses: Status) -> tuple[StatusChange, ...]:
    return tuple(StatusChange(status=one, at=NOW + SECOND * at) for at, one in enumerate(statuses))


def test_a_job_in_order_breaks_no_rule() -> None:
    assert list(check_job(job())) == []
    history = changes_to(Status.FAILED, Status.QUEUED, Status.PROCESSING, Status.COMPLETED)
    assert list(check_job(ended(history=history))) == []


@pytest.mark.parametrize(
    ("broken", "rule", "text"),
    [
        (job(wake_at=None), Rule.WAKE_TIME, "it is QUEUED, and its wakeAt is None"),
        (
            ended(credits=JobCredits(held=2)),
            Rule.NOTHING_HELD_AFTER_END,
            "it is COMPLETED and still holds 2 credits",
        ),
        (
            ended(slot_of="ada"),
            Rule.NOTHING_HELD_AFTER_END,
            "it is COMPLETED and still holds 0 credits and a slot",
        ),
        (job(lease_until=NOW), Rule.LEASE_OF_RUN, f"it is QUEUED and leased until {NOW}"),
        (job(attempt=4), Rule.ATTEMPTS, "attempt 4 of at most 3"),
        (
            ended(units=(unit(UnitState.DONE),)),
            Rule.NO_CAPTURE_WITHOUT_ARTIFACT,
            "unit 0 costs 1 credits and has neither files nor data",
        ),
        (
            ended(history=changes_to(Status.CANCELLED, Status.COMPLETED)),
            Rule.ONE_FINAL_STATUS,
            f"it was CANCELLED at {NOW} and COMPLETED at {NOW + SECOND}",
        ),
        (
            ended(history=changes_to(Status.FAILED, Status.COMPLETED)),
            Rule.ONE_FINAL_STATUS,
            f"it was FAILED at {NOW} and COMPLETED at {NOW + SECOND}",
        ),
        (
            ended(history=changes_to(Status.PROCESSING)),
            Rule.ONE_FINAL_STATUS,
            "it is COMPLETED, and its history ends with PROCESSING",
        ),
    ],
)
def test_a_job_that_breaks_a_rule_is_named_with_the_reason(
    broken: Job, rule: Rule, text: str
) -> None:
    (violation,) = check_job(broken)
    assert (violation.rule, violation.text) == (rule, text)
    assert str(violation) == f"{rule}: job job_1 of user ada: {text}"


def test_a_state_of_a_newer_revision_is_not_judged() -> None:
    later = job(wake_at=None).document()
    later["units"] = [{**later["units"][0], "state": "dreaming"}]
    assert list(check_job(Job.model_validate(later))) == []


# ── The documents of a user ──────────────────────────────────────────────────────────────────────


def test_books_in_order_break_no_rule_and_are_checked_for_what_changed() -> None:
    found = books(ended(), GRANT, CAPTURE)
    assert list_broken_rules(found) == []
    found.put_job(ended(credits=JobCredits(captured=2)))
    assert list_broken_rules(found) == [Rule.PAID_WORK]
    # What has not changed since is not judged again.
    assert list_broken_rules(found) == []


def change_account(**fields: int) -> Account:
    return ACCOUNT.model_copy(update=fields)


@pytest.mark.parametrize(
    ("account", "broken"),
    [
        (None, [Rule.LEDGER]),
        (change_account(available=8), [Rule.BALANCE]),
        (change_account(granted=11, available=10), [Rule.LEDGER]),
        (change_account(captured=2, available=8), [Rule.LEDGER]),
        (change_account(expired=1, available=8), [Rule.LEDGER]),
        (change_account(held=1, available=8), [Rule.HOLDS]),
        (change_account(active=1), [Rule.SLOTS]),
        (change_account(waiting=1), [Rule.SLOTS]),
    ],
)
def test_an_account_must_agree_with_its_jobs_and_its_ledger(
    account: Account | None, broken: list[Rule]
) -> None:
    assert list_broken_rules(books(ended(), GRANT, CAPTURE, account=account)) == broken


def test_credits_that_expired_are_in_the_ledger_too() -> None:
    expired = entry("expiry.g.0", EntryKind.EXPIRY, 2)
    account = change_account(available=7, expired=2)
    assert list_broken_rules(books(ended(), GRANT, CAPTURE, expired, account=account)) == []


def test_a_user_without_documents_needs_no_account() -> None:
    assert list_broken_rules(books(account=None)) == []


def test_a_settlement_is_written_once_and_moves_no_more_than_was_held() -> None:
    assert list_broken_rules(books(ended(), GRANT, CAPTURE, CAPTURE)) == [Rule.SETTLED_ONCE]
    more = CAPTURE.model_copy(update={"held": 0})
    assert list_broken_rules(books(ended(), GRANT, more)) == [Rule.SETTLED_ONCE]


def test_each_round_that_ended_is_settled_and_no_open_one() -> None:
    missing = change_account(available=10, captured=0)
    assert list_broken_rules(books(ended(), GRANT, account=missing)) == [Rule.SETTLED_ONCE]
    open_job = job(units=(done(),), credits=JobCredits(held=0))
    assert list_broken_rules(books(open_job, GRANT, CAPTURE)) == [Rule.SETTLED_ONCE]


def test_the_entry_of_a_removed_job_of_the_same_key_does_not_settle_the_next() -> None:
    keyed = ended(request_hash="h")
    own = CAPTURE.model_copy(update={"entry_id": f"job_1.1.{int(NOW.timestamp() * 1000)}"})
    other = entry("job_1.1.123", EntryKind.CAPTURE, 1, held=1, job_id="job_1")
    twice = change_account(available=8, captured=2)
    assert list_broken_rules(books(keyed, GRANT, own, other, account=twice)) == []
    assert list_broken_rules(books(keyed, GRANT, other)) == [Rule.SETTLED_ONCE]


def test_a_pipeline_pays_for_its_child_jobs_and_outlives_them() -> None:
    parent = ended(units=(), job_type="pipeline")
    own = FILE.model_copy(update={"path": "artifacts/job_2/1/image.png"})
    units = (unit(UnitState.DONE, artifacts=(own,)),)
    place: dict[str, Any] = {"job_id": "job_2", "parent_id": "job_1", "parent_round": 1}
    child = ended(**place, units=units, credits=JobCredits())
    assert list_broken_rules(books(parent, child, GRANT, CAPTURE)) == []
    going_on = job(**place, units=units, credits=JobCredits())
    assert list_broken_rules(books(parent, going_on, GRANT, CAPTURE)) == [Rule.FAMILY]
    earlier = child.model_copy(update={"parent_round": 0})
    assert list_broken_rules(books(parent, earlier, GRANT, CAPTURE)) == [Rule.PAID_WORK]


def test_a_child_job_needs_its_pipeline() -> None:
    orphan = ended(parent_id="job_gone", credits=JobCredits())
    assert Rule.FAMILY in list_broken_rules(books(orphan, GRANT, CAPTURE))


def test_a_removed_job_leaves_the_sums_and_its_pipeline() -> None:
    parent = ended(units=(), job_type="pipeline", credits=JobCredits())
    child = ended(job_id="job_2", parent_id="job_1", parent_round=1, credits=JobCredits())
    released = entry("job_1.1", EntryKind.RELEASE, 0, held=0, job_id="job_1")
    account = change_account(available=10, captured=0)
    found = books(parent, child, GRANT, released, account=account)
    found.remove_job("job_2")
    found.remove_job("job_unknown")
    assert list_broken_rules(found) == []


def test_a_lineage_pays_for_units_of_an_earlier_round_too() -> None:
    own = FILE.model_copy(update={"path": "artifacts/job_2/1/image.png"})
    replay = ended(
        job_id="job_2", lineage=("job_1",), units=(unit(UnitState.DONE, artifacts=(own,)),)
    )
    settled = (
        entry("job_1.2", EntryKind.RELEASE, 0, held=0, job_id="job_1"),
        entry("job_2.1", EntryKind.CAPTURE, 1, held=1, job_id="job_2"),
    )
    second_round = ended(round=2, units=(done(credits=0),), credits=JobCredits())
    paid = books(ended(Status.FAILED), second_round, replay, GRANT, CAPTURE, *settled)
    paid.put_account(change_account(available=8, captured=2))
    assert list_broken_rules(paid) == []
    unpaid = entry("job_1.1", EntryKind.RELEASE, 0, held=1, job_id="job_1")
    found = books(ended(Status.FAILED), second_round, replay, GRANT, unpaid, *settled)
    assert list_broken_rules(found) == [Rule.LINEAGE]


def test_no_more_jobs_are_active_than_the_limit() -> None:
    active = [job(job_id=f"job_{n}", slot_of="ada", credits=JobCredits()) for n in range(3)]
    account = change_account(active=3, available=10, captured=0)
    assert list_broken_rules(books(*active, GRANT, account=account), active_limit=3) == []
    assert list_broken_rules(books(*active, GRANT, account=account), active_limit=2) == [Rule.LIMIT]


# ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────


def delivery(delivery_id: str, **fields: Any) -> WebhookDelivery:
    given: Mapping[str, Any] = {
        "delivery_id": delivery_id,
        "endpoint_id": "we_1",
        "user_id": "ada",
        "event": "job.completed",
        "occurred_at": NOW,
        "data": {},
        "created_at": NOW,
        "updated_at": NOW,
        "expire_at": NOW + SECOND,
        **fields,
    }
    return WebhookDelivery(**given)


def hooked() -> Job:
    wants = WebhookSubscription(endpoint_id="we_1", events=("job.completed",))
    ignores = WebhookSubscription(endpoint_id="we_2", events=("job.failed",))
    return ended(webhooks=(wants, ignores))


def test_a_status_that_a_webhook_wants_has_its_delivery() -> None:
    found = books(hooked(), GRANT, CAPTURE)
    (wanted,) = found.list_wanted_deliveries()
    assert wanted == hashed_delivery_id("job_1", hooked().status_entry, "we_1")
    assert list_broken_rules(found) == [Rule.EVENTS]
    found = books(hooked(), GRANT, CAPTURE)
    found.put_delivery(delivery(wanted, wake_at=NOW))
    assert list_broken_rules(found) == []


def test_a_status_of_long_ago_misses_no_delivery() -> None:
    found = UserBooks("ada", events_since=NOW + SECOND)
    found.put_account(ACCOUNT)
    for document in (GRANT, CAPTURE):
        found.put_entry(document)
    found.put_job(hooked())
    assert list_broken_rules(found) == []


@pytest.mark.parametrize(
    ("state", "wake_at"), [(DeliveryState.PENDING, None), (DeliveryState.SUCCEEDED, NOW)]
)
def test_a_delivery_has_a_wake_time_as_long_as_it_is_pending(
    state: DeliveryState, wake_at: object
) -> None:
    found = books(ended(), GRANT, CAPTURE)
    found.put_delivery(delivery("d1", state=state, wake_at=wake_at))
    (violation,) = found.check()
    assert (violation.rule, violation.subject) == (Rule.EVENTS, "delivery d1")
