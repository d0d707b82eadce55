"""The request of a job from the words of a command line.

`prompt="A red kite"`, `options.width=1280`, `imageUrl=@cat.png`, `{"…": …}`, `@request.json`, `-`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from taskreel.client import Taskreel, Upload

#: In a JSON request, as in `key=@PATH`, this names a local file.
LOCAL_FILE = "file:"

INPUT_HELP = """
    \b
    INPUT gives the request's fields, the later ones over the earlier ones:
      prompt="A red kite"        a text; numbers, true, null and JSON are taken as such
      options.width=1280         a field inside a field
      imageUrl=@cat.png          a local file: it is uploaded, and its upload is the value
      prompts=kite prompts=ship  a list
      '{"prompt": "A kite"}'     fields as JSON, in which "file:cat.png" is a local file
      @request.json              fields from a file, or from standard input: -
"""


def parse_input(words: Sequence[str]) -> dict[str, Any]:
    """The request that the words give. Raises UsageError."""
    request: dict[str, Any] = {}
    given: set[str] = set()
    for word in words:
        if word == "-":
            _merge(request, _parse_object(sys.stdin.read(), "standard input"))
        elif word.startswith("@"):
            _merge(request, _parse_object(_read_file(word[1:]), word[1:]))
        elif word.lstrip().startswith(("{", "[")):
            _merge(request, _parse_object(word, word[:40]))
        else:
            _set_field(request, word, given)
    return request


def _read_file(name: str) -> str:
    try:
        return Path(name).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name} cannot be read: {error}") from None


def _parse_object(text: str, source: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{source} is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise click.UsageError(f"{source} must be an object: {{…}}")
    return fields


def _merge(request: dict[str, Any], fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, dict) and isinstance(request.get(name), dict):
            _merge(request[name], value)
        else:
            request[name] = value


def _set_field(request: dict[str, Any], word: str, given: set[str]) -> None:
    """Set `key=value`; the same key again makes a list."""
    path, equals, text = word.partition("=")
    if not equals or not path:
        raise click.UsageError(
            f'{word!r} is not understood: give key=value, JSON, @FILE or -, as in prompt="A kite"'
        )
    *folders, name = path.split(".")
    place = request
    for folder in folders:
        place = place.setdefault(folder, {})
        if not isinstance(place, dict):
            raise click.UsageError(f"{path}: {folder} has a value already, so it has no fields")
    value = _parse_value(text)
    if path in given:
        before = place[name]
        place[name] = [*(before if isinstance(before, list) else [before]), value]
    else:
        place[name] = value
    given.add(path)


def _parse_value(text: str) -> Any:
    if text.startswith("@"):
        return f"{LOCAL_FILE}{text[1:]}"
    try:
        return json.loads(text)
    except ValueError:
        return text


def upload_files(client: Taskreel, value: Any) -> Any:
    """The value with each local file uploaded, in its place the reference of its upload."""
    if isinstance(value, dict):
        return {name: upload_files(client, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [upload_files(client, inner) for inner in value]
    if not isinstance(value, str) or not value.startswith(LOCAL_FILE):
        return value
    file = Path(value.removeprefix(LOCAL_FILE)).expanduser()
    return upload_file(client, file).reference


def upload_file(client: Taskreel, file: Path) -> Upload:
    """Upload a file with a bar. Raises UsageError if it is not there."""
    if not file.is_file():
        raise click.UsageError(f"{file}: there is no such file")
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    from taskreel_local.cli.text_output import make_console

    # The bar goes to the standard error output: the standard output is the job.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    console = make_console(sys.stderr)
    with Progress(*columns, TransferSpeedColumn(), console=console) as progress:
        bar = progress.add_task(f"Uploading {file.name}", total=file.stat().st_size)
        return client.upload(file, on_progress=lambda sent: progress.update(bar, completed=sent))
