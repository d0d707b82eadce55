"""`taskreel locations`: the Google Cloud locations of the queues; drain one, and resume it."""

from __future__ import annotations

from typing import Any

import click

from taskreel_local.cli.api_command import Session, connected
from taskreel_local.cli.command_groups import GroupWithDefault
from taskreel_local.cli.options import reason_option, yes_option

_PATH = "/api/jobs/queues/locations"
_location = click.argument("location", metavar="LOCATION")


@click.group("locations", cls=GroupWithDefault, default="list")
def location_commands() -> None:
    """Show the locations of the queues; drain one before an outage, and resume it (admin)."""


@location_commands.command("list")
@connected
def list_locations(session: Session) -> None:
    """List the locations and their tasks.

    The preferred location comes first.
    """
    found = session.call("GET", _PATH)
    session.show(found, lambda: _print_locations(session, found["locations"]))


def _print_locations(session: Session, locations: list[dict[str, Any]]) -> None:
    from taskreel_local.cli.text_output import print_table

    print_table(
        session.console,
        ("location", "state", ">tasks"),
        [(one["location"], _name_state(one), _format_depth(one)) for one in locations],
        nothing="The queues are in the memory of a process, which has no location.",
    )


def _name_state(found: dict[str, Any]) -> str:
    if found["depth"] is None:
        return "does not answer"
    return "drained" if found["drained"] else ""


def _format_depth(found: dict[str, Any]) -> str:
    return "" if found["depth"] is None else f"{found['depth']:,}"


@location_commands.command("drain")
@_location
@reason_option
@yes_option
@connected
def drain_location(session: Session, location: str, reason: str, *, yes: bool) -> None:
    """Send no new tasks to LOCATION.

    The tasks that are there are still delivered.
    """
    session.confirm(
        f"New tasks of {session.target.name} go to its other locations until {location} is "
        "resumed.",
        yes=yes,
    )
    _set_drain(session, location, "drain", reason)


@location_commands.command("resume")
@_location
@reason_option
@connected
def resume_location(session: Session, location: str, reason: str) -> None:
    """Send new tasks to LOCATION again."""
    _set_drain(session, location, "resume", reason)


def _set_drain(session: Session, location: str, act: str, reason: str) -> None:
    found = session.call("POST", f"{_PATH}/{location}/{act}", {"reason": reason})
    state = "gets no new tasks" if found["drained"] else "gets new tasks"
    depth = "it does not answer" if found["depth"] is None else f"tasks on it: {found['depth']:,}"
    session.show(found, lambda: click.echo(f"{location} {state}; {depth}."))
