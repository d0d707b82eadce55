"""`taskreel cache`: purge the result cache."""

from __future__ import annotations

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.completions import JOB_TYPE
from taskreel_local.cli.options import reason_option, yes_option


@click.group("cache")
def cache_commands() -> None:
    """Purge the results that answer later requests with cacheSeconds (admin)."""


@cache_commands.command("purge")
@click.option(
    "--type", "job_type", metavar="TYPE", shell_complete=JOB_TYPE, help="Results of a job type."
)
@click.option("--of-user", "user_id", metavar="USER", help="Results of one user.")
@click.option("--all", "is_all", is_flag=True, help="All results of all users.")
@reason_option
@yes_option
@connected
def purge_cache(
    session: Session,
    *,
    job_type: str | None,
    user_id: str | None,
    is_all: bool,
    reason: str,
    yes: bool,
) -> None:
    """Let no job that was made until now answer a later request. The jobs and files stay.

    \b
    taskreel cache purge --type image-upscale --reason "a wrong model"
    taskreel cache purge --of-user ada
    taskreel cache purge --all
    """
    if [job_type is not None, user_id is not None, is_all].count(True) != 1:
        raise click.UsageError("Name one of --type TYPE, --of-user USER and --all.")
    whose = f"of {job_type}" if job_type else f"of {user_id}" if user_id else "of all users"
    session.confirm(
        f"The cached results {whose} on {session.target.name} answer no request any more; "
        "equal ones are made, and paid for, again.",
        yes=yes,
    )
    found = session.call("DELETE", "/api/cache", job_type=job_type, user_id=user_id, reason=reason)
    session.show(
        found, lambda: click.echo(f"The cached results {whose} until now answer no request.")
    )
