"""The conditions of alerts, and that Cloud Monitoring's policies have the same conditions."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskreel.app.alerts.message import build_alert_body
from taskreel.app.services import SWEEP_LATE_SECONDS
from taskreel.domain.alerts import (
    CONDITIONS,
    MOST_ACTIVE,
    REMINDED_AFTER,
    AlertKind,
    AlertState,
    AlertThresholds,
    Announcement,
    Change,
    Finding,
)

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICIES = Path(__file__).parents[3] / "infra/monitoring/alert_policies.yaml"
REPAIRS = Finding(kind=AlertKind.REPAIRS, text="3 in the last 20 minutes.")


def list_changes(announced: tuple[Announcement, ...]) -> list[Change]:
    return [one.change for one in announced]


def test_an_alert_begins_once_is_reminded_of_and_ends_once() -> None:
    state, first = AlertState().advance([REPAIRS], NOW)
    assert list_changes(first) == [Change.BEGUN]
    at = NOW
    reminders = 0
    while at < NOW + 2 * REMINDED_AFTER:
        at += MINUTE
        state, again = state.advance([REPAIRS], at)
        reminders += list_changes(again) == [Change.LASTS]
    assert reminders == 2
    state, gone = state.advance([], at + MINUTE)
    assert gone == ()
    assert len(state.active) == 1
    state, ended = state.advance([], at + 5 * MINUTE)
    assert list_changes(ended) == [Change.ENDED]
    assert state.active == ()


def test_a_condition_that_comes_and_goes_within_minutes_is_one_alert() -> None:
    state, _ = AlertState().advance([REPAIRS], NOW)
    for minute in range(1, 30):
        found = [REPAIRS] if minute % 4 == 0 else []
        state, announced = state.advance(found, NOW + minute * MINUTE)
        assert announced == ()


def test_alerts_of_one_kind_are_told_apart_and_are_a_bounded_number() -> None:
    found = [
        Finding(kind=AlertKind.BREAKER_OPEN, subject=f"p.m{number}", text="It failed.")
        for number in range(MOST_ACTIVE + 10)
    ]
    state, announced = AlertState().advance(found, NOW)
    assert len(announced) == len(state.active) == MOST_ACTIVE


def test_an_alert_of_a_newer_revision_is_retained() -> None:
    stored = AlertState.model_validate(
        {
            "active": [
                {
                    "kind": "moon-missing",
                    "text": "It is gone.",
                    "since": NOW,
                    "seenAt": NOW,
                    "announcedAt": NOW,
                }
            ]
        }
    )
    state, announced = stored.advance([], NOW + timedelta(days=1))
    assert announced == ()
    assert state.document()["active"][0]["kind"] == "moon-missing"


def build_body(url: str, *findings: Finding) -> dict[str, Any]:
    _, announced = AlertState().advance(findings, NOW)
    body: dict[str, Any] = json.loads(build_alert_body(url, announced, NOW, "https://jobs.example"))
    return body


def test_the_message_is_within_slacks_limits_and_mentions_no_user() -> None:
    found = [Finding(kind=kind, subject="<!channel> & co", text="x" * 5000) for kind in CONDITIONS]
    body = build_body("https://hooks.slack.com/services/T/B/x", *found)
    assert set(body) == {"text", "blocks"}
    assert "<!channel>" not in json.dumps(body)
    assert "&lt;!channel&gt; &amp; co" in body["text"]
    assert len(body["text"]) <= 2000  # Discord's limit
    assert len(body["blocks"]) <= 50
    header, *sections, context = body["blocks"]
    assert header["text"]["type"] == "plain_text"
    assert len(header["text"]["text"]) <= 150
    assert all(0 < len(one["text"]["text"]) <= 3000 for one in sections)
    assert context["elements"][0]["text"] == "2026-11-27 09:00 UTC · https://jobs.example"


def test_google_chat_gets_the_text_alone() -> None:
    body = build_body("https://chat.googleapis.com/v1/spaces/A/messages?key=k&token=t", REPAIRS)
    assert set(body) == {"text"}
    assert "WARNING: The sweep repaired jobs" in body["text"]


SHARED = {
    "oldest-overdue": "oldest_overdue_seconds",
    "ambiguous-purchase": "ambiguous_purchases",
    "dead-letters": "dead_letters",
    "repairs": "repairs",
    "spend": "spend_usd",
}


@pytest.mark.parametrize("name", SHARED)
def test_cloud_monitoring_has_the_same_threshold_and_severity(name: str) -> None:
    policy = yaml.safe_load(POLICIES.read_text("utf-8"))["policies"][name]
    threshold = re.search(r"> ([\d.]+)$", policy["query"].strip())
    assert threshold is not None
    assert float(threshold[1]) == getattr(AlertThresholds(), SHARED[name])
    assert policy["severity"] == CONDITIONS[AlertKind(name)].severity


def test_the_health_check_has_the_same_threshold_of_a_late_sweep() -> None:
    assert AlertThresholds().sweep_late_seconds == SWEEP_LATE_SECONDS


def test_each_policy_that_the_stack_can_see_is_a_condition_of_its_own() -> None:
    policies = set(yaml.safe_load(POLICIES.read_text("utf-8"))["policies"])
    # Of Cloud Run alone, or of lines that no rollup counts; a failed sweep is late.
    elsewhere = {"server-errors", "out-of-memory", "bought-unstored", "sweep-fails"}
    assert policies - elsewhere <= {str(kind) for kind in AlertKind}
