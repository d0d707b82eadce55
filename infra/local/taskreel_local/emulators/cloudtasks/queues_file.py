"""A YAML file of queues: defaults, and the settings in which a queue differs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from taskreel_local.emulators.cloudtasks import message_codec
from taskreel_local.emulators.cloudtasks.codec_field import FieldValueError
from taskreel_local.emulators.cloudtasks.engine import Engine
from taskreel_local.emulators.cloudtasks.messages import Queue

DEFAULT_PARENT = "projects/taskreel-local/locations/us-central1"


def load_queues(path: Path, parent: str = DEFAULT_PARENT) -> list[Queue]:
    """Read `defaults` and `queues: {id: overrides}`, in the field names of the v2 JSON API.

    A queue may be empty (`some-queue:` alone). Raises ValueError that names the queue and the
    field.
    """
    document = yaml.safe_load(path.read_text()) or {}
    defaults = document.get("defaults") or {}
    return [
        _parse_queue(parent, name, _merge_settings(defaults, own or {}))
        for name, own in (document.get("queues") or {}).items()
    ]


def _parse_queue(parent: str, name: str, settings: dict[str, Any]) -> Queue:
    try:
        queue = message_codec.from_json(Queue, settings)
    except FieldValueError as error:
        raise ValueError(f"queue {name}: {error.to_api_error().message}") from None
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


async def apply_queues(engine: Engine, queues: Iterable[Queue]) -> None:
    """Create the queues, or update their settings; tasks and states are not changed."""
    for queue in queues:
        await engine.update_queue(queue)
