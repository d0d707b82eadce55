"""The request to a provider for one unit of a job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from taskreel.domain.job import Job
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes.job_type import Unit
from taskreel.jobtypes.registered_options import registered_names
from taskreel.ports import Generation


def build_request(
    job: Job,
    index: int,
    unit: UnitRun,
    planned: Unit,
    folder: Path,
    report: Callable[[float], None],
) -> Generation:
    """The request for the unit at `index`, without its input files."""
    return Generation(
        capability=planned.capability,
        model=requested_model(job, unit),
        params={"seed": _default_seed(job, index), **planned.params},
        folder=folder,
        name=f"unit-{index}",
        attempt=job.attempt,
        waits=unit.waits,
        report=report,
    )


def requested_model(job: Job, unit: UnitRun) -> str:
    """The model of the chosen provider, else the payload's; "" is the provider's default."""
    return unit.model or str(job.payload.get("model") or "")


def list_given_options(payload: Mapping[str, Any]) -> set[str]:
    """The names of all options that a caller has set, camelCase; defaults are not among them."""
    # Options whose members belong to a provider, and are not options of the job type.
    opaque = {"providerOptions", *registered_names()}
    found = {to_camel(name) for name in payload}
    for name, value in payload.items():
        if isinstance(value, Mapping) and name not in opaque:
            found |= list_given_options(value)
    return found


def _default_seed(job: Job, index: int) -> int:
    """A seed for callers that give none: fixed, so that every attempt makes the same."""
    return int.from_bytes(f"{job.job_id}.{index}".encode(), "big") % 2**32
