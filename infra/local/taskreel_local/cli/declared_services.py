"""The sizes and limits of the Cloud Run services that infra/services.yaml declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from taskreel_local.stack.repository_paths import ROOT

SERVICES = ROOT / "infra" / "services.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSize:
    """A service: its instances' size, how many there may be, and requests at a time in each."""

    cpus: float
    memory_gib: float
    max_instances: int
    concurrency: int


@cache
def _load_document(path: Path) -> Mapping[str, Any]:
    document: Mapping[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return document


@cache
def load_services(path: Path = SERVICES) -> Mapping[str, ServiceSize]:
    """Read the services of a file in the format of infra/services.yaml."""
    document = _load_document(path)
    found = {}
    for name, own in document["services"].items():
        settings = {**document["defaults"], **own}
        found[name] = ServiceSize(
            cpus=float(settings["cpu"]),
            memory_gib=_parse_gib(settings["memory"]),
            max_instances=int(settings["maxInstances"]),
            concurrency=int(settings["concurrency"]),
        )
    return found


def load_index_shards(path: Path = SERVICES) -> tuple[int, int]:
    """Read the shards of the index by which the sweep finds jobs, and of those of job types."""
    env = _load_document(path)["defaults"]["env"]
    shards = int(env["WAKE_SHARDS"])
    return shards, shards if "sharded-types" in env["STORE_URL"].partition("?")[2] else 1


def load_type_retention(path: Path = SERVICES) -> Mapping[str, float]:
    """Read the days for which the jobs of some types are stored."""
    env = _load_document(path)["defaults"]["env"]
    text = env.get("TYPE_RETENTION_DAYS", "")
    parts = (part.partition(":") for part in text.split(",") if part)
    return {job_type.strip(): float(days) for job_type, _, days in parts}


def _parse_gib(text: str) -> float:
    """Parse `512Mi` or `2Gi`."""
    amount, unit = text[:-2], text[-2:]
    return float(amount) / {"Mi": 1024, "Gi": 1}[unit]
