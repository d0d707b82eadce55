"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from taskreel.domain.project_role import MemberRole
from taskreel_local.stack.data_folder import DEFAULT

PROJECT_ROLES = tuple(role.value for role in MemberRole)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DEFAULT,
    show_default=True,
    help="Data folder of the stack.",
)
#: As the commands that call the API choose it: `find_data_folder` resolves it.
chosen_data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Data folder of the stack. [default: the current profile's, else .taskreel]",
)
user_option = click.option(
    "--user",
    default="dev",
    show_default=True,
    help="User whose jobs and credits are meant.",
)
yes_option = click.option("--yes", is_flag=True, help="Do it without a question.")
reason_option = click.option("--reason", default="", help="A reason, for the audit log.")
cloud_tasks_option = click.option(
    "--cloud-tasks",
    is_flag=True,
    help="Use the queues over Google's gRPC API, as in the cloud.",
)
google_emulators_option = click.option(
    "--google-emulators",
    is_flag=True,
    help="Also use Firestore's emulator and a local Cloud Storage. FIRESTORE_EMULATOR_HOST names an"
    " emulator that runs already.",
)


class JobId(click.ParamType[str]):
    """The id of a job. An empty one would be another route of the API: the list of jobs."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse an id without a character."""
        if not str(value).strip():
            self.fail("it is empty; give the id of a job (taskreel jobs lists them)", param, ctx)
        return str(value)


JOB_ID = JobId()


class NumberOrNone(click.ParamType[str]):
    """A whole number from 0 on, or the word none."""

    name = "NUMBER|none"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse everything else."""
        if value != "none" and not (value.isascii() and value.isdecimal()):
            self.fail(f"{value!r} is neither a whole number nor none.", param, ctx)
        return value


NUMBER_OR_NONE = NumberOrNone()


def read_changes(**options: str | None) -> dict[str, int | None]:
    """The options that were given, None for none. Raises UsageError without any.

    An option that is absent changes nothing: else a command without options, by which one wants to
    read, would remove everything.
    """
    changes = {
        name: None if value == "none" else int(value)
        for name, value in options.items()
        if value is not None
    }
    if not changes:
        raise click.UsageError("Name what to set; the command show shows what is set.")
    return changes


def find_named(rows: Sequence[dict[str, Any]], field: str, name: str, kind: str) -> dict[str, Any]:
    """The row that the user named. Raises UsageError with all names for one that there is not."""
    for row in rows:
        if row[field] == name:
            return row
    known = ", ".join(row[field] for row in rows)
    raise click.UsageError(f"There is no {kind} {name}. There are: {known}")
