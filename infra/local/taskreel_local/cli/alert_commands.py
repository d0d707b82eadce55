"""`taskreel alerts`: the active alerts, and a test message."""

from __future__ import annotations

from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault


@click.group("alerts", cls=GroupWithDefault, default="list")
def alert_commands() -> None:
    """List the alerts of the system, and test the channel that gets them (admin)."""


@alert_commands.command("list")
@connected
def list_alerts(session: Session) -> None:
    """List the active alerts.

    The most severe come first; the last line names the host of the channel.
    """
    found = session.call("GET", "/api/alerts")
    session.show(found, lambda: _print_alerts(session, found))


def _print_alerts(session: Session, found: dict[str, Any]) -> None:
    from taskreel_local.cli.text_output import print_table

    rows = [
        (one["severity"], one["title"], one["subject"], one["since"][:16], one["text"])
        for one in found["alerts"]
    ]
    columns = ("severity", "alert", "of", "since (UTC)", "")
    print_table(session.console, columns, rows, nothing="No alert is active.")
    receiver = found["receiver"] or "none: ALERT_WEBHOOK_URL is not set"
    click.echo(f"\nSent to: {receiver}")


@alert_commands.command("test")
@connected
def test_alerts(session: Session) -> None:
    """Send a test message to the channel.

    Its address is ALERT_WEBHOOK_URL of the API. The exit status is 1 if the message is refused.
    """
    found = session.call("POST", "/api/alerts/test")
    answer = found["status"] or found["error"]
    word = "Delivered" if found["delivered"] else "Refused"
    session.show(found, lambda: click.echo(f"{word}: {answer}, after {found['milliseconds']} ms."))
    if not found["delivered"]:
        raise click.exceptions.Exit(1)
