"""What a pipeline's jobs have from it: its provider, where they name none and it can do such work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError
from taskreel.jobtypes.job_type import LOCAL, JobType, Submission, Unit
from taskreel.ports import WorkRequest


def with_provider(
    services: Services,
    wanted: str | Sequence[str] | None,
    job_type: JobType[Any],
    submission: Submission,
) -> Submission:
    """The request with those of the pipeline's providers that do such work at all; nobody stands in for them then."""
    units = [unit for unit in job_type.units(submission) if unit.provider is None]
    if wanted is None or submission.provider is not None or not (units or job_type.pipeline):
        return submission
    kinds = {unit.capability: unit for unit in units}.values()
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    able = [
        name
        for name in names
        if all(_makes(services, name, unit, submission.model) for unit in kinds)
    ]
    return (
        submission.model_copy(update={"provider": able if len(able) > 1 else able[0]})
        if able
        else submission
    )


def _makes(services: Services, word: str, unit: Unit, model: str | None) -> bool:
    """Whether the provider has a model for it; not whether that can do all that is asked."""
    catalogue = services.providers.catalogue
    name = catalogue.provider_name(word)
    asked = WorkRequest(
        unit.capability, model or "", unit.params, len(unit.input_urls), services.clock.now()
    )
    try:
        return name == LOCAL or bool(catalogue.offers(name, asked))
    except InvalidError:
        return False
