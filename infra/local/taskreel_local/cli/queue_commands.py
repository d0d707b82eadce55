"""`taskreel queues`: what waits, runs and fails; pause, resume and clear."""

from __future__ import annotations

from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.completions import JOB_TYPE
from taskreel_local.cli.options import reason_option, yes_option

_type = click.argument("job_type", metavar="TYPE", shell_complete=JOB_TYPE)


@click.group("queues", cls=GroupWithDefault, default="list")
def queue_commands() -> None:
    """Show the queues, one for each job type; pause, resume and clear them (admin)."""


@queue_commands.command("list")
@click.option("--all", "with_idle", is_flag=True, help="Also queues without jobs.")
@connected
def list_queues(session: Session, *, with_idle: bool) -> None:
    """Show what waits, runs and is delayed, and the last hour's failures and times."""
    found = session.call("GET", "/api/jobs/queues/stats")
    session.show(found, lambda: _print_queues(session, found["queues"], with_idle=with_idle))


def _print_queues(session: Session, queues: list[dict[str, Any]], *, with_idle: bool) -> None:
    from taskreel_local.cli.text_output import print_table

    shown = [one for one in queues if with_idle or is_used(one)]
    print_table(
        session.console,
        QUEUE_COLUMNS,
        [build_queue_row(one) for one in shown],
        nothing="No queue has or had a job in the last hour. With --all all queues are listed.",
    )


QUEUE_COLUMNS = (
    "type",
    "state",
    ">waiting",
    ">active",
    ">later",
    ">done/h",
    ">fail/h",
    ">wait",
    ">run",
)


def is_used(found: dict[str, Any]) -> bool:
    """True if a queue is paused, or has or had jobs."""
    counts = found["queue"]
    names = ("paused", "waiting", "active", "delayed", "completed", "failed")
    return any(counts[name] for name in names)


def build_queue_row(found: dict[str, Any]) -> tuple[object, ...]:
    """The cells of a queue."""
    from rich.text import Text

    from taskreel_local.cli.text_output import format_milliseconds

    counts, speed = found["queue"], found["performance"]
    return (
        found["jobType"],
        Text("paused", style="yellow") if counts["paused"] else "",
        *(f"{counts[name]:,}" if counts[name] else "" for name in ("waiting", "active", "delayed")),
        f"{counts['completed']:,}" if counts["completed"] else "",
        Text(f"{counts['failed']:,}", style="red") if counts["failed"] else "",
        format_milliseconds(speed["avgWaitTime"]),
        format_milliseconds(speed["avgProcessingTime"]),
    )


@queue_commands.command("pause")
@_type
@reason_option
@yes_option
@connected
def pause_queue(session: Session, job_type: str, reason: str, *, yes: bool) -> None:
    """Start no more jobs of TYPE; they are still accepted, and running ones go on."""
    session.confirm(
        f"No job of {job_type} of any user on {session.target.name} starts until the queue is "
        "resumed.",
        yes=yes,
    )
    _set_pause(session, job_type, "pause", reason)


@queue_commands.command("resume")
@_type
@reason_option
@connected
def resume_queue(session: Session, job_type: str, reason: str) -> None:
    """Start the jobs of TYPE again."""
    _set_pause(session, job_type, "resume", reason)


def _set_pause(session: Session, job_type: str, act: str, reason: str) -> None:
    found = session.call("POST", f"/api/jobs/queues/{job_type}/{act}", {"reason": reason})
    state = "paused" if found["paused"] else "running"
    session.show(
        found, lambda: click.echo(f"{found['queue']} is {state}; tasks on it: {found['depth']:,}.")
    )


@queue_commands.command("clear")
@_type
@reason_option
@yes_option
@click.option("--dry-run", is_flag=True, help="Only say what it would do.")
@connected
def clear_queue(session: Session, job_type: str, reason: str, *, yes: bool, dry_run: bool) -> None:
    """Cancel the jobs of TYPE that wait, and release their credits. Running jobs go on."""
    path = f"/api/jobs/queues/{job_type}/clear"
    planned = session.call("DELETE", path, {"reason": reason}, dry_run=True)
    more = "more than " if planned["more"] else ""
    if dry_run:
        session.show(planned, lambda: _print_cleared(planned))
        return
    session.confirm(
        f"Cancel the waiting jobs of {job_type} of all users on {session.target.name}: "
        f"{more}{planned['cancelled']:,} jobs, {planned['refunded']:,} credits released.",
        yes=yes,
    )
    total = {"cancelled": 0, "refunded": 0}
    while True:
        cleared = session.call("DELETE", path, {"reason": reason})
        for name in total:
            total[name] += cleared[name]
        if not cleared["more"]:
            break
    session.show({**cleared, **total}, lambda: _print_cleared({**cleared, **total}))


def _print_cleared(found: dict[str, Any]) -> None:
    from taskreel_local.cli.text_output import count_of, format_credits

    verb = "Would be cancelled" if found["dryRun"] else "Cancelled"
    click.echo(
        f"{verb}: {count_of(found['cancelled'], 'job')}. "
        f"Released: {format_credits(found['refunded'])}. Still running: {found['running']:,}."
    )
