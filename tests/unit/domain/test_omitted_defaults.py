"""Fields that a stored document is without while they have their defaults."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from taskreel.app.indexes import FIRESTORE_INDEXES
from taskreel.domain import stored_record
from taskreel.domain.credits import EntryKind, LedgerEntry
from taskreel.domain.errors import Category
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_history import FailedAttempt, StatusChange
from taskreel.domain.job_status import Status
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.unit import UnitRun
from taskreel.domain.value import StoredValue

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)

#: Stored documents have these values although they do not show them: they never change.
DEFAULTS: dict[type[StoredValue | StoredRecord], dict[str, Any]] = {
    Job: {
        "priority": "normal",
        "round": 1,
        "delivery": 1,
        "tried": (),
        "steps": {},
        "index": 0,
        "burned": (),
        "accountShard": 0,
        "inProject": False,
        "inTotal": False,
        "units": (),
        "webhooks": (),
        "history": (),
        "spent": 0,
        "lineage": (),
        "redo": (),
        "operationIds": (),
        "waiters": (),
        "rescues": 0,
        "lostRuns": 0,
        "crashes": 0,
        "forgottenChanges": 0,
        "failedAttempts": (),
    },
    JobCredits: {"held": 0, "captured": 0, "released": 0},
    LedgerEntry: {"held": 0},
    StatusChange: {"attempt": 0},
    UnitRun: {
        "state": "todo",
        "artifacts": (),
        "waits": 0,
        "unfetched": 0,
        "costEstimated": False,
    },
    FailedAttempt: {"costEstimated": False},
    RetryPolicy: {
        "maxAttempts": 3,
        "minBackoffSeconds": 2.0,
        "maxBackoffSeconds": 300.0,
        "jitter": 0.2,
    },
}
#: They have values of their own forms.
NOT_CHANGED = {
    "tried",
    "failedAttempts",
    "artifacts",
    "jitter",
    "steps",
    "burned",
    "units",
    "webhooks",
    "history",
}
PLAIN: dict[type[StoredValue | StoredRecord], Any] = {
    Job: Job(
        job_id="job_a",
        job_type="image-generation",
        status=Status.QUEUED,
        user_id="ada",
        payload={},
        created_at=NOON,
        updated_at=NOON,
        status_at={Status.QUEUED: NOON},
    ),
    JobCredits: JobCredits(),
    LedgerEntry: LedgerEntry(
        entry_id="job_a.1", user_id="ada", kind=EntryKind.CAPTURE, amount=1, created_at=NOON
    ),
    StatusChange: StatusChange(status=Status.QUEUED, at=NOON),
    UnitRun: UnitRun(credits=1, provider="studio"),
    FailedAttempt: FailedAttempt(
        at=NOON, attempt=1, code="provider_down", category=Category.PROVIDER_DOWN, message="No."
    ),
    RetryPolicy: RetryPolicy(),
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_a_document_is_without_defaults_and_a_reader_restores_them(
    kind: Any,
) -> None:
    plain = PLAIN[kind]
    document = plain.document()
    assert not set(document) & set(DEFAULTS[kind])
    assert list_omitted(kind) == set(DEFAULTS[kind])
    assert kind.model_validate(document) == plain
    assert kind.model_validate({**document, **DEFAULTS[kind]}) == plain


def list_omitted(kind: Any) -> set[str]:
    """The stored names of the fields that are left out with a default other than None."""
    if issubclass(kind, StoredValue):
        return {kind.model_fields[name].alias or name for name in kind.omitted_defaults}
    fields = kind.reader().model_fields.values()
    named = {
        field.alias for field in fields if not field.is_required() and field.default is not None
    }
    # `retry` and `credits` are values that leave out their own defaults.
    return named - {*kind.written_defaults, "retry", "credits"}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_other_values_are_stored(kind: Any) -> None:
    others = {
        int: 7,
        float: 1.5,
        bool: True,
        str: "high",
        tuple: ("job_b",),
        dict: {"a": {"state": "done", "total": 1}},
    }
    changes = {
        name: others[type(value)]
        for name, value in DEFAULTS[kind].items()
        if name not in NOT_CHANGED
    }
    changed = kind.model_validate({**PLAIN[kind].document(), **changes})
    stored = changed.document()
    assert {name: stored[name] for name in changes if name != "operationIds"} == {
        name: value for name, value in changes.items() if name != "operationIds"
    }
    assert kind.model_validate(stored).document() == stored


def test_no_index_has_a_field_that_may_be_absent() -> None:
    indexed = {name for index in FIRESTORE_INDEXES for name, _ in index.fields}
    assert not indexed & {name for kind in (Job, LedgerEntry) for name in DEFAULTS[kind]}


def test_a_field_of_a_newer_revision_delays_only_the_records_that_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = PLAIN[Job].document() | {"units": (PLAIN[UnitRun].document() | {"newer": [1]},)}
    newer = Job.model_validate(document)
    slow: list[str] = []
    encode_fields = stored_record._encode_fields

    def note_kind(record: StoredRecord) -> dict[str, Any]:
        slow.append(type(record).__name__)
        return encode_fields(record)

    monkeypatch.setattr(stored_record, "_encode_fields", note_kind)
    assert newer.document() == document
    assert slow == ["Job", "UnitRun"]
    slow.clear()
    assert PLAIN[Job].document() == {name: document[name] for name in document if name != "units"}
    assert not slow


@pytest.mark.parametrize("kind", [Job, JobCredits, LedgerEntry, StatusChange, UnitRun])
def test_a_record_is_encoded_alike_with_and_without_fields_of_a_newer_revision(kind: Any) -> None:
    plain = PLAIN[kind]
    document = plain.document()
    encoded = kind.model_validate({**document, "newer": 1}).document()
    assert encoded == {**document, "newer": 1}
    assert {name: type(value) for name, value in encoded.items()} == {
        name: type(value) for name, value in {**document, "newer": 1}.items()
    }
