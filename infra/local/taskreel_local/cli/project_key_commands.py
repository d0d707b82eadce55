"""`taskreel projects keys`: the API keys of a project."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.options import PROJECT_ROLES, yes_option

_project = click.argument("project_id", metavar="PROJECT")
_key = click.argument("key_id", metavar="KEY")


@click.group("keys")
def project_key_commands() -> None:
    """List, create, rotate and revoke API keys.

    Only admins of the project may. A key acts in its project alone, which pays its jobs: an admin
    of the deployment must have granted the project credits. A token is shown once.

    \b
    taskreel projects keys list PROJECT
    taskreel projects keys create PROJECT "render server" --role editor --days 90
    taskreel projects keys rotate PROJECT KEY --overlap 3600
    taskreel projects keys revoke PROJECT KEY
    """


@project_key_commands.command("list")
@_project
@connected
def list_keys(session: Session, project_id: str) -> None:
    """List the keys of a project."""
    found = session.call("GET", _find_path(project_id))

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_distance, print_table

        rows = [
            (
                one["keyId"],
                one["role"],
                one["tier"],
                format_distance(one["createdAt"]),
                one["createdBy"],
                "never" if one["expiresAt"] is None else format_distance(one["expiresAt"]),
                one["name"],
            )
            for one in found["keys"]
        ]
        columns = ("key", "role", "tier", "created", "by", "expires", "name")
        print_table(session.console, columns, rows, nothing="The project has no API keys.")

    session.show(found, show_text)


@project_key_commands.command("create")
@_project
@click.argument("name")
@click.option("--role", type=click.Choice(PROJECT_ROLES), default="editor", show_default=True)
@click.option("--days", type=click.IntRange(1, 3650), help="Until it expires.  [default: never]")
@click.option("--tier", help="Of its jobs (admin).  [default: that of your token]")
@connected
def create_key(
    session: Session, project_id: str, name: str, *, role: str, days: int | None, tier: str | None
) -> None:
    """Create a key, and print its token: it is shown this once."""
    ends = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    order = {"name": name, "role": role, "expiresAt": ends, "tier": tier}
    given = {field: value for field, value in order.items() if value is not None}
    _show_token(session, session.call("POST", _find_path(project_id), given))


@project_key_commands.command("rotate")
@_project
@_key
@click.option(
    "--overlap",
    type=click.IntRange(0, 604_800),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="For so long the old token is accepted beside the new one.",
)
@connected
def rotate_key(session: Session, project_id: str, key_id: str, *, overlap: int) -> None:
    """Give a key another token, and print it: it is shown this once."""
    path = f"{_find_path(project_id, key_id)}/rotate"
    _show_token(session, session.call("POST", path, {"overlapSeconds": overlap}))


@project_key_commands.command("revoke")
@_project
@_key
@yes_option
@connected
def revoke_key(session: Session, project_id: str, key_id: str, *, yes: bool) -> None:
    """Revoke a key. Its jobs go on; its recurring jobs are paused, to be taken over."""
    session.confirm(f"Programs that send the token of {key_id} will be refused.", yes=yes)
    session.call("DELETE", _find_path(project_id, key_id))
    revoked = {"projectId": project_id, "keyId": key_id, "revoked": True}
    session.show(revoked, lambda: click.echo(f"{key_id} is revoked."))


def _find_path(project_id: str, key_id: str | None = None) -> str:
    path = f"/api/projects/{quote(project_id, safe='')}/keys"
    return path if key_id is None else f"{path}/{quote(key_id, safe='')}"


def _show_token(session: Session, issued: dict[str, Any]) -> None:
    def show_text() -> None:
        session.messages.print(
            f"{issued['keyId']}, {issued['role']}. The token is shown this once; send it as "
            "Authorization: Bearer …"
        )
        # Alone on the standard output: `TOKEN=$(taskreel projects keys create …)`.
        click.echo(issued["token"])

    session.show(issued, show_text)
