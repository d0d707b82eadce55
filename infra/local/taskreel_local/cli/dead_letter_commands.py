"""`taskreel dead-letters`: failures by their cause, and another round for many jobs at once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.completions import FINGERPRINT, JOB_TYPE
from taskreel_local.cli.job_filters import MOMENT
from taskreel_local.cli.options import yes_option


@click.group("dead-letters", cls=GroupWithDefault, default="list")
def dead_letter_commands() -> None:
    """Show failed jobs by the cause of their failure, and try them again.

    \b
    taskreel dead-letters                      what fails, how often, since when
    taskreel dead-letters redrive 3f9a…        which jobs that means and what they cost, then asks
    taskreel retry JOB                         tries a single job again
    """


@dead_letter_commands.command("list")
@click.option("--type", "job_type", metavar="TYPE", shell_complete=JOB_TYPE, help="Only this type.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@connected
def list_groups(session: Session, *, job_type: str | None, limit: int) -> None:
    """List the kinds of failures, the newest first (admin)."""
    found = session.call("GET", "/api/jobs/dead-letters", job_type=job_type, limit=limit)

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_distance, print_table

        rows = [
            (
                one["fingerprint"],
                f"{one['open']:,}",
                f"{one['seen']:,}",
                format_distance(one["lastSeenAt"]),
                one["jobType"],
                one["servedBy"] or "",
                f"{one['code']}: {one['message']}",
            )
            for one in found["groups"]
        ]
        columns = ("cause", ">open", ">seen", "last", "type", "served by", "error")
        print_table(session.console, columns, rows, nothing="No job has failed.")
        if rows:
            session.say("\nTry those of a cause again: taskreel dead-letters redrive CAUSE")

    session.show(found, show_text)


@dead_letter_commands.command("redrive")
@click.argument("fingerprint", metavar="[CAUSE]", required=False, shell_complete=FINGERPRINT)
@click.option("--type", "job_type", metavar="TYPE", shell_complete=JOB_TYPE, help="Only this type.")
@click.option("--owner", "user_id", metavar="USER", help="Only this user's (admin).")
@click.option("--code", help="Only failures with this code.")
@click.option("--since", "created_after", type=MOMENT, help="Created since: 2h, 3d, 2026-11-26.")
@click.option("--until", "created_before", type=MOMENT, help="Created until.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100))
@click.option("--dry-run", is_flag=True, help="Only say what would be tried again, at what cost.")
@yes_option
@connected
def redrive_jobs(session: Session, *, limit: int, dry_run: bool, yes: bool, **filters: Any) -> None:
    """Try failed jobs again: those of a CAUSE, or that other filters mean.

    It first says how many, which not and why, and what it costs.
    """
    wanted = {
        _NAMES[name]: value.isoformat() if isinstance(value, datetime) else value
        for name, value in filters.items()
        if value is not None
    }
    if not wanted:
        raise click.UsageError("Name a cause (taskreel dead-letters), or give a filter.")
    path = "/api/jobs/dead-letters/redrive"
    planned = session.call("POST", path, {**wanted, "limit": limit, "dryRun": True})
    if dry_run or not planned["eligible"]:
        session.show(planned, lambda: _print_outcome(planned))
        return
    if not yes:
        _print_outcome(planned, err=True)
    session.confirm(
        f"They start again and hold {planned['cost']:,} credits of their owners.", yes=yes
    )
    found = session.call("POST", path, {**wanted, "limit": limit, "dryRun": False})
    session.show(found, lambda: _print_outcome(found))


_NAMES = {
    "fingerprint": "fingerprint",
    "job_type": "jobType",
    "user_id": "userId",
    "code": "code",
    "created_after": "createdAfter",
    "created_before": "createdBefore",
}


def _print_outcome(found: dict[str, Any], *, err: bool = False) -> None:
    from taskreel_local.cli.text_output import count_of, format_credits

    verb = "would start again:" if found["dryRun"] else "started again:"
    click.echo(
        f"{count_of(found['eligible'], 'job')} {verb} {format_credits(found['cost'])}.", err=err
    )
    for job_id in found["jobIds"]:
        click.echo(f"  {job_id}", err=err)
    for one in found["refused"]:
        click.echo(f"  not {one['jobId']}: {one['reason']}", err=err)
