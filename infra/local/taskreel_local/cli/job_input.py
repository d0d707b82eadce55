"""The request of a job from the words of a command line.

`prompt="A red kite"`, `options.width=1280`, `imageUrl=@cat.png`, `scenes[0].imageUrl=@1.png`,
`{"…": …}`, `@request.json`, `-`.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from taskreel.client import Taskreel, Upload

#: In a JSON request, as in `key=@PATH`, this names a local file.
LOCAL_FILE = "file:"
_PART = re.compile(r"(?P<name>[^\[\]]+)(?P<indexes>(?:\[\d{1,6}\])*)")
_INDEX = re.compile(r"\d+")

INPUT_HELP = """
    \b
    INPUT gives the request's fields, the later ones over the earlier ones:
      prompt="A red kite"       a text; numbers, true, null and JSON are taken as such
      options.width=1280        a field inside a field
      imageUrl=@cat.png         a local file: it is uploaded, and its upload is the value
      prompts=kite prompts=sea  a list
      'scenes[0].imageUrl=@a'   a field of an entry of a list
      '{"prompt": "A kite"}'    fields as JSON, in which "file:cat.png" is a local file
      @request.json             fields from a file, or from standard input: -
"""


def parse_input(words: Sequence[str], payload: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The request that the words give. Raises UsageError.

    Words for entries of a list, such as `scenes[0].imageUrl`, change that list of the `payload`, a
    merge patch of which can only replace it.
    """
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
            _set_field(request, word, given, payload or {})
    return request


def has_index(word: str) -> bool:
    """Tell if a word means an entry of a list: `scenes[0].imageUrl=…`."""
    return not word.lstrip().startswith(("{", "[", "@")) and "[" in word.partition("=")[0]


def _read_file(name: str) -> str:
    try:
        return Path(name).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{name} cannot be read: {error}") from None


def _parse_object(text: str, source: str) -> dict[str, Any]:
    try:
        fields = parse_json(text)
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


def _set_field(
    request: dict[str, Any], word: str, given: set[str], payload: Mapping[str, Any]
) -> None:
    """Set `key=value`; the same key again makes a list."""
    path, equals, text = word.partition("=")
    if not equals or not path:
        raise click.UsageError(
            f'{word!r} is not understood: give key=value, JSON, @FILE or -, as in prompt="A kite"'
        )
    value = _parse_value(text)
    field = _find_field(request, path, payload)
    if path in given:
        before = field.get()
        value = [*(before if isinstance(before, list) else [before]), value]
    field.set(value)
    given.add(path)


@dataclass(frozen=True)
class _Field:
    """A place in the request: a name in an object, or an index in a list."""

    parent: Any
    step: str | int

    def is_set(self) -> bool:
        """Tell if it has a value."""
        if isinstance(self.step, int):
            return self.step < len(self.parent)
        return self.step in self.parent

    def get(self) -> Any:
        """Its value."""
        return self.parent[self.step]

    def set(self, value: Any) -> None:
        """Give it a value; a list grows by one at its end."""
        if isinstance(self.step, int) and not self.is_set():
            self.parent.append(value)
        else:
            self.parent[self.step] = value


def _find_field(request: dict[str, Any], path: str, payload: Any) -> _Field:
    """The place of the path; the objects and lists in which it lies are made. Raises UsageError."""
    first, *rest = _split_path(path)
    place, shown = _Field(request, first), str(first)
    for step in rest:
        payload = _look_up(payload, place.step)
        if not place.is_set():
            place.set(_create_container(step, payload))
        inner = place.get()
        if not isinstance(inner, list if isinstance(step, int) else dict):
            kind = "entries" if isinstance(step, int) else "fields"
            raise click.UsageError(f"{path}: {shown} has a value already, so it has no {kind}")
        if isinstance(step, int) and step > len(inner):
            raise click.UsageError(
                f"{path}: {shown} has {len(inner)} entries so far, so the next is "
                f"{shown}[{len(inner)}]"
            )
        place = _Field(inner, step)
        shown += f"[{step}]" if isinstance(step, int) else f".{step}"
    return place


def _look_up(payload: Any, step: str | int) -> Any:
    """The value at a step of the payload; None without one."""
    if isinstance(payload, list) and isinstance(step, int):
        return payload[step] if step < len(payload) else None
    return payload.get(step) if isinstance(payload, Mapping) else None


def _create_container(step: str | int, payload: Any) -> Any:
    """An object or list for the step to lie in: of a list, what the payload has."""
    if isinstance(step, str):
        return {}
    return deepcopy(payload) if isinstance(payload, list) else []


def _split_path(path: str) -> list[str | int]:
    """The names and indexes of a path such as `scenes[0].imageUrl`."""
    steps: list[str | int] = []
    for part in path.split("."):
        found = _PART.fullmatch(part)
        if found is None:
            raise click.UsageError(
                f"{path}: an entry of a list is written as in scenes[0].imageUrl"
            )
        steps += [found["name"], *(int(index) for index in _INDEX.findall(found["indexes"]))]
    return steps


def _parse_value(text: str) -> Any:
    if text.startswith("@"):
        return f"{LOCAL_FILE}{text[1:]}"
    try:
        return parse_json(text)
    except ValueError:
        return text


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError, also for a number that JSON cannot have."""
    return json.loads(text, parse_float=_parse_float, parse_constant=_parse_float)


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON's")
    return number


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
    """Upload a file with a bar. Raises UsageError if it is not there, or is no medium."""
    if not file.is_file():
        raise click.UsageError(f"{file}: there is no such file")
    from taskreel.client import ApiError

    try:
        return _upload_with_bar(client, file)
    except ApiError as error:
        if any(one["path"] == "contentType" for one in error.errors):
            raise click.UsageError(
                f"{file}: an input is a picture, a video, sound or plain text, and the name of "
                "this file says that it is none. Rename it, for example to end in .txt."
            ) from None
        raise


def _upload_with_bar(client: Taskreel, file: Path) -> Upload:
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
