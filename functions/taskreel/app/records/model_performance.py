"""The calls of each provider's model by day: how many, how long, what failed, what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from taskreel.domain.job_metrics import DailyMetrics

_RUN, _ERROR = "run.", "error."


@dataclass(slots=True, kw_only=True)
class ModelDay:
    """A provider's model on a day; `run_ms` maps a bucket to its number of jobs."""

    day: str
    provider: str
    model: str | None
    calls: int = 0
    credits: float = 0.0
    released: float = 0.0
    cost_usd: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    run_ms: dict[str, int] = field(default_factory=dict)


def list_model_days(metrics: Sequence[DailyMetrics]) -> list[ModelDay]:
    """The models that were called, by day, oldest first; of all job types in total."""
    found: dict[tuple[str, str], ModelDay] = {}
    for one in metrics:
        for name, numbers in one.models.items():
            provider, _, model = name.partition("/")
            row = found.setdefault(
                (one.day, name), ModelDay(day=one.day, provider=provider, model=model or None)
            )
            for key, number in numbers.items():
                _add(row, key, number)
    return [found[key] for key in sorted(found)]


def _add(row: ModelDay, key: str, number: float) -> None:
    match key:
        case "calls":
            row.calls += round(number)
        case "credits":
            row.credits += number
        case "released":
            row.released += number
        case "costUsd":
            row.cost_usd += number
        case _ if key.startswith(_RUN):
            bucket = key.removeprefix(_RUN)
            row.run_ms[bucket] = row.run_ms.get(bucket, 0) + round(number)
        case _ if key.startswith(_ERROR):
            code = key.removeprefix(_ERROR)
            row.errors[code] = row.errors.get(code, 0) + round(number)
        case _:  # of a later release
            pass
