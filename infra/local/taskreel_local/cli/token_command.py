"""`taskreel token`: tokens for development."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from taskreel_local.cli.api_target import (
    check_stack_has_run,
    find_current_profile,
    find_data_folder,
)
from taskreel_local.cli.options import PROJECT_ROLES, chosen_data_option
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import DEV_USER, make_token


def _read_roles(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    roles = {}
    for value in values:
        project, _, role = value.rpartition("=")
        if not project or role not in PROJECT_ROLES:
            named = ", ".join(PROJECT_ROLES)
            raise click.BadParameter(f"{value!r} is not like film=editor ({named})")
        roles[project] = role
    return roles


@click.command("token")
@click.option("--user", default=DEV_USER, show_default=True, help="User id (the `sub` claim).")
@click.option(
    "--tier",
    type=click.Choice(["free", "basic", "pro", "enterprise"]),
    default="enterprise",
    show_default=True,
    help="Tier of the user.",
)
@click.option("--role", type=click.Choice(["admin"]), help="Role of the user.")
@click.option(
    "--project",
    "projects",
    multiple=True,
    help="Project the token is valid for; repeatable. Without it: every project.",
)
@click.option(
    "--project-role",
    "project_roles",
    metavar="PROJECT=ROLE",
    multiple=True,
    callback=_read_roles,
    help=f"Role in a project: {', '.join(PROJECT_ROLES)}; repeatable.",
)
@click.option(
    "--ttl",
    "ttl_seconds",
    default=30 * 86_400,
    show_default=True,
    help="Seconds until the token expires.",
)
@chosen_data_option
def print_token(data: Path | None, **claims: Any) -> None:
    """Print a token signed with the development secret of a stack on this machine."""
    folder = find_data_folder(data)
    check_stack_has_run(folder)
    if data is None and (named := find_current_profile()) is not None:
        name, profile = named
        # On stderr: scripts take the token alone.
        if profile.data:
            note = f"This token is for the stack on {folder}, which the profile {name} names"
        else:
            note = (
                f"This token is for the stack on {folder}, not for {profile.where}, which the "
                f"profile {name} names"
            )
        click.echo(f"{note}. For another stack: taskreel token --data DIR", err=True)
    click.echo(make_token(DataFolder(folder), **claims))
