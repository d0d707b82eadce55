"""The options by which commands choose jobs, and the times that they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from taskreel_local.cli.completions import JOB_TYPE, STATUSES

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Moment(click.ParamType[datetime]):
    """A time: `2h` ago, or ISO 8601, in this machine's zone unless it has one."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Parse a time."""
        if isinstance(value, datetime):
            return value
        try:
            ago = parse_span(value)
            if ago is not None:
                return datetime.now(UTC) - ago
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            self.fail(f"{value!r} is neither like 2h or 3d, nor like 2026-11-26T09:30", param, ctx)
        except OverflowError:
            self.fail(f"{value!r} is before the year 1", param, ctx)


MOMENT = Moment()


def parse_span(text: str) -> timedelta | None:
    """A span such as `90s`, `30m`, `2h`, `3d`, `1w`; None for another text."""
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


_FILTERS = (
    click.option(
        "--status",
        multiple=True,
        metavar="STATUS",
        shell_complete=STATUSES,
        help="Only jobs with this status; repeatable, or FAILED,EXPIRED.",
    ),
    click.option(
        "--type", "job_type", metavar="TYPE", shell_complete=JOB_TYPE, help="Only this type."
    ),
    click.option("--project", "project_id", metavar="PROJECT", help="Only this project."),
    click.option("--owner", "user_id", metavar="USER", help="Only this user's (admin)."),
    click.option("--provider", metavar="PROVIDER", help="Only jobs that this provider served."),
    click.option("--text", metavar="TEXT", help="Only jobs with this text in their prompt."),
    click.option(
        "--since", "created_after", type=MOMENT, help="Created since: 2h, 3d, 2026-11-26."
    ),
    click.option("--until", "created_before", type=MOMENT, help="Created until."),
)


def job_filters(command: F) -> F:
    """Give a command the filters of a list of jobs, by the names of the API's own."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command
