"""The rules of a deployment by its settings: times, sizes, and LIMITS of flow control."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from taskreel.app.services import Retention, Rules
from taskreel.config import ConfigurationError, Settings
from taskreel.domain.flow_limits import FREE, FlowLimits
from taskreel.domain.input_limits import MIB, InputLimits
from taskreel.domain.validation_messages import describe_errors
from taskreel.domain.value import format_path


def build_rules(chosen: Settings) -> Rules:
    """The rules of a deployment. Raises ConfigurationError."""
    return Rules(
        initial_credits=chosen.initial_credits,
        lease=timedelta(seconds=chosen.lease_seconds),
        heartbeat=timedelta(seconds=chosen.heartbeat_seconds),
        rescue_after=timedelta(seconds=chosen.rescue_after_seconds),
        signed_url_lifetime=timedelta(seconds=chosen.signed_url_seconds),
        retention=_build_retention(chosen),
        inputs=_build_input_limits(chosen),
        wake_shards=chosen.wake_shards,
        limits=parse_limits(chosen.limits),
        api_base_url=chosen.api_base_url.rstrip("/"),
    )


def _build_retention(chosen: Settings) -> Retention:
    """The times for which ended jobs are stored. Raises ConfigurationError."""
    by_type = {}
    for part in filter(None, chosen.type_retention_days.split(",")):
        from taskreel.jobtypes import JOB_TYPES

        job_type, _, days = part.strip().partition(":")
        if job_type not in JOB_TYPES or not days.isdecimal():
            raise ConfigurationError(
                f"TYPE_RETENTION_DAYS: {part!r} must be JOB_TYPE:DAYS, such as image-generation:30"
            )
        if not 1 <= int(days) <= chosen.retention_days:
            raise ConfigurationError(
                f"TYPE_RETENTION_DAYS: {part!r} must have 1 to {chosen.retention_days} days, the "
                "time after which the bucket removes every file (RETENTION_DAYS)"
            )
        by_type[job_type] = timedelta(days=int(days))
    return Retention(timedelta(days=chosen.retention_days), by_type)


def _build_input_limits(chosen: Settings) -> InputLimits:
    """The limits on a job's input files. Raises ConfigurationError if one job could never fit."""
    if chosen.scratch_mb < chosen.max_job_input_mb:
        raise ConfigurationError(
            f"SCRATCH_MB is {chosen.scratch_mb}: it must be at least MAX_JOB_INPUT_MB "
            f"({chosen.max_job_input_mb}), or the input files of one job would never fit"
        )
    return InputLimits(
        max_files=chosen.max_job_input_files,
        max_file_bytes=chosen.max_input_file_mb * MIB,
        max_job_bytes=chosen.max_job_input_mb * MIB,
        max_job_pixels=chosen.max_job_input_megapixels * 1_000_000,
        max_job_seconds=chosen.max_job_input_seconds,
    )


def parse_limits(setting: str | None) -> FlowLimits | None:
    """The limits that LIMITS names. Raises ConfigurationError that names the wrong field."""
    if setting is None:
        return None
    try:
        found = FlowLimits.model_validate(_read_limits(setting))
    except ValidationError as error:
        rows = describe_errors(error.errors(include_input=False), FlowLimits)
        wrong = "; ".join(f"{format_path(at)} {message}" for at, message in rows)
        raise ConfigurationError(f"LIMITS: {wrong}") from None
    if FREE not in found.tiers:
        raise ConfigurationError(
            f"LIMITS: tiers has no `{FREE}`, which is the tier of a token that names none"
        )
    return found


def _read_limits(setting: str) -> Any:
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
