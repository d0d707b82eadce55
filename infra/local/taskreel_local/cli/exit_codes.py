"""The exit statuses of `taskreel`, and errors that end it with them.

| status | means |
|---|---|
| 0 | done; the followed jobs are COMPLETED |
| 1 | a followed job ended otherwise, or a check failed |
| 2 | the command line, or a setting of the environment, is wrong |
| 3 | the API refused the request |
| 4 | the API cannot be reached |
| 130 | Ctrl-C; followed jobs go on |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from taskreel_local.stack.stack_error import StackError

INTERRUPTED = 130


class RefusedError(click.ClickException):
    """The API refused a request: its problem, as sentences or as JSON."""

    exit_code = 3

    def __init__(self, message: str, problem: Mapping[str, Any], *, as_json: bool) -> None:
        super().__init__(message)
        self._problem = problem
        self._as_json = as_json

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it to the standard error output."""
        if self._as_json:
            click.echo(json.dumps(self._problem, ensure_ascii=False), file=file, err=True)
        else:
            super().show(file)


class WrongEnvironmentError(click.ClickException):
    """A setting of the environment is wrong."""

    exit_code = 2


class UnreachableError(click.ClickException):
    """The API does not respond."""

    exit_code = 4


def end_without_stack(error: StackError) -> click.ClickException:
    """The error of a command whose stack cannot start: one line, and the status of its cause."""
    from taskreel_local.stack.stack_error import WrongSettingError

    is_setting = isinstance(error, WrongSettingError)
    return (WrongEnvironmentError if is_setting else click.ClickException)(str(error))


def explain_problem(problem: Mapping[str, Any], status: int) -> str:
    """A problem as one sentence, and its wrong fields as a list below it."""
    code = problem.get("code", f"http_{status}")
    errors = problem.get("errors") or []
    if not errors:
        detail = problem.get("detail") or problem.get("title") or "The server gave no reason."
        return f"{detail} ({status} {code})"
    count = "A field is" if len(errors) == 1 else f"{len(errors)} fields are"
    lines = [f"  {one.get('path') or 'request'}: {one.get('message')}" for one in errors]
    return "\n".join([f"{count} wrong ({status} {code}):", *lines])
