"""`taskreel templates`: named requests with parameters."""

from __future__ import annotations

import json
from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.completions import JOB_TYPE, TEMPLATE
from taskreel_local.cli.job_commands import show_made_job
from taskreel_local.cli.job_input import INPUT_HELP, parse_input, upload_files
from taskreel_local.cli.options import yes_option

_PATH = "/api/templates"
_name = click.argument("name", metavar="NAME", shell_complete=TEMPLATE)


@click.group("templates", cls=GroupWithDefault, default="list")
def template_commands() -> None:
    """Save requests with parameters, and create jobs of them."""


@template_commands.command("list")
@connected
def list_templates(session: Session) -> None:
    """List your templates, and the shared ones."""
    found = session.call("GET", _PATH)

    def show_text() -> None:
        from taskreel_local.cli.text_output import find_prompt, print_table

        rows = [
            (
                one["name"],
                "shared" if one["shared"] else "yours",
                one["version"]["version"],
                one["version"]["jobType"],
                ", ".join(one["version"]["parameters"]),
                find_prompt(one["version"]["data"]),
            )
            for one in found["templates"]
        ]
        columns = ("template", "whose", ">version", "type", "parameters", "prompt")
        print_table(session.console, columns, rows, nothing="There are no templates.")

    session.show(found, show_text)


@template_commands.command("show")
@_name
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@connected
def show_template(session: Session, name: str, version: int | None) -> None:
    """Show a template and the parameters that it takes."""
    _show_template(session, session.call("GET", f"{_PATH}/{name}", version=version))


def _show_template(session: Session, found: dict[str, Any]) -> None:
    def show_text() -> None:
        version = found["version"]
        shared = ", shared with all users" if found["shared"] else ""
        click.echo(f"{found['name']} {version['version']}: {version['jobType']}{shared}")
        click.echo(json.dumps(version["data"], indent=2, ensure_ascii=False))
        for name in version["parameters"]:
            known = name in version["defaults"]
            default = json.dumps(version["defaults"][name], ensure_ascii=False) if known else ""
            click.echo(f"  {name}{f' = {default}' if known else ' (must be given)'}")

    session.show(found, show_text)


@template_commands.command(
    "save",
    help=f"""Save a request of TYPE as a template, or its next version.
    {INPUT_HELP}
    \b
    Example:
      taskreel templates save poster image-generation \\
        prompt="A poster of {{{{parameters.subject}}}}" --default subject="a lighthouse"
      taskreel templates run poster subject="a kite" --follow
    """,
)
@_name
@click.argument("job_type", metavar="TYPE", shell_complete=JOB_TYPE)
@click.argument("words", metavar="[INPUT]...", nargs=-1)
@click.option("--default", "defaults", metavar="KEY=VALUE", multiple=True, help="Of a parameter.")
@click.option("--shared", is_flag=True, help="Every user may use it (admin).")
@connected
def save_template(
    session: Session,
    name: str,
    job_type: str,
    words: tuple[str, ...],
    defaults: tuple[str, ...],
    *,
    shared: bool,
) -> None:
    """Save a template."""
    body = {
        "jobType": job_type,
        "data": upload_files(session.client, parse_input(words)),
        "defaults": parse_input(defaults),
        "shared": shared,
    }
    _show_template(session, _save(session, name, body))


def _save(session: Session, name: str, body: dict[str, Any]) -> Any:
    """Save the next version, or a new template."""
    from taskreel.client import ApiError

    try:
        return session.call("PUT", f"{_PATH}/{name}", body)
    except ApiError as error:
        if error.code != "not_found":
            raise
    return session.call("POST", _PATH, {"name": name, **body})


@template_commands.command("run")
@_name
@click.argument("parameters", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@click.option("--key", help="Idempotency-Key: the same key submits once.")
@click.option("--follow/--no-follow", default=False, help="Show its progress until it has ended.")
@connected
def run_template(
    session: Session,
    name: str,
    parameters: tuple[str, ...],
    version: int | None,
    *,
    key: str | None,
    follow: bool,
) -> None:
    """Create a job of a template, with these values of its parameters."""
    from uuid import uuid4

    from taskreel.client import Job

    values = upload_files(session.client, parse_input(parameters))
    body = {"parameters": values} | ({"version": version} if version else {})
    made = session.call("POST", f"{_PATH}/{name}/jobs", body, key=key or uuid4().hex)
    show_made_job(session, Job.model_validate(made), follow=follow)


@template_commands.command("delete")
@_name
@click.option("--shared", is_flag=True, help="The shared one (admin).")
@yes_option
@connected
def delete_template(session: Session, name: str, *, shared: bool, yes: bool) -> None:
    """Delete a template with all its versions; jobs that were made of it stay."""
    session.confirm(f"Delete the {'shared ' if shared else ''}template {name}.", yes=yes)
    deleted = session.call("DELETE", f"{_PATH}/{name}", shared=shared or None)
    session.show(deleted, lambda: click.echo(f"{name} is deleted."))
