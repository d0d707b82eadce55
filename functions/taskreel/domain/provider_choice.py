"""Choice of a provider for a job, and of the next one when it fails.

A caller names one provider, a list in order of preference, or "auto".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal

from taskreel.domain.errors import Category, InvalidError, RunError
from taskreel.domain.record import Record

AUTO = "auto"
#: How good a model is within what it does. `standard` is the usual trade of price and result.
ModelQuality = Literal["draft", "standard", "best"]
#: The classes of models in the order in which a wish is served: a better one before a worse one,
#: except for a draft.
_NEAREST: Mapping[ModelQuality, tuple[ModelQuality, ...]] = {
    "draft": ("draft", "standard", "best"),
    "standard": ("standard", "best", "draft"),
    "best": ("best", "standard", "draft"),
}
#: Codes of errors that are permanent at one provider only: another account or model may succeed.
ELSEWHERE_CODES = frozenset({"model_retired", "provider_auth", "provider_out_of_credit"})


class Offer(Record, kw_only=True):
    """One provider's model for one request, as the model table and its breaker describe it."""

    provider: str
    model: str
    #: Estimated price of the request in US dollars; None when it is not known.
    usd: float | None = None
    #: Requirements that it cannot meet ("8 s of video", "a picture to start from"). An offer that
    #: lacks something is never chosen.
    lacks: tuple[str, ...] = ()
    #: Time from which its breaker admits work; None while an administrator holds it open.
    admits_at: datetime | None
    quality: ModelQuality = "standard"
    #: An imitation of the paid providers: `auto` chooses it only when there are none.
    stand_in: bool = False


class ProviderChoice(Record, kw_only=True):
    """Offers in the order in which to try them; if `not_before` is set, none is ready earlier."""

    #: At least one.
    offers: tuple[Offer, ...]
    not_before: datetime | None = None


def choose_offers(
    wanted: str | Sequence[str],
    offers: Sequence[Offer],
    *,
    now: datetime,
    max_usd: float | None = None,
    quality: ModelQuality | None = None,
) -> ProviderChoice:
    """The offers that may serve a request, best first.

    One name allows that provider only; a list keeps its order; "auto" sorts by price and uses a
    stand-in only when nothing else can serve. With a quality, the offers of the nearest class come
    first, within one provider of a list and among all of "auto".
    Offers whose breaker is open follow all others, the earliest first; when there are only those,
    the choice says until when to wait.
    Raises InvalidError with every provider's reason when none can serve.
    """
    is_automatic = wanted == AUTO
    names = list(dict.fromkeys([wanted] if isinstance(wanted, str) else wanted))
    listed = list(offers) if is_automatic else _order_by_name(offers, names)

    able = [
        offer for offer in listed if _obstacle_of(offer, max_usd, is_automatic=is_automatic) is None
    ]
    if not able:
        raise _no_provider_error(names, listed, max_usd, is_automatic=is_automatic)
    if is_automatic:
        able = _order_by_price(able)
    if quality is not None:
        able = _order_by_quality(able, quality, names=None if is_automatic else names)

    ready = [offer for offer in able if offer.admits_at is not None and offer.admits_at <= now]
    later = [offer for offer in able if offer not in ready]
    later.sort(key=lambda offer: offer.admits_at or now)
    return ProviderChoice(offers=(*ready, *later), not_before=None if ready else later[0].admits_at)


def next_offer(
    choice: ProviderChoice, tried: Collection[str], error: RunError, *, bought: bool
) -> Offer | None:
    """The offer that takes over after `error`, of a provider that is not in `tried`; or None.

    Work that was bought, or may have been, stays where it is. So does work after moderation or a
    refused request, which another provider would only be a way around, and after a rate limit,
    which is a wait.
    """
    may_move = error.category is Category.PROVIDER_DOWN or error.code in ELSEWHERE_CODES
    if bought or not may_move:
        return None
    return next((offer for offer in choice.offers if offer.provider not in tried), None)


def _order_by_name(offers: Sequence[Offer], names: Sequence[str]) -> list[Offer]:
    """The offers of the named providers, in the order of the names."""
    return [offer for name in names for offer in offers if offer.provider == name]


def _order_by_price(offers: Sequence[Offer]) -> list[Offer]:
    """The paid offers, cheapest first; the stand-ins' when there are no others."""
    paid = [offer for offer in offers if not offer.stand_in]
    return sorted(paid or offers, key=lambda offer: (offer.usd or 0.0, offer.provider, offer.model))


def _order_by_quality(
    offers: Sequence[Offer], quality: ModelQuality, names: Sequence[str] | None
) -> list[Offer]:
    """The offers by nearness to the quality; with names, in their order first."""
    nearest = _NEAREST[quality]
    return sorted(
        offers,
        key=lambda offer: (
            names.index(offer.provider) if names else 0,
            nearest.index(offer.quality),
        ),
    )


def _obstacle_of(offer: Offer, max_usd: float | None, *, is_automatic: bool) -> str | None:
    """Reason that an offer can never be chosen, or None."""
    if offer.lacks:
        return f"cannot do {', '.join(offer.lacks)}"
    if offer.admits_at is None:
        return "was switched off by an administrator"
    if offer.usd is None and (is_automatic or max_usd is not None):
        return "has no known price"
    if max_usd is not None and offer.usd is not None and offer.usd > max_usd:
        return f"costs about ${offer.usd:.3f}"
    return None


def _no_provider_error(
    names: list[str], listed: list[Offer], max_usd: float | None, *, is_automatic: bool
) -> InvalidError:
    reasons = [
        f"{offer.provider}/{offer.model} {_obstacle_of(offer, max_usd, is_automatic=is_automatic)}"
        for offer in listed
    ]
    if not is_automatic:
        with_offers = {offer.provider for offer in listed}
        reasons += [
            f"{name} does not offer it or is not configured"
            for name in names
            if name not in with_offers
        ]
    cap = "" if max_usd is None else f" for ${max_usd:.3f}"
    message = f"No provider can do this{cap}: {'; '.join(reasons) or 'none is configured'}."
    return InvalidError.at("provider", message, text=message, code="no_provider")
