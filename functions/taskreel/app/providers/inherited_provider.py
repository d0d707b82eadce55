"""The provider that a pipeline passes on to its jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from taskreel.app.providers.registry import ProviderRegistry
from taskreel.domain.errors import InvalidError
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.submission import Submission
from taskreel.ports import WorkRequest


def inherit_provider(
    registry: ProviderRegistry,
    wanted: str | Sequence[str] | None,
    job_type: JobType[Any],
    submission: Submission,
    now: datetime,
) -> Submission:
    """The submission with those of the pipeline's providers that offer such work at all.

    It is returned unchanged when it names a provider itself, or when none of the pipeline's
    providers can do it: then any provider may.
    """
    units = [unit for unit in job_type.units(submission) if unit.provider is None]
    has_choice = bool(units) or job_type.pipeline is not None
    if wanted is None or submission.provider is not None or not has_choice:
        return submission

    one_of_each = {unit.capability: unit for unit in units}.values()
    able = [
        name
        for name in ([wanted] if isinstance(wanted, str) else wanted)
        if all(_offers_work(registry, name, unit, submission.model, now) for unit in one_of_each)
    ]
    if not able:
        return submission
    return submission.model_copy(update={"provider": able if len(able) > 1 else able[0]})


def _offers_work(
    registry: ProviderRegistry, word: str, unit: Unit, model: str | None, now: datetime
) -> bool:
    """Tell if the provider has a model for the unit; its limits are checked when it is chosen."""
    name = registry.catalogue.resolve_name(word)
    request = WorkRequest(unit.capability, model or "", unit.params, len(unit.input_urls), now)
    try:
        return bool(registry.catalogue.list_offers(name, request))
    except InvalidError:
        return False
