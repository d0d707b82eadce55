"""`taskreel uploads`: files for jobs."""

from __future__ import annotations

from pathlib import Path

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.job_input import upload_file
from taskreel_local.cli.options import yes_option


@click.group("uploads", cls=GroupWithDefault, default="list")
def upload_commands() -> None:
    """Upload files for several jobs, list and delete them. For one job: submit … imageUrl=@FILE."""


@upload_commands.command("add")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@connected
def add_uploads(session: Session, files: tuple[Path, ...]) -> None:
    """Upload files; print the references that jobs take as inputs for a day."""
    made = [upload_file(session.client, file) for file in files]

    def show_text() -> None:
        for one in made:
            click.echo(f"{one.reference}  {one.name}")

    session.show({"uploads": made}, show_text)


@upload_commands.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@click.option("--cursor", help="Go on after this nextCursor.")
@connected
def list_uploads(session: Session, *, limit: int, cursor: str | None) -> None:
    """List your uploads that have not expired, the newest first."""
    page = session.call("GET", "/api/uploads", limit=limit, cursor=cursor)

    def show_text() -> None:
        from taskreel_local.cli.text_output import format_bytes, format_distance, print_table

        rows = [
            (
                one["reference"],
                "yes" if one["received"] else "no",
                format_bytes(one["bytes"]),
                one["contentType"],
                format_distance(one["expiresAt"]),
                one["name"],
            )
            for one in page["uploads"]
        ]
        columns = ("reference", "arrived", ">size", "type", "expires", "name")
        print_table(session.console, columns, rows, nothing="There are no uploads.")

    session.show(page, show_text)


@upload_commands.command("delete")
@click.argument("upload_id", metavar="UPLOAD")
@yes_option
@connected
def delete_upload(session: Session, upload_id: str, *, yes: bool) -> None:
    """Delete an upload and its file. Jobs that have not read it yet fail."""
    path = f"/api/uploads/{upload_id.removeprefix('upload:')}"
    found = session.call("GET", path)
    session.confirm(f"Delete {found['name']} ({found['reference']}).", yes=yes)
    deleted = session.call("DELETE", path)
    session.show(deleted, lambda: click.echo(f"{found['reference']} is deleted."))
