"""Commands that call the API: their common options, their session, and their errors."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from taskreel_local.cli.api_target import ApiTarget, find_target
from taskreel_local.cli.exit_codes import (
    INTERRUPTED,
    RefusedError,
    UnreachableError,
    explain_problem,
)

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

    from taskreel.client import Taskreel

#: Short: a person waits. Commands that follow jobs outlast a restart of the server.
_RETRIES = 2
_PATIENT_RETRIES = 7
_RETRY_SECONDS = 0.25


class Session:
    """The API, the output, and what a command asks before it changes something."""

    def __init__(self, find: Callable[[], ApiTarget], *, as_json: bool) -> None:
        self._find_target = find
        self.as_json = as_json
        self._closing = ExitStack()

    @cached_property
    def target(self) -> ApiTarget:
        """The API. Raises ClickException if none is known: not all commands need one."""
        return self._find_target()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @cached_property
    def client(self) -> Taskreel:
        """The client; a call fails after a second without an answer of the server."""
        return self._open_client(_RETRIES)

    @cached_property
    def patient_client(self) -> Taskreel:
        """A client that outlasts half a minute without the server."""
        return self._open_client(_PATIENT_RETRIES)

    def _open_client(self, retries: int) -> Taskreel:
        from taskreel.client import Taskreel

        target = self.target
        made = Taskreel(target.url, target.token, max_retries=retries, retry_seconds=_RETRY_SECONDS)
        return self._closing.enter_context(made)

    @cached_property
    def console(self) -> Console:
        """The standard output. Piped tables are as wide as they need to be."""
        from taskreel_local.cli.text_output import make_console

        return make_console(sys.stdout)

    @cached_property
    def messages(self) -> Console:
        """The standard error output, for progress and questions."""
        from taskreel_local.cli.text_output import make_console

        return make_console(sys.stderr)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **query: Any,
    ) -> Any:
        """Call a route; the query's names are the API's, also in snake_case."""
        return self.client.call(method, path, body, query=query, idempotency_key=key)

    def show(self, value: Any, show_text: Callable[[], None]) -> None:
        """Print the value as JSON if that was asked for, else as text for people."""
        if self.as_json:
            print_json(value)
        else:
            show_text()

    def say(self, text: str) -> None:
        """Print a message for people, unless JSON was asked for."""
        if not self.as_json:
            click.echo(text)

    def confirm(self, text: str, *, yes: bool) -> None:
        """Ask before something that cannot be undone; `--yes` answers. Raises Abort."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise click.UsageError(f"{text} Add --yes to do it without a question.")
        click.confirm(f"{text} Continue?", abort=True, err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON for programs."""
    click.echo(json.dumps(to_json(value), indent=2, ensure_ascii=False))


def to_json(value: Any) -> Any:
    """The value with each of the client's models as the API has sent it."""
    if isinstance(value, dict):
        return {name: to_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(inner) for inner in value]
    if hasattr(value, "model_dump"):
        model: BaseModel = value
        return model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return value


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--json` and the options that choose the API; pass it a Session.

    What the API refuses, and a server that does not respond, end it with a sentence and a status.
    """

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API sends it.")
    @click.option(
        "--profile",
        envvar="TASKREEL_PROFILE",
        metavar="NAME",
        help="Profile of taskreel login. [default: the last one]",
    )
    @click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="Data folder of a stack on this machine. [default: .taskreel, without a profile]",
    )
    @click.option(
        "--user",
        help="Call a stack on this machine as this user. [default: dev, with the role admin]",
    )
    @functools.wraps(command)
    def run(
        *args: Any,
        as_json: bool,
        profile: str | None,
        data: Path | None,
        user: str | None,
        **options: Any,
    ) -> None:
        with Session(lambda: find_target(data, profile, user), as_json=as_json) as session:
            run_in_session(session, lambda: command(session, *args, **options))

    return run


def run_in_session(session: Session, run: Callable[[], None]) -> None:
    """Run a part of a command; turn the client's errors into the command's."""
    import httpx

    from taskreel.client import ApiError, TaskreelError

    try:
        run()
    except ApiError as error:
        text = explain_problem(error.problem, error.status)
        if error.status == httpx.codes.UNAUTHORIZED:
            text = f"{text}\nThe token of {session.target.name} is not accepted: taskreel login"
        raise RefusedError(text, error.problem, as_json=session.as_json) from None
    except TaskreelError as error:
        raise click.ClickException(str(error)) from None
    except httpx.TransportError as error:
        target = session.target
        reason = str(error) or type(error).__name__
        raise UnreachableError(
            f"{target.name} does not respond at {target.url} ({reason}). {target.advice}"
        ) from None
    except httpx.HTTPStatusError as error:
        # Of a file: its URL is signed, and served by the bucket.
        raise click.ClickException(f"A file could not be downloaded: {error}") from None
    except httpx.InvalidURL as error:
        raise click.UsageError(f"{session.target.url} is not a URL: {error}") from None
    except KeyboardInterrupt:
        click.echo("", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
