"""`taskreel stats`: jobs by status and type, and times, success and cost by day."""

from __future__ import annotations

from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected


@click.command("stats")
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 90), help="Period.")
@click.option("--owner", "user_id", metavar="USER", help="Count this user's stored jobs (admin).")
@connected
def show_statistics(session: Session, *, days: int, user_id: str | None) -> None:
    """Show jobs by status and type; by day their waits, runs, success and cost.

    Yours, or as an admin everybody's. With --json: {jobs, performance}.
    """
    found = {
        "jobs": session.call("GET", "/api/jobs/stats", days=days, user_id=user_id),
        "performance": session.call("GET", "/api/jobs/performance", days=days),
    }
    session.show(found, lambda: _print_statistics(session, found))


def _print_statistics(session: Session, found: dict[str, Any]) -> None:
    from taskreel_local.cli.text_output import (
        format_milliseconds,
        format_share,
        print_table,
        styled,
    )

    jobs = found["jobs"]
    owner = f"of {jobs['userId']}" if jobs["userId"] else "of all users"
    click.echo(f"Jobs {owner}\n")
    statuses = [(styled(name), f"{count:,}") for name, count in jobs["byStatus"].items()]
    print_table(session.console, ("status", ">jobs"), statuses, nothing="No jobs yet.")
    types = [(name, f"{count:,}") for name, count in jobs["byType"].items()]
    if types:
        click.echo()
        print_table(session.console, ("type", ">jobs"), types)
    rows = [
        (
            one["day"],
            one["jobType"],
            f"{one['submitted']:,}",
            f"{one['completed']:,}",
            one["failed"] or "",
            format_share(one["successRate"]),
            format_milliseconds(one["wait"]["p50"]),
            format_milliseconds(one["wait"]["p99"]),
            format_milliseconds(one["run"]["p50"]),
            format_milliseconds(one["run"]["p99"]),
            one.get("credits", ""),
            f"${one['costUsd']:.2f}" if one.get("costUsd") is not None else "",
        )
        for one in found["performance"]["days"]
    ]
    if rows:
        click.echo("\nBy day (UTC)\n")
        columns = (
            "day",
            "type",
            ">submitted",
            ">completed",
            ">failed",
            ">success",
            ">wait p50",
            ">p99",
            ">run p50",
            ">p99",
            ">credits",
            ">provider",
        )
        print_table(session.console, columns, rows)
