"""Alerts for operators: their conditions, and when each is announced.

An alert is announced when its condition begins to hold, again every few hours while it holds, and
once more when it has ended. The stored state decides that, so that two sweeps announce it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field

from taskreel.domain.value import StoredValue, Value, accept_unknown, is_known

#: The id of the one document.
ALERT_STATE = "state"
#: A condition that has not been found for so long has ended: one that comes and goes is one alert.
RESOLVED_AFTER = timedelta(minutes=5)
#: An alert that lasts is announced again after that time.
REMINDED_AFTER = timedelta(hours=4)
#: The state is one document: so many alerts at most are in it.
MOST_ACTIVE = 50


class AlertKind(StrEnum):
    """The conditions. Those of Cloud Monitoring's policies have the same names."""

    OLDEST_OVERDUE = "oldest-overdue"
    OLDEST_WAITING = "oldest-waiting"
    ERROR_RATE = "error-rate"
    AMBIGUOUS_PURCHASE = "ambiguous-purchase"
    DEAD_LETTERS = "dead-letters"
    REPAIRS = "repairs"
    BREAKER_OPEN = "breaker-open"
    SPEND = "spend"
    SPEND_CAP = "spend-cap"
    SWEEP_LATE = "sweep-late"
    STORE_UNREACHABLE = "store-unreachable"
    BUCKET_UNREACHABLE = "bucket-unreachable"
    CREDITS = "credits"


class Severity(StrEnum):
    """The severities of Cloud Monitoring."""

    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class AlertThresholds(Value):
    """The values above which a condition holds; infra/monitoring has the same, a test compares."""

    oldest_overdue_seconds: float = Field(default=600, ge=60)
    oldest_waiting_seconds: float = Field(default=600, ge=60)
    #: The share of the last hour's jobs of a type that failed for other reasons than their request.
    error_rate: float = Field(default=0.2, gt=0, le=1)
    #: With fewer ended jobs the share says nothing.
    error_rate_min_jobs: int = Field(default=10, ge=1)
    ambiguous_purchases: int = Field(default=0, ge=0)
    #: Jobs that failed within an hour.
    dead_letters: int = Field(default=20, ge=0)
    repairs: int = Field(default=0, ge=0)
    #: The providers' charges of a day (UTC).
    spend_usd: float = Field(default=100, ge=0)
    #: As `app.services.SWEEP_LATE_SECONDS`.
    sweep_late_seconds: float = Field(default=300, ge=120)


@dataclass(frozen=True, slots=True)
class Condition:
    """The title of a condition, its severity, and the next step of an operator."""

    title: str
    severity: Severity
    advice: str


CONDITIONS: Mapping[AlertKind, Condition] = {
    AlertKind.OLDEST_OVERDUE: Condition(
        "Jobs have been due for long",
        Severity.ERROR,
        "A queue may be paused, or the processor down. See GET /api/jobs/health.",
    ),
    AlertKind.OLDEST_WAITING: Condition(
        "A job has waited long in its queue",
        Severity.ERROR,
        "The queue may be paused, slower than its jobs come, or the processor down. "
        "See GET /api/jobs/queues/stats.",
    ),
    AlertKind.ERROR_RATE: Condition(
        "Many jobs fail",
        Severity.ERROR,
        "GET /api/jobs/dead-letters groups the failures by cause.",
    ),
    AlertKind.AMBIGUOUS_PURCHASE: Condition(
        "A provider may have been paid twice or for nothing",
        Severity.WARNING,
        "Search for the job at the provider (dead letters, code ambiguous_create). Only an "
        "administrator may run it again, since that may buy the work once more.",
    ),
    AlertKind.DEAD_LETTERS: Condition(
        "Many jobs failed within an hour",
        Severity.WARNING,
        "GET /api/jobs/dead-letters groups them by cause and runs them again.",
    ),
    AlertKind.REPAIRS: Condition(
        "The sweep repaired jobs",
        Severity.WARNING,
        "Tasks were lost or workers died. After a deployment a few are normal.",
    ),
    AlertKind.BREAKER_OPEN: Condition(
        "A provider's model is paused after failures",
        Severity.WARNING,
        "GET /api/providers shows it; work goes to other providers where the job allows it.",
    ),
    AlertKind.SPEND: Condition(
        "Providers charged much today",
        Severity.WARNING,
        "GET /api/providers/performance shows each model's cost. ALERT_THRESHOLDS has the amount.",
    ),
    AlertKind.SPEND_CAP: Condition(
        "Most of a spend cap is spent",
        Severity.WARNING,
        "The event spend_alert in the log names the user or the project.",
    ),
    AlertKind.SWEEP_LATE: Condition(
        "The sweep is late",
        Severity.CRITICAL,
        "Lost tasks and dead workers are not repaired, and nothing scheduled starts. Read the log "
        "of the service `maintenance` and its schedule.",
    ),
    AlertKind.STORE_UNREACHABLE: Condition(
        "The store cannot be used",
        Severity.CRITICAL,
        "No job is accepted or run until it is back; nothing that is stored is lost.",
    ),
    AlertKind.BUCKET_UNREACHABLE: Condition(
        "The bucket cannot be reached",
        Severity.CRITICAL,
        "Results cannot be stored or read until it is back; jobs wait for it.",
    ),
    AlertKind.CREDITS: Condition(
        "Credits do not add up",
        Severity.CRITICAL,
        "granted is not available + held + captured + expired. `taskreel audit` names each "
        "difference and repairs what has one right answer.",
    ),
}


