from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from taskreel.domain.errors import (
    InvalidError,
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    RunError,
)
from taskreel.domain.provider_choice import ModelQuality, Offer, choose_offers, next_offer

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def offer(
    provider: str,
    usd: float | None = 0.04,
    *,
    wait: float = 0,
    lacks: str = "",
    stand_in: bool = False,
) -> Offer:
    return Offer(
        provider=provider,
        model="m",
        usd=usd,
        lacks=(lacks,) if lacks else (),
        admits_at=NOW + timedelta(seconds=wait),
        stand_in=stand_in,
    )


BFL, OPENAI, STUDIO = offer("bfl", 0.04), offer("openai", 0.02), offer("studio", 0.0, stand_in=True)


def names(wanted: str | list[str], *offers: Offer, max_usd: float | None = None) -> list[str]:
    return [
        item.provider for item in choose_offers(wanted, offers, now=NOW, max_usd=max_usd).offers
    ]


def test_a_name_means_that_provider_and_no_other() -> None:
    assert names("bfl", OPENAI, BFL, STUDIO) == ["bfl"]


def test_a_quality_puts_the_nearest_class_first_and_the_cheapest_of_it() -> None:
    cheap, dear, great = (
        replace(offer("a", 0.01), quality="draft"),
        offer("b", 0.05),
        replace(offer("c", 0.20), quality="best"),
    )
    offers = (great, cheap, dear, offer("d", 0.03))

    def order(quality: ModelQuality) -> str:
        choice = choose_offers("auto", offers, now=NOW, quality=quality)
        return "".join(item.provider for item in choice.offers)

    assert [order("draft"), order("standard"), order("best")] == ["adbc", "dbca", "cdba"]


def test_the_order_of_a_list_is_retained() -> None:
    assert names(["bfl", "studio", "openai", "bfl"], OPENAI, BFL, STUDIO) == [
        "bfl",
        "studio",
        "openai",
    ]


def test_auto_takes_the_cheapest_first() -> None:
    assert names("auto", BFL, OPENAI) == ["openai", "bfl"]


def test_auto_takes_a_stand_in_only_when_there_is_nothing_else() -> None:
    assert names("auto", STUDIO, BFL) == ["bfl"]
    assert names("auto", STUDIO) == ["studio"]
    assert names("auto", STUDIO, offer("bfl", lacks="video")) == ["studio"]


def test_an_open_breaker_puts_a_provider_behind_the_others() -> None:
    assert names(["bfl", "openai"], offer("bfl", wait=30), OPENAI) == ["openai", "bfl"]


def test_when_all_are_open_the_choice_says_until_when_to_wait() -> None:
    choice = choose_offers(
        ["bfl", "openai"], [offer("bfl", wait=30), offer("openai", wait=10)], now=NOW
    )
    assert choice.not_before == NOW + timedelta(seconds=10)
    assert [item.provider for item in choice.offers] == ["openai", "bfl"]


def test_what_cannot_do_the_whole_request_is_never_taken() -> None:
    lesser = offer("openai", 0.001, lacks="a picture to start from")
    assert names("auto", lesser, BFL) == ["bfl"]
    with pytest.raises(InvalidError, match=r"openai/m cannot do a picture to start from"):
        names("openai", lesser, BFL)


def test_a_price_cap_holds_for_names_and_for_auto() -> None:
    assert names("auto", BFL, OPENAI, max_usd=0.03) == ["openai"]
    with pytest.raises(InvalidError, match=r"for \$0.010: bfl/m costs about \$0.040"):
        names("bfl", BFL, max_usd=0.01)


def test_an_unknown_price_is_fine_for_a_name_but_not_for_auto_or_under_a_cap() -> None:
    unknown = offer("replicate", None)
    assert names("replicate", unknown) == ["replicate"]
    for wanted, cap in (("auto", None), ("replicate", 1.0)):
        with pytest.raises(InvalidError, match="has no known price"):
            names(wanted, unknown, max_usd=cap)


