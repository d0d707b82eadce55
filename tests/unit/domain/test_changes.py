"""Stored values are changed by their known fields alone, each with a value of its type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from taskreel.domain.client_webhook import DeliveryState, WebhookDelivery, WebhookEndpoint
from taskreel.domain.erasure import Erasure
from taskreel.domain.operation import BulkAction, BulkOperation, JobFilter
from taskreel.domain.recurring_job import RecurringJob
from taskreel.domain.unit import UnitRun

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TIMES: dict[str, Any] = {"created_at": NOW, "updated_at": NOW}
DELIVERY = WebhookDelivery(
    delivery_id="d", endpoint_id="e", user_id="u", event="job.failed", occurred_at=NOW, data={},
    expire_at=NOW, **TIMES,
)  # fmt: skip
VALUES: list[Any] = [
    DELIVERY,
    WebhookEndpoint(endpoint_id="e", user_id="u", signing_keys=(), **TIMES),
    RecurringJob(
        recurring_job_id="r", user_id="u", job_type="t", payload={}, cron_expression="", **TIMES
    ),
    BulkOperation(
        operation_id="o", user_id="u", tier="free", action=BulkAction.CANCEL, filter=JobFilter(),
        limit=1, expire_at=NOW, **TIMES,
    ),
    Erasure(erasure_id="e", pseudonym="erased-e", ordered_by="a", reason="", **TIMES),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("change", [{"stat": "active"}, {"state": 3}, {"created_at": LATER}])
def test_a_wrong_name_or_type_is_refused(value: Any, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        value.with_changes(LATER, **change)


@pytest.mark.parametrize("data", [{1: "a"}, ["a"], "a"])
def test_an_object_has_texts_as_names(data: Any) -> None:
    unit = UnitRun(credits=1, provider="studio")
    with pytest.raises(ValidationError):
        unit.with_changes(data=data)
    assert unit.with_changes(data={"a": [1, {}]}).data == {"a": [1, {}]}


def test_a_right_change_is_made_at_its_time() -> None:
    changed = DELIVERY.with_changes(LATER, state=DeliveryState.FAILED, reason="gone")
    assert (changed.state, changed.reason, changed.updated_at) == ("failed", "gone", LATER)
