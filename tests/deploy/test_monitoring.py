"""infra/monitoring: it uses names that the code emits, and is applied once."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from log_events import find_events, write_table
from taskreel.app.credits.accounts import AccountSums
from taskreel.app.records.store_metrics import DueReading, MetricsReading
from taskreel.web.metrics import build_families
from taskreel.web.prometheus import HistogramFamily

from .declarations import run_planner
from .fake_google import PROJECT, FakeGoogle

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "monitoring"
LOG_METRICS: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "log_metrics.yaml").read_text())[
    "metrics"
]
POLICIES: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "alert_policies.yaml").read_text())[
    "policies"
]
USER_METRIC = re.compile(r"logging_googleapis_com:user_(taskreel_[a-z_]+?)(_bucket|_sum)?\{")


def list_cloud_queries() -> list[str]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    charts = [tile["widget"]["xyChart"] for tile in dashboard["mosaicLayout"]["tiles"]]
    shown = [
        one["timeSeriesQuery"]["prometheusQuery"] for chart in charts for one in chart["dataSets"]
    ]
    return [*shown, *(policy["query"] for policy in POLICIES.values())]


@pytest.mark.parametrize("name", LOG_METRICS)
def test_a_log_metric_reads_events_and_fields_that_the_code_logs(name: str) -> None:
    metric, events = LOG_METRICS[name], find_events()
    actions = re.findall(r'jsonPayload\.action="([^"]+)"', metric["filter"])
    if not actions:
        assert name == "taskreel_out_of_memory"  # Cloud Run writes that line
        return
    logged = [
        {field for event, fields in events.items() if fnmatch(action, event) for field in fields}
        for action in actions
    ]
    assert all(any(fnmatch(action, event) for event in events) for action in actions), actions
    used = [metric["filter"], metric.get("value", ""), *metric.get("labels", {}).values()]
    fields = set(re.findall(r"jsonPayload\.(\w+)", " ".join(used))) - {"action"}
    for known in logged:
        assert fields <= known, f"{name} reads {fields - known}, which no event has"


def test_queries_read_declared_log_metrics_by_their_kind_and_labels() -> None:
    used = set()
    for query in list_cloud_queries():
        for name, suffix in USER_METRIC.findall(query):
            used.add(name)
            assert bool(suffix) == ("value" in LOG_METRICS[name]), query
            grouped = re.search(r"by \(([^)]*)\)", query)
            wanted = set(re.split(r",\s*", grouped[1])) if grouped else set()
            assert wanted - {"le", "service_name"} <= LOG_METRICS[name].get("labels", {}).keys()
    assert used == LOG_METRICS.keys()


def test_the_alerts_that_an_operator_needs_are_declared() -> None:
    assert POLICIES.keys() == {
        "sweep-fails",
        "oldest-overdue",
        "server-errors",
        "ambiguous-purchase",
        "bought-unstored",
        "dead-letters",
        "repairs",
        "out-of-memory",
        "breaker-open",
        "spend",
    }
    assert all(policy["todo"] and policy["title"] for policy in POLICIES.values())


def test_the_grafana_board_reads_metrics_that_the_api_serves() -> None:
    due = DueReading(pending=0, overdue=0, oldest_overdue_seconds=0.0)
    sums = AccountSums(
        users=0, available=0, held=0, captured=0, granted=0, expired=0, complete=True
    )
    at = datetime(2026, 11, 27, tzinfo=UTC)
    reading = MetricsReading(
        at=at,
        days=(),
        depth={},
        oldest_waiting={},
        due_jobs=due,
        due_deliveries=due,
        endpoints={},
        dead_letter_groups=0,
        breakers=(),
        credits=sums,
        credits_read_at=at,
    )
    served = {
        f"{family.name}_bucket" if isinstance(family, HistogramFamily) else family.name
        for family in build_families(reading)
    }
    board = json.loads((FOLDER / "grafana.json").read_text())
    expressions = [one["expr"] for panel in board["panels"] for one in panel["targets"]]
    used = set(re.findall(r"\btaskreel_\w+", " ".join(expressions)))
    assert used <= served
    # All that is served has its place on the board, but for the counters behind a panel's ratio.
    assert len(board["panels"]) >= 6


def test_the_table_of_log_events_is_that_of_the_code() -> None:
    """`python tests/log_events.py` prints it."""
    assert write_table() in (ROOT / "infra" / "README.md").read_text("utf-8")


# ── Applied to a project ─────────────────────────────────────────────────────────────────────────


def call(google: FakeGoogle, verb: str, folder: Path = FOLDER, **environ: str) -> list[str]:
    done = run_planner(
        "plan.monitoring",
        verb,
        PROJECT,
        "api.example",
        str(folder),
        TOKEN="fake",
        MONITORING_ENDPOINT=f"{google.address}/monitoring",
        LOGGING_ENDPOINT=f"{google.address}/logging",
        **environ,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_monitoring_is_made_once_compared_changed_and_removed(
    google: FakeGoogle, tmp_path: Path
) -> None:
    missing = call(google, "show")
    # One check, one dashboard.
    assert len(missing) == len(LOG_METRICS) + len(POLICIES) + 2
    assert all(line.startswith("create ") for line in missing)
    call(google, "apply")
    assert call(google, "show") == []
    google.writes.clear()
    call(google, "apply")
    assert google.writes == []

    folder = tmp_path / "monitoring"
    shutil.copytree(FOLDER, folder)
    text = (folder / "alert_policies.yaml").read_text()
    (folder / "alert_policies.yaml").write_text(text.replace("more than 100", "more than 500"))
    changed = text.replace("[1d])) > 100", "[1d])) > 500")
    assert changed != text
    (folder / "alert_policies.yaml").write_text(changed)
    assert call(google, "show", folder) == ["change alert policy spend"]
    call(google, "apply", folder)
    assert len(google.writes) == 1
    assert call(google, "show", folder) == []

    channel = f"projects/{PROJECT}/notificationChannels/1"
    assert len(call(google, "show", folder, NOTIFICATION_CHANNELS=channel)) == len(POLICIES)
    call(google, "apply", folder, NOTIFICATION_CHANNELS=channel)
    # Without the variable those that are set stay.
    assert call(google, "show", folder) == []

    assert len(call(google, "present")) == len(missing)
    call(google, "remove")
    assert (google.of("monitoring"), google.of("log_metrics")) == ({}, {})
    assert call(google, "present") == []


def test_a_policy_of_another_owner_is_never_changed(google: FakeGoogle) -> None:
    name = f"projects/{PROJECT}/alertPolicies/theirs"
    theirs = {"name": name, "displayName": "Taskreel: The sweep is not answered with 200"}
    google.of("monitoring")[name] = dict(theirs)
    call(google, "apply")
    call(google, "remove")
    assert google.of("monitoring") == {name: theirs}
