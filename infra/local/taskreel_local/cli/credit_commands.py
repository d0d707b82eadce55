"""`taskreel credits`: balances, the ledger, grants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.job_change_commands import parse_time


@click.group("credits", cls=GroupWithDefault, default="show")
def credit_commands() -> None:
    """Show balances and the ledger, and grant credits.

    \b
    taskreel credits                  your balance
    taskreel credits show USER        another user's (admin)
    """


@credit_commands.command("show")
@click.argument("user_id", metavar="[USER]", required=False)
@connected
def show_balance(session: Session, user_id: str | None) -> None:
    """Show a balance: yours, or as an admin another user's."""
    path = "/api/credits" if user_id is None else f"/api/credits/{quote(user_id, safe='')}"
    account = session.call("GET", path)
    if user_id is not None and not session.as_json and not _has_account(session, user_id):
        click.echo(
            f"There is no account of {user_id!r} yet: the first job or grant makes it, with "
            f"{account['available']:,} credits. taskreel users --prefix ... lists accounts."
        )
        return
    show_account(session, account)


def _has_account(session: Session, user_id: str) -> bool:
    """Search for the user in the list of accounts, which is in the order of their ids."""
    page = session.call("GET", "/api/accounts", prefix=user_id, limit=1)
    return any(one["userId"] == user_id for one in page["accounts"])


def show_account(session: Session, account: dict[str, Any]) -> None:
    """Show the balance of an account, and its open grants."""

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_distance

        expired = account.get("expired")
        click.echo(f"{account['userId']}: {account['available']:,} available")
        click.echo(
            f"{account['granted']:,} granted = {account['available']:,} available "
            f"+ {account['held']:,} held + {account['captured']:,} captured"
            + (f" + {expired:,} expired" if expired else "")
        )
        for grant in account.get("grants") or ():
            ends = format_distance(grant["expiresAt"])
            click.echo(
                f"  of a grant of {grant['amount']:,}: {grant['left']:,} unspent, "
                f"priority {grant['priority']}{f', ends {ends}' if ends else ''}"
            )

    session.show(account, show_text)


@credit_commands.command("ledger")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@click.option("--cursor", help="Go on after this nextCursor.")
@connected
def show_ledger(session: Session, *, limit: int, cursor: str | None) -> None:
    """List your grants, and the settlements of your jobs, the newest first."""
    page = session.call("GET", "/api/credits/ledger", limit=limit, cursor=cursor)

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_clock, print_table

        rows = [
            (
                format_clock(one["createdAt"]),
                one["kind"],
                f"{one['amount']:,}",
                f"{one['held']:,}" if one["held"] else "",
                one.get("jobId") or one.get("reason") or "",
                one.get("grantedBy", ""),
            )
            for one in page["entries"]
        ]
        columns = ("at", "kind", ">amount", ">of held", "job or reason", "by")
        print_table(session.console, columns, rows, nothing="Nothing was granted or settled.")

    session.show(page, show_text)


def grant_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the amount of a grant, and its options."""
    for add in (
        click.option(
            "--expires",
            metavar="TIME",
            help="The unspent rest expires: in 30d, or 2027-01-01T00:00.",
        ),
        click.option(
            "--priority", type=click.IntRange(1, 100), help="Smaller ones are spent first."
        ),
        click.option("--key", help="Idempotency-Key: the same key grants once."),
        click.option("--reason", help="A reason, for the ledger."),
        click.argument("amount", type=click.IntRange(1)),
    ):
        command = add(command)
    return command


@credit_commands.command("grant")
@click.argument("user_id", metavar="USER")
@grant_options
@connected
def grant_credits(session: Session, user_id: str, amount: int, **options: Any) -> None:
    """Grant a user credits (admin)."""
    send_grant(session, f"/api/credits/{quote(user_id, safe='')}/grants", amount, **options)


def send_grant(
    session: Session, path: str, amount: int, *, key: str | None, **options: Any
) -> None:
    """Grant credits to the account of a route, and show its balance."""
    from uuid import uuid4

    body: dict[str, Any] = {"amount": amount}
    for name in ("reason", "priority"):
        if options[name] is not None:
            body[name] = options[name]
    if options["expires"] is not None:
        body["expiresAt"] = parse_time(options["expires"]).isoformat()
    # A key of its own: a request whose answer is lost is sent again, and must not grant twice.
    show_account(session, session.call("POST", path, body, key=key or uuid4().hex))
