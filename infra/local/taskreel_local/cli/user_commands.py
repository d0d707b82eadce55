"""`taskreel users` and `audit-log`: accounts, limits and caps of users, and acts of admins."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from taskreel.domain.ids import MOST_SHARDS
from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.options import NUMBER_OR_NONE, read_changes, reason_option

_user = click.argument("user_id", metavar="USER")
_limit = click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
_cursor = click.option("--cursor", help="Go on after this nextCursor.")


@click.group("users", cls=GroupWithDefault, default="list")
def user_commands() -> None:
    """Show users' balances, jobs and limits; set their limits and spend caps (admin)."""


@user_commands.command("list")
@click.option("--prefix", default="", help="The beginning of the user's id.")
@_limit
@_cursor
@connected
def list_users(session: Session, *, prefix: str, limit: int, cursor: str | None) -> None:
    """List users with an account, by their ids. Projects: taskreel projects."""
    page = session.call("GET", "/api/accounts", prefix=prefix, limit=limit, cursor=cursor)

    def show_text() -> None:
        from taskreel_local.cli.text_output import print_table

        rows = [
            (
                one["userId"],
                one["tier"],
                *(f"{one[name]:,}" for name in ("available", "held", "captured")),
                one["active"] or "",
                one["waiting"] or "",
                _describe_limit(one),
                one["shards"] if one["shards"] > 1 else "",
            )
            for one in page["accounts"]
        ]
        columns = (
            "user",
            "tier",
            ">available",
            ">held",
            ">captured",
            ">running",
            ">waiting",
            "may run",
            ">shards",
        )
        print_table(session.console, columns, rows, nothing="There are no such accounts.")

    session.show(page, show_text)


def _describe_limit(account: dict[str, Any]) -> str:
    if account["activeJobs"] is None:
        return "any number"
    return f"{account['activeJobs']}{' (set by an admin)' if account['isOwn'] else ''}"


@user_commands.command("show")
@_user
@connected
def show_user(session: Session, user_id: str) -> None:
    """Show a user's balance, limit and spend. With --json: {balance, limit, caps}."""
    name = quote(user_id, safe="")
    found = {
        "balance": session.call("GET", f"/api/credits/{name}"),
        "limit": session.call("GET", f"/api/limits/{name}"),
        "caps": session.call("GET", f"/api/credits/{name}/caps"),
    }

    def show_text() -> None:
        balance, limit = found["balance"], found["limit"]
        click.echo(
            f"{user_id}: {balance['available']:,} credits available, {balance['held']:,} held, "
            f"{balance['captured']:,} captured"
        )
        click.echo(
            f"Jobs: {limit['active']} running, {limit['waiting']} waiting; "
            f"may run: {_describe_limit(limit)}"
        )
        print_caps(found["caps"])

    session.show(found, show_text)


def print_caps(caps: dict[str, Any]) -> None:
    """Print what a user or a project has spent of the caps of its day and month."""
    from taskreel_local.cli.text_output import format_credits

    for name in ("daily", "monthly"):
        cap = caps[name]
        most = "no cap" if cap["limit"] is None else f"of {cap['limit']:,}"
        when = f"on {cap['period']}" if name == "daily" else f"in {cap['period']}"
        click.echo(f"Spent {when}: {format_credits(cap['spent'])}, {most}")


@user_commands.command("limit")
@_user
@click.argument("jobs", metavar="JOBS|default")
@reason_option
@connected
def set_limit(session: Session, user_id: str, jobs: str, reason: str) -> None:
    """Set how many jobs a user may run at a time.

    `default` is the limit of the user's tier again.
    """
    if jobs != "default" and not jobs.isdecimal():
        raise click.UsageError("Give a number of jobs, or default.")
    body = {"activeJobs": None if jobs == "default" else int(jobs), "reason": reason}
    found = session.call("PUT", f"/api/limits/{quote(user_id, safe='')}", body)
    session.show(found, lambda: click.echo(f"{user_id} may run: {_describe_limit(found)}"))


@user_commands.command("shards")
@_user
@click.argument("shards", metavar="SHARDS", type=click.IntRange(1, MOST_SHARDS))
@reason_option
@connected
def set_shards(session: Session, user_id: str, shards: int, reason: str) -> None:
    """Divide a busy user's account among 1 to 16 documents.

    It is for one who submits more than 100 jobs a second. The user needs a limit of their own
    (taskreel users limit), and neither spend caps nor grants with an end of their own. 1 unites
    the account again.
    """
    body = {"shards": shards, "reason": reason}
    found = session.call("PUT", f"/api/accounts/{quote(user_id, safe='')}/shards", body)

    def show_text() -> None:
        if found["shards"] == 1:
            click.echo(f"{user_id}: new jobs go to one document")
        else:
            click.echo(f"{user_id}: new jobs are divided among {found['shards']} shards")
        if found["documents"] > found["shards"]:
            click.echo(
                f"{found['documents'] - found['shards']} more hold credits of jobs that run. "
                "Repeat this when they have ended."
            )

    session.show(found, show_text)


@user_commands.command("caps")
@_user
@click.option("--daily", type=NUMBER_OR_NONE, help="Credits a day (UTC), or none.")
@click.option("--monthly", type=NUMBER_OR_NONE, help="Credits a month, or none.")
@reason_option
@connected
def set_caps(
    session: Session, user_id: str, *, daily: str | None, monthly: str | None, reason: str
) -> None:
    """Set a user's spend caps; a job above one is refused. A cap that is not named stays."""
    changes = read_changes(daily=daily, monthly=monthly)
    path = f"/api/credits/{quote(user_id, safe='')}/caps"
    caps = session.call("GET", path)
    stored = {name: caps[name]["limit"] for name in ("daily", "monthly")}
    found = session.call("PUT", path, {**stored, **changes, "reason": reason})
    session.show(found, lambda: print_caps(found))


@user_commands.command("sums")
@connected
def show_sums(session: Session) -> None:
    """Add up the accounts of all users and projects. It reads each of them."""
    found = session.call("GET", "/api/accounts/sums")

    def show_text() -> None:
        from taskreel_local.cli.text_output import count_of

        click.echo(
            f"{count_of(found['users'], 'user')}, and all projects: "
            f"{found['granted']:,} granted = {found['available']:,} available "
            f"+ {found['held']:,} held + {found['captured']:,} captured"
            + (f" + {found['expired']:,} expired" if found["expired"] else "")
        )
        if not found["complete"]:
            click.echo("There are more accounts than one request adds up.")

    session.show(found, show_text)


@click.command("audit-log")
@click.option("--text", help="Only entries with this text in any field.")
@_limit
@_cursor
@connected
def show_audit(session: Session, *, text: str | None, limit: int, cursor: str | None) -> None:
    """List what admins did to queues, providers, limits and caps, the newest first (admin)."""
    page = session.call("GET", "/api/audit", text=text, limit=limit, cursor=cursor)

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_clock, print_table

        rows = [
            (format_clock(one["at"]), one["userId"], one["action"], one["subject"], one["reason"])
            for one in page["entries"]
        ]
        columns = ("at", "admin", "action", "subject", "reason")
        print_table(session.console, columns, rows, nothing="There are no such entries.")

    session.show(page, show_text)
