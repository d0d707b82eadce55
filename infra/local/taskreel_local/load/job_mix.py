"""Mixes of job requests: those that the dev stack's imitation serves, or those of a file."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SMALL = {"width": 64, "height": 64}


class MixError(Exception):
    """The mix or the file of requests is not valid; the message names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A request, and its weight in the mix."""

    name: str
    job_type: str
    data: Mapping[str, Any]
    weight: float = 1.0


def _build_picture(studio: Mapping[str, Any] | None, **more: Any) -> Mapping[str, Any]:
    options = dict(_SMALL) if studio is None else {**_SMALL, "studio": dict(studio)}
    return {"prompt": "A lighthouse in a storm", "provider": "studio", "options": options, **more}


_NOOP = _build_picture({"mode": "noop"})
_RETRY = {"maxAttempts": 3, "minBackoffSeconds": 0.5, "maxBackoffSeconds": 1}

#: What the dev stack serves without a key: job type and request by the name of the kind.
KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("image-generation", _NOOP),
    "short": ("image-generation", _build_picture({"mode": "sleep", "seconds": 0.03})),
    "polled": (
        "image-generation",
        _build_picture({"mode": "pending", "seconds": 1, "times": 2}),
    ),
    "picture": ("image-generation", _build_picture(None)),
    "retried": (
        "image-generation",
        _build_picture({"mode": "fail-temporary", "times": 1}, retry=_RETRY),
    ),
    "batch": (
        "batch-generation",
        {
            "prompts": ["a kite", "a boat", "a mill", "a tower"],
            "provider": "studio",
            "options": {**_SMALL, "studio": {"mode": "noop"}},
        },
    ),
    "pipeline": (
        "pipeline",
        {
            "steps": {
                "many": {"type": "image-generation", "forEach": ["a", "b"], "payload": _NOOP},
                "last": {"type": "image-generation", "after": ["many"], "payload": _NOOP},
            }
        },
    ),
}
DEFAULT_MIX = "plain=60,short=15,polled=10,retried=5,batch=5,pipeline=5"


def parse_mix(text: str) -> list[JobRequest]:
    """Parse `plain=60,batch=5`: kinds with their weights. Raises MixError."""
    requests = []
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in KINDS:
            raise MixError(f"unknown kind {name!r}; the kinds are {', '.join(KINDS)}")
        job_type, data = KINDS[name]
        requests.append(
            JobRequest(
                name=name, job_type=job_type, data=data, weight=_parse_weight(weight, part.strip())
            )
        )
    return requests


def load_requests(path: Path) -> list[JobRequest]:
    """Read a JSON array of `{"jobType", "data", "weight"?, "name"?}`. Raises MixError."""
    try:
        rows = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise MixError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(rows, list) or not rows:
        raise MixError(f"{path} must be a JSON array with at least one request")
    return [_parse_request(row, f"{path}, entry {place}") for place, row in enumerate(rows)]


def _parse_request(row: Any, where: str) -> JobRequest:
    if not isinstance(row, dict) or not isinstance(row.get("data"), dict):
        raise MixError(f"{where} must be an object with jobType, data (an object) and weight")
    job_type = row.get("jobType")
    if not isinstance(job_type, str):
        raise MixError(f"{where}: jobType must be a text, such as image-generation")
    return JobRequest(
        name=str(row.get("name", job_type)),
        job_type=job_type,
        data=row["data"],
        weight=_parse_weight(row.get("weight", 1), where),
    )


def _parse_weight(value: object, where: str) -> float:
    try:
        weight = float(str(value))
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise MixError(f"{where}: the weight must be a number more than 0")
    return weight


def draw_request(requests: Sequence[JobRequest], draw: random.Random) -> JobRequest:
    """Draw one by the weights."""
    return draw.choices(requests, [request.weight for request in requests])[0]


def format_mix(requests: Sequence[JobRequest]) -> str:
    """Format a mix in percent: `plain 60 %, batch 5 %`."""
    whole = sum(request.weight for request in requests)
    return ", ".join(f"{each.name} {each.weight / whole * 100:.3g} %" for each in requests)
