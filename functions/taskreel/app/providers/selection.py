"""Selection of the providers for one unit of work: at submission, and again when one fails."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from msgspec.structs import replace

from taskreel.app.providers.circuit_breakers import breaker_id
from taskreel.app.providers.registry import ProviderRegistry
from taskreel.domain.errors import InvalidError
from taskreel.domain.provider_choice import (
    AUTO,
    ModelQuality,
    Offer,
    ProviderChoice,
    choose_offers,
)
from taskreel.domain.record import Record
from taskreel.jobtypes.job_type import Unit
from taskreel.jobtypes.submission import Submission
from taskreel.ports import WorkRequest


class ProviderPreference(Record):
    """Providers that a job asks for: one name, an ordered list, or any (None or "auto").

    `model` is "" for any. `max_usd` is the price cap of one unit, None for no cap.
    """

    providers: str | Sequence[str] | None
    model: str
    max_usd: float | None
    quality: ModelQuality | None = None

    @classmethod
    def of_submission(cls, submission: Submission, unit_count: int) -> Self:
        """The preference of each unit of a job; they share the job's price cap equally."""
        cap = submission.max_usd
        return cls(
            submission.provider,
            submission.model or "",
            None if cap is None else cap / max(unit_count, 1),
            submission.quality,
        )

    @property
    def key(self) -> tuple[str, str, float | None, ModelQuality | None]:
        """Equal for equal preferences."""
        return repr(self.providers), self.model, self.max_usd, self.quality

    @property
    def is_automatic(self) -> bool:
        """True when any provider will do."""
        return self.providers is None or self.providers == AUTO

    @property
    def ranges_over_models(self) -> bool:
        """True when a provider may serve by any of its models, False: by its default."""
        is_cheapest = self.providers == AUTO or (self.is_automatic and self.max_usd is not None)
        return not self.model and (is_cheapest or self.quality is not None)

    @property
    def names(self) -> list[str]:
        """The names as the caller wrote them, in order of preference; none for any provider."""
        if self.providers is None or self.providers == AUTO:
            return []
        return [self.providers] if isinstance(self.providers, str) else list(self.providers)


async def choose_providers(
    registry: ProviderRegistry, unit: Unit, preference: ProviderPreference, now: datetime
) -> ProviderChoice:
    """The providers that may serve a unit, best first, by the breakers' present state.

    Raises InvalidError with every provider's reason when none can.
    """
    if unit.provider is not None:
        fixed = Offer(provider=unit.provider, model="", usd=0.0, admits_at=now)
        return ProviderChoice(offers=(fixed,))
    request = WorkRequest(unit.capability, preference.model, unit.params, len(unit.input_urls), now)
    names, offers = collect_offers(registry, preference, request)
    # Only paid work has breakers: work done here costs no query.
    if any(registry.is_paid(offer.provider) for offer in offers):
        offers = await _apply_breakers(registry, offers, now)
    quality = None if preference.model else preference.quality
    try:
        return choose_offers(names, offers, now=now, max_usd=preference.max_usd, quality=quality)
    except InvalidError as error:
        keys = registry.key_names_that_unlock(request) if preference.is_automatic else []
        if not keys or error.code != "no_provider":
            raise
        message = f"{error.message} Set {' or '.join(keys)} for a provider that can."
        raise InvalidError.at("provider", message, text=message, code="no_provider") from None


def collect_offers(
    registry: ProviderRegistry, preference: ProviderPreference, request: WorkRequest
) -> tuple[str | list[str], list[Offer]]:
    """The provider names to choose by ("auto" or a list), and the offers of those providers."""
    if preference.is_automatic:
        return AUTO, _collect_any_offers(registry, preference, request)
    names = resolve_provider_names(registry, preference, request)
    offers: list[Offer] = []
    for name in names:
        try:
            offers += _list_offers(registry, name, preference, request)
        except InvalidError:
            if len(names) == 1:
                raise
    return names, offers