class Finding(Value):
    """A condition that holds now. `subject` tells several of a kind apart: a type, a breaker."""

    kind: AlertKind
    subject: str = ""
    text: str


class ActiveAlert(StoredValue):
    """A condition that holds, or has ended a short time ago."""

    kind: Annotated[AlertKind, accept_unknown(AlertKind)]
    subject: str = ""
    text: str
    since: datetime
    #: When it was found last.
    seen_at: datetime
    #: When it was announced last.
    announced_at: datetime


class Change(StrEnum):
    """The reason for which an alert is announced."""

    BEGUN = "begun"
    LASTS = "lasts"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Announcement:
    """An alert that is announced."""

    change: Change
    alert: ActiveAlert


class AlertState(StoredValue):
    """The state of all alerts: one document."""

    #: The end of the last sweep that could use the store.
    swept_at: datetime | None = None
    active: tuple[ActiveAlert, ...] = ()
    #: The account behind which the next check of balances goes on.
    checked_up_to: str | None = None
    #: Accounts whose balances did not add up: they are read at each check.
    wrong_accounts: tuple[str, ...] = ()

    def is_sweep_late(self, seconds: float, now: datetime) -> bool:
        """True when the last sweep ended longer ago; False where none has ended yet."""
        return self.swept_at is not None and now - self.swept_at > timedelta(seconds=seconds)

    def advance(
        self, findings: Iterable[Finding], now: datetime
    ) -> tuple[Self, tuple[Announcement, ...]]:
        """The state after these findings, and what is to be announced.

        Alerts of a kind that a newer revision has introduced stay as they are.
        """
        found = {(one.kind, one.subject): one for one in findings}
        active: list[ActiveAlert] = []
        announced: list[Announcement] = []
        for alert in self.active:
            finding = found.pop((alert.kind, alert.subject), None)
            if finding is not None:
                lasts = now - alert.announced_at >= REMINDED_AFTER
                alert = alert.model_copy(  # noqa: PLW2901 - its next state
                    update={
                        "text": finding.text,
                        "seen_at": now,
                        "announced_at": now if lasts else alert.announced_at,
                    }
                )
                if lasts:
                    announced.append(Announcement(Change.LASTS, alert))
            elif is_known(alert.kind) and now - alert.seen_at >= RESOLVED_AFTER:
                announced.append(Announcement(Change.ENDED, alert))
                continue
            active.append(alert)
        for finding in list(found.values())[: max(0, MOST_ACTIVE - len(active))]:
            alert = ActiveAlert(
                kind=finding.kind,
                subject=finding.subject,
                text=finding.text,
                since=now,
                seen_at=now,
                announced_at=now,
            )
            active.append(alert)
            announced.append(Announcement(Change.BEGUN, alert))
        return self.model_copy(update={"active": tuple(active)}), tuple(announced)
