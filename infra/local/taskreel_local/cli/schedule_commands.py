"""`taskreel schedules`: requests that are submitted at the times of a cron expression."""

from __future__ import annotations

from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.completions import JOB_TYPE, SCHEDULE
from taskreel_local.cli.job_commands import show_made_job
from taskreel_local.cli.job_input import INPUT_HELP, parse_input, upload_files
from taskreel_local.cli.options import yes_option

_PATH = "/api/jobs/recurring"
_schedule = click.argument("schedule_id", metavar="SCHEDULE", shell_complete=SCHEDULE)


@click.group("schedules", cls=GroupWithDefault, default="list")
def schedule_commands() -> None:
    """Show, create, pause, resume, run, take over and delete recurring jobs."""


@schedule_commands.command("list")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100))
@click.option("--cursor", help="Go on after this nextCursor.")
@click.option("--all-users", is_flag=True, help="Those of everybody (admin).")
@click.option("--project", "project_id", help="Those of all members and API keys of a project.")
@connected
def list_schedules(
    session: Session,
    *,
    limit: int,
    cursor: str | None,
    all_users: bool,
    project_id: str | None,
) -> None:
    """List your recurring jobs, the newest first."""
    page = session.call(
        "GET",
        _PATH,
        limit=limit,
        cursor=cursor,
        all_users=all_users or None,
        project_id=project_id,
    )

    def show_text() -> None:
        from taskreel_local.cli.text_output import find_prompt, format_distance, print_table

        rows = [
            (
                one["recurringJobId"],
                one["state"],
                one["jobType"],
                one["schedule"],
                format_distance(one["nextRuns"][0]) if one["nextRuns"] else "",
                one["submitted"],
                one["skipped"] + one["refused"] or "",
                find_prompt(one["data"]),
            )
            for one in page["recurringJobs"]
        ]
        columns = ("schedule", "state", "type", "runs", "next", ">made", ">not made", "prompt")
        print_table(session.console, columns, rows, nothing="There are no recurring jobs.")

    session.show(page, show_text)


@schedule_commands.command("show")
@_schedule
@connected
def show_schedule(session: Session, schedule_id: str) -> None:
    """Show a recurring job, its next runs and its newest ones."""
    found = session.call("GET", f"{_PATH}/{schedule_id}")

    def show_text() -> None:
        import json

        from taskreel_local.cli.text_output import format_clock, print_table

        click.echo(f"{found['jobType']} {schedule_id}  {found['state']}")
        if found.get("pauseReason"):
            click.echo(found["pauseReason"])
        click.echo(f"{found['schedule']} ({found['cronExpression']}, {found['timeZone']})")
        click.echo(json.dumps(found["data"], ensure_ascii=False))
        if found["nextRuns"]:
            click.echo(f"\nNext: {', '.join(map(format_clock, found['nextRuns']))}\n")
        rows = [
            (format_clock(run["dueAt"]), run["result"], run.get("jobId", ""), run.get("reason", ""))
            for run in found["runs"]
        ]
        columns = ("due", "result", "job", "reason")
        print_table(session.console, columns, rows, nothing="It has not run yet.")

    session.show(found, show_text)


@schedule_commands.command(
    "create",
    help=f"""Submit a request of TYPE at each time of the expression CRON.
    {INPUT_HELP}
    \b
    Example:
      taskreel schedules create "0 9 * * MON-FRI" image-generation prompt="The picture of the day"
    """,
)
@click.argument("cron")
@click.argument("job_type", metavar="TYPE", shell_complete=JOB_TYPE)
@click.argument("words", metavar="[INPUT]...", nargs=-1)
@click.option("--zone", "time_zone", default="UTC", show_default=True, help="Time zone of CRON.")
@click.option(
    "--overlap",
    type=click.Choice(["skip", "queue", "replace"]),
    default="skip",
    show_default=True,
    help="Of a run that is due while the last one's job has not ended.",
)
@connected
def create_schedule(
    session: Session, cron: str, job_type: str, words: tuple[str, ...], **options: str
) -> None:
    """Create a recurring job."""
    from uuid import uuid4

    _check_order(cron, job_type)
    body = {
        "jobType": job_type,
        "data": upload_files(session.client, parse_input(words)),
        "cronExpression": cron,
        "timeZone": options["time_zone"],
        "options": {"overlap": options["overlap"]},
    }
    _show_state(session, session.call("POST", _PATH, body, key=uuid4().hex))


def _check_order(cron: str, job_type: str) -> None:
    """Raise UsageError for an expression behind the type, or one that the shell has divided."""
    if _is_expression(cron):
        return
    if _is_expression(job_type):
        raise click.UsageError(
            "The expression CRON comes first, and TYPE behind it: "
            f'taskreel schedules create "{job_type}" {cron} …'
        )
    raise click.UsageError(
        f"CRON is {cron!r}, which is no cron expression. Write its five fields between quotes, "
        'such as "0 9 * * MON-FRI", or @daily.'
    )


def _is_expression(text: str) -> bool:
    """True for several fields, or an alias such as @daily; no job type has that form."""
    return len(text.split()) > 1 or text.startswith("@")


@schedule_commands.command("pause")
@_schedule
@connected
def pause_schedule(session: Session, schedule_id: str) -> None:
    """Make no more runs until it is resumed."""
    _show_state(session, session.call("POST", f"{_PATH}/{schedule_id}/pause"))


@schedule_commands.command("resume")
@_schedule
@connected
def resume_schedule(session: Session, schedule_id: str) -> None:
    """Make runs again; those missed meanwhile are not made up for."""
    _show_state(session, session.call("POST", f"{_PATH}/{schedule_id}/resume"))


@schedule_commands.command("take-over")
@_schedule
@connected
def take_over_schedule(session: Session, schedule_id: str) -> None:
    """Make a recurring job of a project yours, as one of its admins.

    It goes on if it was paused because its API key had been revoked.
    """
    _show_state(session, session.call("POST", f"{_PATH}/{schedule_id}/take-over"))


@schedule_commands.command("delete")
@_schedule
@yes_option
@connected
def delete_schedule(session: Session, schedule_id: str, *, yes: bool) -> None:
    """Delete a recurring job; the jobs that it has submitted stay."""
    found = session.call("GET", f"{_PATH}/{schedule_id}")
    session.confirm(f"Delete {schedule_id}: {found['jobType']}, {found['schedule']}.", yes=yes)
    deleted = session.call("DELETE", f"{_PATH}/{schedule_id}")
    session.show(deleted, lambda: click.echo(f"{schedule_id} is deleted."))


@schedule_commands.command("run")
@_schedule
@click.option("--follow/--no-follow", default=False, help="Show its progress until it has ended.")
@connected
def run_schedule(session: Session, schedule_id: str, *, follow: bool) -> None:
    """Submit its request once now.

    Its own times stay as they are.
    """
    found = session.call("GET", f"{_PATH}/{schedule_id}")
    made = session.client.submit(found["jobType"], found["data"])
    show_made_job(session, made, follow=follow)


def _show_state(session: Session, found: dict[str, Any]) -> None:
    def show_text() -> None:
        from taskreel_local.cli.text_output import format_clock

        coming = (
            f"; it runs next at {format_clock(found['nextRuns'][0])}" if found["nextRuns"] else ""
        )
        click.echo(f"{found['recurringJobId']} is {found['state']}: {found['schedule']}{coming}.")

    session.show(found, show_text)
