"""`taskreel operations`: one action on every job that a filter means, in the background."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.job_filters import job_filters
from taskreel_local.cli.job_input import has_index, parse_input
from taskreel_local.cli.options import reason_option, yes_option

_ACTIONS = ("cancel", "retry", "replay", "delete")
_MOST_JOBS = 100_000
_PATH = "/api/operations"


@click.group("operations", cls=GroupWithDefault, default="list")
def operation_commands() -> None:
    """Cancel, retry, replay or delete every job that a filter means.

    \b
    taskreel operations                                    those of yours, and their progress
    taskreel operations start cancel --status SCHEDULED    says how many, then asks
    """


@operation_commands.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@click.option("--cursor", help="Go on after this nextCursor.")
@connected
def list_operations(session: Session, *, limit: int, cursor: str | None) -> None:
    """List your bulk operations, the newest first."""
    page = session.call("GET", _PATH, limit=limit, cursor=cursor)

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_distance, print_table

        rows = [
            (
                one["operationId"],
                one["action"],
                one["state"],
                f"{one['changed']:,}",
                f"{one['refused']:,}",
                format_distance(one["createdAt"]),
                _describe_filter(one["filter"]),
            )
            for one in page["operations"]
        ]
        columns = ("operation", "action", "state", ">changed", ">refused", "created", "jobs")
        print_table(session.console, columns, rows, nothing="There are no bulk operations.")

    session.show(page, show_text)


@operation_commands.command("show")
@click.argument("operation_id", metavar="OPERATION")
@connected
def show_operation(session: Session, operation_id: str) -> None:
    """Show an operation's progress, and the first jobs that it refused."""
    _show(session, session.call("GET", f"{_PATH}/{quote(operation_id, safe='')}"))


@operation_commands.command("abort")
@click.argument("operation_id", metavar="OPERATION")
@yes_option
@connected
def abort_operation(session: Session, operation_id: str, *, yes: bool) -> None:
    """Stop an operation; what it has changed stays changed."""
    session.confirm(f"Stop {operation_id}; what it has changed stays changed.", yes=yes)
    _show(session, session.call("POST", f"{_PATH}/{quote(operation_id, safe='')}/abort"))


@operation_commands.command("start")
@click.argument("action", type=click.Choice(_ACTIONS), metavar="ACTION")
@click.argument("words", metavar="[CHANGE]...", nargs=-1)
@job_filters
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, _MOST_JOBS))
@reason_option
@click.option("--dry-run", is_flag=True, help="Only say what would be changed, at what cost.")
@yes_option
@connected
def start_operation(
    session: Session,
    action: str,
    words: tuple[str, ...],
    *,
    limit: int,
    dry_run: bool,
    yes: bool,
    **options: Any,
) -> None:
    """Start an ACTION on every job that the filters mean: yours, or as an admin everybody's.

    ACTION is cancel, retry, replay or delete. A replay takes CHANGEs of the payload, such as
    provider=openai. It first says how many jobs it means, why not others, and what they hold;
    it goes on when this command has ended.
    """
    wanted = {name: _write(options[option]) for option, name in _NAMES.items() if options[option]}
    if not wanted:
        raise click.UsageError("Give a filter: --status, --type, --owner or another.")
    if any(map(has_index, words)):
        raise click.UsageError("An entry of a list is another one in each job: give a whole list.")
    if words and action != "replay":
        raise click.UsageError(f"Only a replay takes changes, not {action}.")
    order = {"action": action, "filter": wanted, "limit": limit, "reason": options["reason"]}
    if words:
        order["edit"] = parse_input(words)
    planned = session.call("POST", _PATH, {**order, "dryRun": True})
    if dry_run or not planned["eligible"]:
        session.show(planned, lambda: _print_forecast(action, planned))
        return
    if not yes:
        _print_forecast(action, planned, err=True)
    session.confirm(_say_effect(action, planned), yes=yes)
    _show(session, session.call("POST", _PATH, order))


_NAMES = {
    "status": "status",
    "job_type": "jobType",
    "project_id": "projectId",
    "user_id": "userId",
    "provider": "provider",
    "text": "text",
    "created_after": "createdAfter",
    "created_before": "createdBefore",
}


def _write(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _say_effect(action: str, planned: dict[str, Any]) -> str:
    if action == "cancel":
        return "They end; what is done is charged, the rest of their credits goes back."
    if action == "delete":
        return "They are removed with their files, for good."
    return f"They start, and hold {planned['cost']:,} credits of their owners."


def _print_forecast(action: str, planned: dict[str, Any], *, err: bool = False) -> None:
    from taskreel_local.cli.text_output import count_of

    least = "" if planned["complete"] else "at least "
    click.echo(f"{action}: {least}{count_of(planned['eligible'], 'job')}.", err=err)
    for reason, number in planned["reasons"].items():
        click.echo(f"  not {count_of(number, 'job')}: {reason}", err=err)


def _show(session: Session, operation: dict[str, Any]) -> None:
    def show_text() -> None:
        from taskreel_local.cli.text_output import count_of, format_credits

        click.echo(
            f"{operation['operationId']}: {operation['action']}, {operation['state']}; "
            f"{count_of(operation['changed'], 'job')} changed, {operation['refused']:,} refused, "
            f"{format_credits(operation['cost'])} held"
        )
        for one in operation["refusedJobs"]:
            click.echo(f"  not {one['jobId']}: {one['reason']}")
        if operation["state"] == "running":
            click.echo(f"It goes on: taskreel operations show {operation['operationId']}")

    session.show(operation, show_text)


def _describe_filter(found: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in found.items()
    )