def find_imitated_provider(
    registry: ProviderRegistry,
    preference: ProviderPreference,
    request: WorkRequest,
    *,
    limits: bool = True,
) -> str | None:
    """The named provider in whose place the stand-in serves: the first that offers the work.

    None when the caller names the stand-in itself, or no provider. Raises InvalidError when no
    named provider offers it, or none at all has the model: the stand-in would take any of them, but
    a deployment refuses the job. With `limits` also for what is beyond the model: too many pictures
    or none, too many seconds, pixels or characters. Without, parts of the request are not known.
    """
    if preference.is_automatic and request.model:
        registry.check_model(request, limits=limits)
    refusals: list[InvalidError] = []
    for word in preference.names:
        name = registry.catalogue.resolve_name(word)
        if name == registry.stand_in:
            return None
        if registry.is_configured(name):
            continue
        try:
            registry.catalogue.list_offers(name, request)
            if limits:
                registry.check_limits(name, request)
        except InvalidError as error:
            refusals.append(error)
        else:
            return name
    if refusals:
        raise refusals[0]
    return None


def resolve_provider_names(
    registry: ProviderRegistry,
    preference: ProviderPreference,
    request: WorkRequest | None = None,
) -> list[str]:
    """The configured providers for the caller's names, in order, without duplicates.

    In place of a provider without a key serve those that sell the very model of the request.
    Names without a configured provider are skipped. Raises InvalidError for an unknown name, or
    when no name remains; returns [] when any provider will do.
    """
    found: list[str] = []
    missing: list[InvalidError] = []
    for word in preference.names:
        sellers = [] if request is None else registry.list_other_sellers(word, request)
        if sellers:
            found += sellers
            continue
        try:
            capability = None if request is None else request.capability
            found.append(registry.resolve_name(word, capability))
        except InvalidError as error:
            if error.code != "provider_not_configured":
                raise
            missing.append(error)
    if missing and not found:
        raise missing[0]
    return list(dict.fromkeys(found))


async def _apply_breakers(
    registry: ProviderRegistry, offers: list[Offer], now: datetime
) -> list[Offer]:
    """The offers, each with the time from which its breaker may admit work."""
    breakers = await registry.breakers.load_breakers(now)
    found: list[Offer] = []
    for offer in offers:
        breaker = breakers.get(breaker_id(offer.provider, offer.model))
        if breaker is None:
            found.append(offer)
        else:
            admits_at = registry.breakers.waits_until(breaker, now)
            found.append(replace(offer, admits_at=admits_at))
    return found


def _list_offers(
    registry: ProviderRegistry, name: str, preference: ProviderPreference, request: WorkRequest
) -> list[Offer]:
    """A provider's offers: of all models, or of its first that can do the work.

    Raises InvalidError where it has no such model.
    """
    offers = registry.catalogue.list_offers(name, request)
    if request.model or not registry.is_paid(name):
        return offers
    if preference.ranges_over_models:
        every = registry.catalogue.list_offers(name, request, every=True)
        # A model without a known price is bought only by its name.
        return [offer for offer in every if offer.usd is not None] or offers
    if any(not offer.lacks for offer in offers):
        return offers
    others = registry.catalogue.list_offers(name, request, every=True)
    able = [offer for offer in others if not offer.lacks and offer.usd is not None]
    return able[:1] or offers


def _collect_any_offers(
    registry: ProviderRegistry, preference: ProviderPreference, request: WorkRequest
) -> list[Offer]:
    """The offers of every configured paid provider, or the stand-in's when there are none.

    Raises InvalidError without either: with every refusal, or with the keys that would help.
    """
    found: list[Offer] = []
    refusals: list[InvalidError] = []
    catalogue = registry.catalogue
    # A named model that asks for a setting is refused with its name below, not passed over.
    is_able = catalogue.has_models_for if request.model else catalogue.can_sell
    for name in registry.paid_names:
        if not is_able(name, request.capability):
            continue
        try:
            found += _list_offers(registry, name, preference, request)
        except InvalidError as error:
            refusals.append(error)
    if found:
        return found
    stand_in = registry.stand_in
    if stand_in is not None and registry.catalogue.has_models_for(stand_in, request.capability):
        return registry.catalogue.list_offers(stand_in, request)
    if refusals:
        message = "; ".join(error.message for error in refusals)
        keys = registry.key_names_that_unlock(request)
        message += f". Set {' or '.join(keys)} for a provider that can." if keys else ""
        raise InvalidError(message, code=refusals[0].code)
    raise registry.not_configured(request.capability)
