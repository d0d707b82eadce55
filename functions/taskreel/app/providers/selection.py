"""Who serves a unit of work: chosen at submit, and asked again when that one cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from taskreel.app.providers.circuit_breakers import breaker_id
from taskreel.app.providers.registry import Providers
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError
from taskreel.domain.provider_choice import AUTO, Choice, Offer, choose
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.jobtypes.job_type import LOCAL, Submission, Unit
from taskreel.ports import WorkRequest


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of whom a job wants its work: a name, names in order of preference, or anybody; the cap is for one unit."""

    providers: str | Sequence[str] | None
    model: str
    max_usd: float | None

    @classmethod
    def of(cls, submission: Submission, units: int) -> Wanted:
        """As the submission says; its price cap is for all units together."""
        cap = submission.max_usd
        return cls(
            submission.provider,
            submission.model or "",
            None if cap is None else cap / max(units, 1),
        )


async def choice_for(services: Services, unit: Unit, wanted: Wanted) -> Choice:
    """Who may do a unit's work, best first, as the breakers are now."""
    now = services.clock.now()
    if unit.provider is not None:
        return Choice(offers=(_local(now).model_copy(update={"provider": unit.provider}),))
    asked = WorkRequest(unit.capability, wanted.model, unit.params, len(unit.input_urls), now)
    names, offers = offers_for(services.providers, wanted, asked)
    if any(services.providers.buys(offer.provider) for offer in offers):
        breakers = await services.breakers.all(services.store, now)
        known = ((offer, breakers.get(breaker_id(offer.provider, offer.model))) for offer in offers)
        offers = [
            offer
            if breaker is None
            else offer.model_copy(update={"admits_at": breaker.admits_at(now)})
            for offer, breaker in known
        ]
    return choose(names, offers, now=now, max_usd=wanted.max_usd)


def served_by(units: Sequence[UnitRun]) -> str | None:
    """Who has done them, or while none is done who is to: each name once."""
    done = [unit for unit in units if unit.state is UnitState.DONE]
    return together(unit.provider for unit in done or units)


def together(served_by: Iterable[str | None]) -> str | None:
    """All that are named, each once; None when nobody is."""
    return (
        ", ".join(dict.fromkeys(name for names in served_by if names for name in names.split(", ")))
        or None
    )


def offers_for(
    providers: Providers, wanted: Wanted, asked: WorkRequest
) -> tuple[str | list[str], list[Offer]]:
    """The names to choose by, and their offers."""
    if wanted.providers is None or wanted.providers == AUTO:
        return AUTO, _anybodys(providers, asked)
    names = names_meant(providers, wanted)
    offers: list[Offer] = []
    for name in names:
        try:
            offers += (
                [_local(asked.now)] if name == LOCAL else providers.catalogue.offers(name, asked)
            )
        except InvalidError:
            if len(names) == 1:
                raise
    return names, offers


def _anybodys(providers: Providers, asked: WorkRequest) -> list[Offer]:
    """Every real provider's offers. Without one that makes such things at all, the local provider's."""
    real = [name for name in providers.real if providers.catalogue.makes(name, asked.capability)]
    found: list[Offer] = []
    refusals: list[InvalidError] = []
    for name in real:
        try:
            found += providers.catalogue.offers(name, asked, every=not asked.model)
        except InvalidError as error:
            refusals.append(error)
    if refusals and not found and providers.stand_in is None:
        raise InvalidError("; ".join(error.message for error in refusals), code=refusals[0].code)
    return found or [_local(asked.now)]


def names_meant(providers: Providers, wanted: Wanted) -> list[str]:
    """The configured providers that the caller's words mean, in order; a stand-in for those without a key."""
    if wanted.providers is None or wanted.providers == AUTO:
        return []
    words = [wanted.providers] if isinstance(wanted.providers, str) else list(wanted.providers)
    found: list[str] = []
    missing: list[InvalidError] = []
    for word in words:
        try:
            found.append(providers.choose(word))
        except InvalidError as error:
            if error.code != "provider_not_configured":
                raise
            missing.append(error)
    if not found:
        raise missing[0]
    return list(dict.fromkeys(found))


def _local(now: datetime) -> Offer:
    return Offer(provider=LOCAL, model="", usd=0.0, admits_at=now, stand_in=True)
