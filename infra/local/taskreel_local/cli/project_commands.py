"""`taskreel projects`: projects, their members and roles, and what they may spend."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.credit_commands import grant_options, send_grant, show_account
from taskreel_local.cli.options import (
    NUMBER_OR_NONE,
    PROJECT_ROLES,
    read_changes,
    reason_option,
    yes_option,
)
from taskreel_local.cli.project_key_commands import project_key_commands
from taskreel_local.cli.user_commands import print_caps

_PATH = "/api/projects"

_project = click.argument("project_id", metavar="PROJECT")
_user = click.argument("user_id", metavar="USER")


@click.group("projects", cls=GroupWithDefault, default="list")
def project_commands() -> None:
    """Show projects; choose their members, keys and caps, and grant them credits.

    Members see each other's jobs. A viewer reads them, an editor also submits and changes, an
    admin deletes, and chooses the members.

    \b
    taskreel projects create "The lighthouse film"
    taskreel projects add PROJECT bob editor
    taskreel projects caps PROJECT --monthly 5000
    taskreel projects limits PROJECT --active-jobs 20
    taskreel projects grant PROJECT 5000
    taskreel projects keys create PROJECT "render server"
    """


project_commands.add_command(project_key_commands)


@project_commands.command("list")
@click.option("--all-users", is_flag=True, help="Everybody's, by their ids (admin).")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@click.option("--cursor", help="With --all-users: go on after this nextCursor.")
@connected
def list_projects(session: Session, *, all_users: bool, limit: int, cursor: str | None) -> None:
    """List the projects of which you are a member, by name."""
    if cursor and not all_users:
        raise click.UsageError("--cursor needs --all-users: without it all of yours are listed.")
    if all_users:
        page = session.call("GET", _PATH, all_users=True, limit=limit, cursor=cursor)
    else:
        page = session.call("GET", _PATH)

    def show_text() -> None:
        from taskreel_local.cli.text_output import print_table

        rows = [
            (
                one["projectId"],
                one["role"] or "",
                f"{len(one['members']):,}",
                _describe_spend(one["daily"]),
                _describe_spend(one["monthly"]),
                one["name"],
            )
            for one in page["projects"]
        ]
        columns = ("project", "role", ">members", ">today", ">month", "name")
        print_table(session.console, columns, rows, nothing="There are no projects.")
        if page.get("nextCursor"):
            session.messages.print(f"More: --cursor {page['nextCursor']}")

    session.show(page, show_text)


def _describe_spend(cap: dict[str, Any]) -> str:
    return f"{cap['spent']:,}" if cap["limit"] is None else f"{cap['spent']:,}/{cap['limit']:,}"


@project_commands.command("show")
@_project
@connected
def show_project(session: Session, project_id: str) -> None:
    """Show a project: its owner, its spend and caps, and its members."""
    _show(session, session.call("GET", _find_path(project_id)))


@project_commands.command("members")
@_project
@connected
def list_members(session: Session, project_id: str) -> None:
    """List a project's members with their roles. With --json: the whole project."""
    project = session.call("GET", _find_path(project_id))
    session.show(project, lambda: _print_members(session, project))


@project_commands.command("create")
@click.argument("name")
@click.option("--id", "project_id", help="Its id (admin).  [default: a random one]")
@click.option("--owner", help="Its owner (admin).  [default: yourself]")
@connected
def create_project(
    session: Session, name: str, *, project_id: str | None, owner: str | None
) -> None:
    """Create a project, which you own; jobs name its id as projectId."""
    order = {"name": name, "projectId": project_id, "ownerId": owner}
    given = {field: value for field, value in order.items() if value is not None}
    _show(session, session.call("POST", _PATH, given))


@project_commands.command("add")
@_project
@_user
@click.argument("role", type=click.Choice(PROJECT_ROLES), metavar="ROLE")
@connected
def add_member(session: Session, project_id: str, user_id: str, role: str) -> None:
    """Add a member, or change a role.

    ROLE is viewer, editor or admin.
    """
    path = f"{_find_path(project_id)}/members/{quote(user_id, safe='')}"
    project = session.call("PUT", path, {"role": role})
    session.show(project, lambda: click.echo(f"{user_id} is {role} in {project['name']}."))


@project_commands.command("remove")
@_project
@_user
@yes_option
@connected
def remove_member(session: Session, project_id: str, user_id: str, *, yes: bool) -> None:
    """Remove a member, or leave. Their own jobs stay theirs."""
    session.confirm(
        f"{user_id} will no longer see the others' jobs in {project_id}, nor submit to it.",
        yes=yes,
    )
    session.call("DELETE", f"{_find_path(project_id)}/members/{quote(user_id, safe='')}")
    removed = {"projectId": project_id, "userId": user_id, "removed": True}
    session.show(removed, lambda: click.echo(f"{user_id} is no longer a member of {project_id}."))


