"""The messages of alerts, in the form of Slack's incoming webhooks.

Slack shows `blocks`. Mattermost, Rocket.Chat and Discord (`…/slack`) take the same JSON and show
`text`, which therefore has all of it, without markup: each writes bold otherwise. Google Chat
refuses fields that it does not know, and gets `text` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import to_json

from taskreel.domain.alerts import (
    CONDITIONS,
    ActiveAlert,
    AlertKind,
    Announcement,
    Change,
    Severity,
)

_GOOGLE_CHAT = "chat.googleapis.com"
#: Slack takes 50 blocks, 150 characters in a header and 3,000 in a section; Discord 2,000 in all.
_MOST_SHOWN = 5
_LONGEST_HEADER = 150
_LONGEST_TEXT = 300
_LONGEST_MESSAGE = 2000
_SIGNS = {Severity.WARNING: "🟡", Severity.ERROR: "🟠", Severity.CRITICAL: "🔴"}
_WORDS = {Change.BEGUN: "new", Change.LASTS: "still active", Change.ENDED: "resolved"}


def build_alert_body(
    url: str, announced: Sequence[Announcement], at: datetime, base_url: str
) -> str:
    """The JSON that announces alerts to the receiver at `url`."""
    parts = [
        f"{sum(one.change is change for one in announced)} {word}"
        for change, word in _WORDS.items()
        if any(one.change is change for one in announced)
    ]
    rows = [_describe_change(one) for one in announced[:_MOST_SHOWN]]
    if len(announced) > _MOST_SHOWN:
        rows.append((f"and {len(announced) - _MOST_SHOWN} more", ""))
    return _write_body(url, f"Taskreel alerts: {', '.join(parts)}", rows, at, base_url)


def build_test_body(url: str, at: datetime, base_url: str) -> str:
    """The JSON of a test message."""
    rows = [("Alerts of this deployment arrive here.", "")]
    return _write_body(url, "Taskreel: a test alert", rows, at, base_url)


def _describe_change(one: Announcement) -> tuple[str, str]:
    """The first line and the rest."""
    alert = one.alert
    condition = CONDITIONS[AlertKind(alert.kind)]
    subject = f" ({alert.subject})" if alert.subject else ""
    if one.change is Change.ENDED:
        return (
            f"✅ Resolved: {condition.title}{subject}",
            f"It began at {_write_time(alert.since)}.",
        )
    sign = _SIGNS[condition.severity]
    lasts = f" since {_write_time(alert.since)}" if one.change is Change.LASTS else ""
    head = f"{sign} {condition.severity}: {condition.title}{subject}{lasts}"
    return head, f"{_shorten_text(alert)} {condition.advice}"


def _shorten_text(alert: ActiveAlert) -> str:
    text = alert.text
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _write_body(
    url: str, title: str, rows: Sequence[tuple[str, str]], at: datetime, base_url: str
) -> str:
    foot = " · ".join(part for part in (_write_time(at), base_url) if part)
    lines = [title, *(f"{head}\n{rest}".strip() for head, rest in rows), foot]
    text = _escape_markup("\n".join(lines))
    if len(text) > _LONGEST_MESSAGE:
        text = f"{text[: _LONGEST_MESSAGE - 1]}…"
    body: dict[str, Any] = {"text": text}
    if urlsplit(url).hostname != _GOOGLE_CHAT:
        body["blocks"] = [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": title[:_LONGEST_HEADER]},
            },
            *(_build_section(head, rest) for head, rest in rows),
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escape_markup(foot)}]},
        ]
    return to_json(body).decode()


def _build_section(head: str, rest: str) -> dict[str, Any]:
    text = f"*{_escape_markup(head)}*\n{_escape_markup(rest)}".rstrip()
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _escape_markup(text: str) -> str:
    """Without Slack's markup: `<!channel>` in a name would call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _write_time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
