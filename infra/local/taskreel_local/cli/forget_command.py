"""`taskreel forget`: erase a person from a deployment or a stack, and write the report of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from taskreel_local.cli.api_command import Session, connected

#: Between two orders while a provider stops the person's work.
_WAIT_SECONDS = 5.0
#: A reading that finds something new begins again; then somebody must withdraw the sign-in.
_MOST_ROUNDS = 3


@click.command("forget")
@click.argument("user_id", metavar="USER")
@click.option("--dry-run", is_flag=True, help="Count what there is; change nothing.")
@click.option("--reason", default="", help="A reason, for the audit log; it should name no person.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file too, as JSON.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def forget_user(
    session: Session, user_id: str, *, dry_run: bool, reason: str, report: Path | None, yes: bool
) -> None:
    """Erase everything of a person, and prove it (admin).

    Jobs with their files, uploads, schedules, webhooks, templates and operations are removed;
    the account's sums, the ledger, the audit log and projects go on under a pseudonym. Then every
    document and every path of the bucket is read again. Interrupted, the same command goes on.
    Withdraw the person's sign-in first.
    """
    path = f"/api/accounts/{quote(user_id, safe='')}/erasure"
    forecast = session.call("POST", path, {"dryRun": True})
    if dry_run:
        session.show(forecast, lambda: _print_forecast(forecast))
        return
    if not session.as_json:
        _print_forecast(forecast)
    session.confirm(f"Everything of {user_id} is erased, for ever.", yes=yes)
    found = _erase(session, path, {"dryRun": False, "reason": reason})
    if report is not None:
        report.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    session.show(found, lambda: _print_report(found))
    if found["phase"] != "done":
        raise click.exceptions.Exit(1)


def _erase(session: Session, path: str, order: dict[str, Any]) -> dict[str, Any]:
    """Send the order until it is done, or new things were found too often."""
    while True:
        found: dict[str, Any] = session.call("POST", path, order)
        if found["phase"] == "done" or found["rounds"] > _MOST_ROUNDS:
            return found
        if found["waiting"]:
            session.say(f"{found['waiting']} jobs are being stopped at their providers…")
            time.sleep(_WAIT_SECONDS)


def _print_forecast(forecast: dict[str, Any]) -> None:
    _print_counts("Would be removed", forecast["removed"])
    _print_counts("Would go on under a pseudonym", forecast["pseudonymised"])
    _print_project_hint(forecast)


def _print_counts(title: str, counts: dict[str, int]) -> None:
    shown = ", ".join(_format_count(name, number) for name, number in sorted(counts.items()))
    click.echo(f"{title}: {shown or 'nothing'}")


def _format_count(name: str, number: int) -> str:
    """`1 recurring job` for one document of `recurring_jobs`."""
    from taskreel_local.cli.text_output import count_of

    if name in _NOUNS:
        return f"{number:,} {_NOUNS[name][number != 1]}"
    return count_of(number, name.removesuffix("s").replace("_", " "))


#: Of collections whose name is no plural: the nouns for one and for more.
_NOUNS = {
    "audit": ("audit entry", "audit entries"),
    "ledger": ("ledger entry", "ledger entries"),
    "webhook_deliveries": ("webhook delivery", "webhook deliveries"),
}


def _print_project_hint(found: dict[str, Any]) -> None:
    """Tell what becomes of projects, which belong to all their members."""
    if found["pseudonymised"].get("projects"):
        click.echo(
            "Projects stay with their members. Where the person is the owner, an admin of the "
            "project can name another: PUT /api/projects/PROJECT/owner."
        )


def _print_report(found: dict[str, Any]) -> None:
    proof = found["proof"]
    _print_counts("Removed", found["removed"])
    _print_counts(f"Now of {found['pseudonym']}", found["pseudonymised"])
    _print_project_hint(found)
    if found["phase"] != "done":
        _print_counts("Found again", proof["found"])
        click.echo("Something still writes for this person: withdraw the sign-in, then go on.")
        return
    click.echo(
        f"Proof: {proof['documents']:,} documents and {proof['files']:,} paths were read; "
        "none names the person."
    )
    if proof["mentions"]:
        _print_counts("Content of others that contains the id as a word", proof["mentions"])
    click.echo(f"Report: {found['erasureId']}")