@project_commands.command("owner")
@_project
@_user
@yes_option
@connected
def set_owner(session: Session, project_id: str, user_id: str, *, yes: bool) -> None:
    """Make another member the owner.

    The one before stays an admin of the project.
    """
    session.confirm(f"{user_id} will own {project_id}, and alone can name the next owner.", yes=yes)
    project = session.call("PUT", f"{_find_path(project_id)}/owner", {"ownerId": user_id})
    session.show(project, lambda: click.echo(f"{user_id} owns {project['name']}."))


@project_commands.command("caps")
@_project
@click.option("--daily", type=NUMBER_OR_NONE, help="Credits a day (UTC), or none.")
@click.option("--monthly", type=NUMBER_OR_NONE, help="Credits a month, or none.")
@reason_option
@connected
def set_caps(
    session: Session, project_id: str, *, daily: str | None, monthly: str | None, reason: str
) -> None:
    """Set the caps on a project's spend. A cap that is not named stays.

    A job above one is refused, also where the project pays it.
    """
    changes = read_changes(daily=daily, monthly=monthly)
    path = _find_path(project_id)
    stored = session.call("GET", path)
    caps = {name: stored[name]["limit"] for name in ("daily", "monthly")}
    project = session.call("PUT", f"{path}/caps", {**caps, **changes, "reason": reason})
    session.show(project, lambda: print_caps(project))


@project_commands.command("limits")
@_project
@click.option("--active-jobs", type=NUMBER_OR_NONE, help="Jobs at a time, or none.")
@click.option("--credits", "total", type=NUMBER_OR_NONE, help="Credits of all jobs, or none.")
@reason_option
@connected
def set_limits(
    session: Session, project_id: str, *, active_jobs: str | None, total: str | None, reason: str
) -> None:
    """Set a project's jobs at a time, and its credits in all. A limit that is not named stays.

    More jobs are accepted and wait; a job above the credits is refused.
    """
    changes = read_changes(activeJobs=active_jobs, credits=total)
    path = _find_path(project_id)
    stored = session.call("GET", path)
    limits = {"activeJobs": stored["activeJobs"], "credits": stored["total"]["limit"]}
    project = session.call("PUT", f"{path}/limits", {**limits, **changes, "reason": reason})
    session.show(project, lambda: _print_limits(project))


@project_commands.command("grant")
@_project
@grant_options
@connected
def grant_to_project(session: Session, project_id: str, amount: int, **options: Any) -> None:
    """Grant a project credits of its own (admin).

    From then on its account pays all new jobs of the project, and its members' accounts none of
    them, until `taskreel projects payer` says otherwise.
    """
    send_grant(session, f"{_find_path(project_id)}/grants", amount, **options)


@project_commands.command("payer")
@_project
@click.argument("payer", type=click.Choice(("project", "members")), metavar="PAYER")
@reason_option
@connected
def set_payer(session: Session, project_id: str, payer: str, *, reason: str) -> None:
    """Choose who pays a project's new jobs (admin).

    PAYER is project, for its own account, or members, each for their own jobs.
    """
    order = {"payer": payer, "reason": reason}
    project = session.call("PUT", f"{_find_path(project_id)}/payer", order)
    session.show(project, lambda: _print_limits(project))


@project_commands.command("credits")
@_project
@connected
def show_credits(session: Session, project_id: str) -> None:
    """Show the balance of a project's own account."""
    show_account(session, session.call("GET", f"{_find_path(project_id)}/credits"))


def _find_path(project_id: str) -> str:
    return f"{_PATH}/{quote(project_id, safe='')}"


def _show(session: Session, project: dict[str, Any]) -> None:
    def show_text() -> None:
        from taskreel_local.cli.text_output import clean

        click.echo(f"{project['projectId']}: {clean(project['name'])}")
        role = f"; your role: {project['role']}" if project["role"] else ""
        click.echo(f"Owner: {project['ownerId']}{role}")
        print_caps(project)
        _print_limits(project)
        _print_members(session, project)

    session.show(project, show_text)


def _print_limits(project: dict[str, Any]) -> None:
    from taskreel_local.cli.text_output import format_credits

    total, jobs = project["total"], project["activeJobs"]
    most = "no limit" if total["limit"] is None else f"of {total['limit']:,}"
    click.echo(f"Spent in all: {format_credits(total['spent'])}, {most}")
    payer = (
        "its own account (taskreel projects credits)" if project["hasAccount"] else "its members"
    )
    click.echo(f"Its jobs are paid by {payer}")
    click.echo(f"Jobs at a time: {'no limit of its own' if jobs is None else jobs}")


def _print_members(session: Session, project: dict[str, Any]) -> None:
    from taskreel_local.cli.text_output import format_distance, print_table

    rows = [
        (
            "owner" if one["userId"] == project["ownerId"] else one["role"],
            format_distance(one["since"]),
            one["userId"],
        )
        for one in project["members"]
    ]
    print_table(session.console, ("role", "since", "member"), rows)