@pytest.mark.parametrize(
    ("wanted", "offers", "reason"),
    [
        ("nobody", [BFL], "nobody does not offer it or is not configured"),
        (["x", "y"], [], "x does not offer it or is not configured; y does not"),
        ("auto", [], "none is configured"),
        ("bfl", [replace(BFL, admits_at=None)], "switched off by an administrator"),
    ],
)
def test_no_provider_is_an_error_with_the_reasons(
    wanted: str | list[str], offers: list[Offer], reason: str
) -> None:
    with pytest.raises(InvalidError, match=reason) as caught:
        choose_offers(wanted, offers, now=NOW)
    assert caught.value.code == "no_provider"
    assert caught.value.details["errors"][0]["path"] == "provider"


@pytest.mark.parametrize(
    ("error", "moves"),
    [
        (ProviderDownError("x"), True),
        (PermanentError("x", code="provider_out_of_credit"), True),
        (PermanentError("x", code="provider_auth"), True),
        (PermanentError("x", code="model_retired"), True),
        (PermanentError("x", code="moderation"), False),
        (PermanentError("x", code="provider_rejected"), False),
        (PermanentError("x", code="ambiguous_create"), False),
        (RateLimitedError("x", retry_after=timedelta(seconds=1)), False),
    ],
)
def test_another_takes_over_only_for_what_is_the_providers_fault(
    error: RunError,
    moves: bool,  # noqa: FBT001 - a parameter of pytest's
) -> None:
    choice = choose_offers(["bfl", "openai"], [BFL, OPENAI], now=NOW)
    assert next_offer(choice, {"bfl"}, error, bought=False) == (OPENAI if moves else None)


def test_work_that_was_bought_stays_where_it_is() -> None:
    choice = choose_offers(["bfl", "openai"], [BFL, OPENAI], now=NOW)
    assert next_offer(choice, {"bfl"}, ProviderDownError("x"), bought=True) is None


def test_when_all_were_tried_no_provider_remains() -> None:
    choice = choose_offers(["bfl", "openai"], [BFL, OPENAI], now=NOW)
    assert next_offer(choice, {"bfl", "openai"}, ProviderDownError("x"), bought=False) is None


offers = st.lists(
    st.builds(
        offer,
        st.sampled_from(["bfl", "openai", "google", "fal"]),
        st.none() | st.floats(0, 1),
        wait=st.sampled_from([0.0, 0.0, 5.0, 60.0]),
        lacks=st.sampled_from(["", "", "sound"]),
        stand_in=st.booleans(),
    ),
    max_size=8,
)
wants = (
    st.just("auto")
    | st.sampled_from(["bfl", "fal"])
    | st.lists(st.sampled_from(["bfl", "openai", "fal"]), min_size=1)
)


@given(wanted=wants, given_offers=offers, cap=st.none() | st.floats(0, 1))
def test_a_choice_satisfies_every_rule_at_once(
    wanted: str | list[str], given_offers: list[Offer], cap: float | None
) -> None:
    try:
        choice = choose_offers(wanted, given_offers, now=NOW, max_usd=cap)
    except InvalidError:
        return
    asked = None if wanted == "auto" else {wanted} if isinstance(wanted, str) else set(wanted)
    for item in choice.offers:
        assert not item.lacks
        assert asked is None or item.provider in asked
        assert cap is None or (item.usd is not None and item.usd <= cap)
    ready = [item.admits_at is not None and item.admits_at <= NOW for item in choice.offers]
    assert ready == sorted(ready, reverse=True)
    assert (choice.not_before is None) is ready[0]
    if wanted == "auto":
        prices = [item.usd or 0 for item, now in zip(choice.offers, ready, strict=True) if now]
        assert prices == sorted(prices)
        assert len({item.stand_in for item in choice.offers}) == 1
