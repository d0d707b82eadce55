"""A YAML file of queues: defaults, and the settings in which a queue differs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError
from taskreel_cloud_tasks.codec_field import FieldValueError
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.queue_settings import complete_queue
from taskreel_cloud_tasks.resource_names import split_queue

DEFAULT_PARENT = "projects/demo/locations/us-central1"

_KEYS = ("defaults", "queues")


class QueuesFileError(ValueError):
    """A mistake in a file of queues, in one line that names the queue and the field."""


def load_queues(path: Path, parent: str = DEFAULT_PARENT) -> list[Queue]:
    """Read `defaults` and `queues: {id: overrides}`, in the field names of the v2 JSON API.

    A queue may be empty (`some-queue:` alone). Raises QueuesFileError.
    """
    document = _read_document(path)
    defaults = _settings_of("defaults", document.get("defaults"))
    queues = document.get("queues")
    if queues is not None and not isinstance(queues, dict):
        raise QueuesFileError(
            "'queues' must be a mapping of queue ids to settings, such as `queues: {emails: {}}`, "
            f"not {_describe(queues)}."
        )
    return [
        _parse_queue(
            parent, str(name), _merge_settings(defaults, _settings_of(f"queue {name}", own))
        )
        for name, own in (queues or {}).items()
    ]


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise QueuesFileError(f"{place}this is not YAML: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QueuesFileError(f"this is not YAML: {' '.join(str(error).split())}.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise QueuesFileError(
            f"the file must be a mapping with the keys 'defaults' and 'queues', not "
            f"{_describe(document)}."
        )
    unknown = [str(key) for key in document if key not in _KEYS]
    if unknown and "queues" not in document:  # beside it they may be another program's
        raise QueuesFileError(
            f"there is no key 'queues', but {unknown[0]!r}; "
            "the keys of the file are 'defaults' and 'queues'."
        )
    return document


def _settings_of(owner: str, settings: object) -> dict[str, Any]:
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise QueuesFileError(
            f"{owner}: the settings must be a mapping of fields, not {_describe(settings)}."
        )
    return settings


def _parse_queue(parent: str, name: str, settings: dict[str, Any]) -> Queue:
    try:
        split_queue(f"{parent}/queues/{name}")
    except ApiError:
        raise QueuesFileError(
            f"queue {name!r}: an id has 1 to 100 letters, digits and hyphens, and so have "
            f"project and location ({parent})."
        ) from None
    try:
        queue = message_codec.from_json(Queue, settings)
        complete_queue(queue)
    except FieldValueError as error:
        raise QueuesFileError(f"queue {name}: {error.to_api_error().message}") from None
    except ApiError as error:
        raise QueuesFileError(f"queue {name}: {error.message}") from None
    return replace(queue, name=f"{parent}/queues/{name}")


def _merge_settings(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in own.items():
        inside = merged.get(key)
        merged[key] = (
            _merge_settings(inside, value)
            if isinstance(inside, dict) and isinstance(value, dict)
            else value
        )
    return merged


def _describe(value: object) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "a boolean"}
    return names.get(type(value), f"a {type(value).__name__}")


async def apply_queues(engine: Engine, queues: Iterable[Queue]) -> None:
    """Create the queues, or update their settings; tasks and states are not changed."""
    for queue in queues:
        await engine.update_queue(queue)
