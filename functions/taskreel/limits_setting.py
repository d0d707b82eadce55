"""The setting LIMITS: the limits of flow control, from a file or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from taskreel.config import ConfigurationError
from taskreel.domain.flow_limits import FREE, FlowLimits
from taskreel.domain.validation_messages import describe_errors
from taskreel.domain.value import format_path


def parse_limits(setting: str | None) -> FlowLimits | None:
    """The limits that LIMITS names. Raises ConfigurationError that names the wrong field."""
    if setting is None:
        return None
    try:
        found = FlowLimits.model_validate(_read(setting))
    except ValidationError as error:
        rows = describe_errors(error.errors(include_input=False), FlowLimits)
        wrong = "; ".join(f"{format_path(at)} {message}" for at, message in rows)
        raise ConfigurationError(f"LIMITS: {wrong}") from None
    if FREE not in found.tiers:
        raise ConfigurationError(
            f"LIMITS: tiers has no `{FREE}`, which is the tier of a token that names none"
        )
    return found


def _read(setting: str) -> Any:
    """The content of the setting. In the cloud it is JSON: a cold start reads no YAML."""
    if setting.lstrip().startswith("{"):
        try:
            return json.loads(setting)
        except ValueError as error:
            raise ConfigurationError(f"LIMITS: begins like JSON and is none: {error}") from None
    import yaml

    try:
        return yaml.safe_load(Path(setting).read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"LIMITS: {setting!r} cannot be read ({error.strerror}): it must be the path of a file "
            "like infra/limits.yaml, or its content as JSON"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"LIMITS: {setting!r} is not YAML: {error}") from None
