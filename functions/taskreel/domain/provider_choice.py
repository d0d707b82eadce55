"""Which provider serves a job, and which one next when it fails: a name, a list in order of preference, or `auto`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from pydantic import AwareDatetime, Field

from taskreel.domain.errors import Category, InvalidError, RunError
from taskreel.domain.value import Value

AUTO = "auto"
#: Permanent for this provider, not for the job: another account or another model may do it.
ELSEWHERE = frozenset({"model_retired", "provider_auth", "provider_out_of_credit"})


class Offer(Value):
    """One provider's model for one request. Whoever makes it has asked the model table and the breaker."""

    provider: str
    model: str
    #: About what the request costs there; None when nobody knows.
    usd: float | None = Field(default=None, ge=0)
    #: What of the request it cannot do ("8 s of video", "a picture to start from"): such an offer is never taken.
    lacks: tuple[str, ...] = ()
    #: From when its breaker lets work begin; None while an admin keeps it open.
    admits_at: AwareDatetime | None
    #: It imitates the real ones: `auto` takes it only when there are none.
    stand_in: bool = False


class Choice(Value):
    """Offers in the order in which to try them; none may begin before `not_before`, when that is set."""

    offers: tuple[Offer, ...] = Field(min_length=1)
    not_before: AwareDatetime | None = None


def choose(
    wanted: str | Sequence[str],
    offers: Sequence[Offer],
    *,
    now: datetime,
    max_usd: float | None = None,
) -> Choice:
    """The offers that may serve, best first.

    A name leaves that provider alone; a list keeps its order; `auto` takes the cheapest first, and a stand-in only when
    there is nothing else. Those whose breaker is open come behind all others, the earliest first; when only they are
    left, the choice says until when to wait. Raises InvalidError with every provider's reason when none can do it.
    """
    automatic = wanted == AUTO
    names = list(dict.fromkeys([wanted] if isinstance(wanted, str) else wanted))
    listed = (
        list(offers)
        if automatic
        else [offer for name in names for offer in offers if offer.provider == name]
    )
    able = [offer for offer in listed if _obstacle(offer, max_usd, automatic=automatic) is None]
    if automatic:
        real = [offer for offer in able if not offer.stand_in]
        able = sorted(
            real or able, key=lambda offer: (offer.usd or 0.0, offer.provider, offer.model)
        )
    if not able:
        raise _nobody(names, listed, max_usd, automatic=automatic)
    ready = [offer for offer in able if offer.admits_at is not None and offer.admits_at <= now]
    later = sorted(
        (offer for offer in able if offer not in ready), key=lambda offer: offer.admits_at or now
    )
    return Choice(offers=(*ready, *later), not_before=None if ready else later[0].admits_at)


def next_offer(
    choice: Choice, tried: Collection[str], error: RunError, *, bought: bool
) -> Offer | None:
    """Who takes over after `error` from the last of the providers `tried`; None when nobody may.

    Nobody takes over work that was bought or may have been; nor after moderation or a refused request, which another
    provider would only be a way around; nor after a rate limit, which is a wait.
    """
    if bought or not (error.category is Category.PROVIDER_DOWN or error.code in ELSEWHERE):
        return None
    return next((offer for offer in choice.offers if offer.provider not in tried), None)


def _obstacle(offer: Offer, max_usd: float | None, *, automatic: bool) -> str | None:
    """Why an offer cannot be taken at all."""
    if offer.lacks:
        return f"cannot do {', '.join(offer.lacks)}"
    if offer.admits_at is None:
        return "was switched off by an administrator"
    if offer.usd is None and (automatic or max_usd is not None):
        return "has no known price"
    if max_usd is not None and offer.usd is not None and offer.usd > max_usd:
        return f"costs about ${offer.usd:.3f}"
    return None


def _nobody(
    names: list[str], listed: list[Offer], max_usd: float | None, *, automatic: bool
) -> InvalidError:
    reasons = [
        f"{offer.provider}/{offer.model} {_obstacle(offer, max_usd, automatic=automatic)}"
        for offer in listed
    ]
    if not automatic:
        offering = {offer.provider for offer in listed}
        reasons += [
            f"{name} does not offer it or is not configured"
            for name in names
            if name not in offering
        ]
    cap = "" if max_usd is None else f" for ${max_usd:.3f}"
    message = f"No provider can do this{cap}: {'; '.join(reasons) or 'none is configured'}."
    return InvalidError.at("provider", message, text=message, code="no_provider")
