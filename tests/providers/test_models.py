from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel.adapters.providers import PROVIDERS, load_price_pages
from taskreel.adapters.providers.model_limits import list_lacking
from taskreel.adapters.providers.model_lookup import (
    find_row,
    list_candidates,
    list_rows,
    resolve_provider_name,
)
from taskreel.adapters.providers.model_prices import estimate_cost
from taskreel.adapters.providers.model_row import ModelRow, PriceUnit
from taskreel.adapters.providers.price_pages import find_price_page, list_old_pages
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability

IMAGE, VIDEO, EDIT, UPSCALE, SPEECH = (
    Capability.IMAGE,
    Capability.VIDEO,
    Capability.VIDEO_EDIT,
    Capability.UPSCALE,
    Capability.SPEECH,
)
DAY = date(2026, 11, 22)
NO_LONGER_CHOSEN = "requests that name no model no longer get it"
ROWS = tuple(list_rows())


@pytest.mark.parametrize(
    ("provider", "model", "capability", "path"),
    [
        ("bfl", "flux-1.1-pro", IMAGE, "flux-pro-1.1"),
        ("bfl", "flux-pro-1.1", IMAGE, "flux-pro-1.1"),
        ("replicate", "flux-dev", IMAGE, "black-forest-labs/flux-dev"),
        ("replicate", "flux-schnell", IMAGE, "black-forest-labs/flux-schnell"),
        ("fal", "flux-dev", IMAGE, "fal-ai/flux/dev"),
        ("fal", "flux-schnell", IMAGE, "fal-ai/flux/schnell"),
        ("runway", "runway-gen4", VIDEO, "gen4_turbo"),
        ("runway", "gen4_turbo", VIDEO, "gen4_turbo"),
        ("stability", "stable-diffusion-xl", IMAGE, "generate/sd3"),
        ("stability", "sd3", IMAGE, "generate/sd3"),
        ("google", "veo-3", VIDEO, "veo-3.1-generate-001"),
        ("veo", "veo-3", VIDEO, "veo-3.1-generate-001"),
        ("openai", "gpt-image", IMAGE, "gpt-image-2"),
    ],
)
def test_the_guides_names_still_mean_something(
    provider: str, model: str, capability: Capability, path: str
) -> None:
    assert find_row(provider, model, capability, DAY).path == path


def test_upscale_as_a_provider_means_any_that_upscales() -> None:
    row = find_row("upscale", "real-esrgan", UPSCALE, DAY)
    assert (row.provider, row.path.partition(":")[0]) == ("replicate", "nightmareai/real-esrgan")
    assert find_row("upscale", "", UPSCALE, DAY) is row


@pytest.mark.parametrize(
    ("model", "capability", "successor"),
    [
        ("dall-e-3", IMAGE, "gpt-image-2"),
        ("dalle-3", IMAGE, "gpt-image-2"),
        ("gpt-image-1", IMAGE, "gpt-image-2"),
        ("sora", VIDEO, "veo-3.1"),
    ],
)
def test_a_retired_model_names_its_successor(
    model: str, capability: Capability, successor: str
) -> None:
    with pytest.raises(PermanentError, match=successor) as caught:
        find_row("openai", model, capability, DAY)
    assert caught.value.code == "model_retired"


def test_a_model_is_there_until_the_day_it_retires() -> None:
    assert find_row("openai", "gpt-image-1.5", IMAGE, date(2026, 11, 30)).name == "gpt-image-1.5"
    with pytest.raises(PermanentError):
        find_row("openai", "gpt-image-1.5", IMAGE, date(2026, 12, 1))


def test_an_unknown_model_is_told_what_exists() -> None:
    with pytest.raises(PermanentError, match=r"it has: flux-2-pro, .*flux-kontext-max") as caught:
        find_row("bfl", "flux-9", IMAGE, DAY)
    assert caught.value.code == "unknown_model"


@pytest.mark.parametrize("provider", ["bfl", "nobody"])
def test_a_provider_that_cannot_is_told_who_can(provider: str) -> None:
    with pytest.raises(
        PermanentError, match=r"these have: fal, google, luma, .*openai, replicate, runway"
    ) as caught:
        find_row(provider, "veo-3", VIDEO, DAY)
    assert caught.value.code == "unknown_provider"


def test_open_providers_take_any_model_at_an_unknown_price() -> None:
    row = find_row("replicate", "someone/their-model", VIDEO, DAY)
    assert row.path == "someone/their-model"
    assert estimate_cost(row, {}) is None


def test_an_open_provider_without_a_model_says_what_it_has() -> None:
    with pytest.raises(PermanentError, match="it has: none"):
        find_row("fal", "", Capability.COMPOSE, DAY)


def test_each_name_means_one_row_of_a_provider_and_capability() -> None:
    for row in ROWS:
        for name in {row.name, row.path if not row.variant else row.name, *row.aliases}:
            found = [
                other
                for other in list_rows(row.provider, row.capability)
                if name in {other.name, other.path, *other.aliases}
            ]
            assert found == [row], name


def test_every_row_belongs_to_a_provider_in_the_table_and_each_provider_has_rows() -> None:
    assert {row.provider for row in ROWS} == set(PROVIDERS)


def test_a_retiring_row_has_a_successor_and_the_successor_exists() -> None:
    for row in ROWS:
        assert bool(row.retires_on) is bool(row.replaced_by)
        if row.retires_on and row.capability is IMAGE:
            assert find_row(row.provider, row.replaced_by, IMAGE, DAY).is_current(row.retires_on)


def test_limits_are_in_order() -> None:
    for row in ROWS:
        assert list(row.durations) == sorted(row.durations)
        assert list(row.scales) == sorted(row.scales)
        assert not row.needs_input or row.max_inputs


@pytest.mark.parametrize(
    ("provider", "model", "capability", "params", "usd"),
    [
        ("bfl", "flux-2-pro", IMAGE, {"width": 1024, "height": 1024}, 0.03),
        ("bfl", "flux-2-pro", IMAGE, {"width": 2048, "height": 2048}, 0.03 + 3 * 0.015),
        ("bfl", "flux-2-klein-4b", IMAGE, {"width": 2048, "height": 2048}, 0.014 + 3 * 0.001),
        ("bfl", "flux-2-max", IMAGE, {"width": 2048, "height": 2048}, 0.07 + 3 * 0.03),
        ("google", "nano-banana-2", IMAGE, {"width": 1024, "height": 1024}, 0.0336),
        ("google", "nano-banana-2", IMAGE, {"width": 2048, "height": 1152}, 0.0504),
        ("google", "nano-banana-pro", IMAGE, {"width": 2048, "height": 2048}, 0.134),
        ("google", "nano-banana-pro", IMAGE, {"width": 4096, "height": 2304}, 0.24),
        ("openai", "gpt-image-2", IMAGE, {"quality": "high", "numImages": 2}, 0.422),
        ("runway", "gen4_turbo", VIDEO, {"duration": 5.0}, 0.25),
        ("google", "veo-3", VIDEO, {}, 1.6),
        ("stability", "conservative", UPSCALE, {}, 0.40),
        ("fal", "veo-3.1", VIDEO, {"duration": 8}, 3.2),
        ("fal", "veo-3.1", VIDEO, {"duration": 8, "audio": False}, 1.6),
        ("fal", "hailuo-2.3", VIDEO, {"duration": 6}, 0.28),
        ("fal", "hailuo-2.3", VIDEO, {"duration": 9}, 0.56),
        ("fal", "seedance-1.5-pro", VIDEO, {"duration": 5, "width": 1920}, 0.583),
        ("fal", "seedvr2", UPSCALE, {"scale": 4}, 0.016),
        ("fal", "eleven-music", Capability.MUSIC, {"duration": 61}, 1.60),
        ("fal", "stable-audio-2.5", Capability.MUSIC, {"duration": 61}, 0.20),
        ("runway", "aleph2", EDIT, {"inputSeconds": 0.5}, 0.56),
        ("runway", "aleph2", EDIT, {"inputSeconds": 30}, 8.40),
        ("fal", "ray-3.2-edit", EDIT, {"inputSeconds": 10.4}, 15 * 0.216),
        ("luma", "ray-3.2-edit", EDIT, {"inputSeconds": 5, "width": 1920}, 5 * 0.432),
        ("fal", "sync-3", Capability.LIP_SYNC, {"inputSeconds": 30}, 4.0),
        ("elevenlabs", "", SPEECH, {"text": "x" * 500}, 0.04),
        ("openai", "", Capability.TEXT, {"prompt": "x" * 400}, (100 * 0.75 + 2000 * 4.5) / 1e6),
    ],
)
def test_an_estimate_follows_the_price_table(
    provider: str, model: str, capability: Capability, params: dict[str, object], usd: float
) -> None:
    assert estimate_cost(find_row(provider, model, capability, DAY), params) == pytest.approx(usd)


@given(
    row=st.sampled_from(ROWS),
    days=st.integers(0, 2000),
    case=st.sampled_from([str.lower, str.upper]),
)
def test_a_name_finds_its_row_while_it_is_current_and_never_after(
    row: ModelRow, days: int, case: type[str]
) -> None:
    day = date(2026, 1, 1) + timedelta(days=days)
    try:
        assert find_row(row.provider, case(row.name), row.capability, day) == row
        assert row.is_current(day)
    except PermanentError as error:
        assert not row.is_current(day)
        assert error.code == "model_retired"  # noqa: PT017  # either of two answers is right


@given(
    pixels=st.tuples(st.integers(64, 4096), st.integers(64, 4096)),
    row=st.sampled_from([r for r in ROWS if r.usd]),
)
def test_an_estimate_is_never_negative(row: ModelRow, pixels: tuple[int, int]) -> None:
    usd = estimate_cost(row, {"width": pixels[0], "height": pixels[1], "text": "x", "prompt": "x"})
    assert usd is not None
    assert usd > 0
    assert row.unit in PriceUnit


@pytest.mark.parametrize(
    ("provider", "model", "capability", "params", "pictures", "lacking"),
    [
        ("bfl", "flux-2-pro", IMAGE, {"width": 1024, "height": 1024}, 8, ()),
        (
            "bfl",
            "flux-2-pro",
            IMAGE,
            {"width": 4096, "height": 4096},
            9,
            ("9 input pictures", "4096×4096 pixels"),
        ),
        ("bfl", "flux-2-pro", IMAGE, {"numImages": 4}, 0, ("4 results a request",)),
        (
            "runway",
            "gen4_turbo",
            VIDEO,
            {"duration": 60.0},
            0,
            ("text without an input picture", "60 s"),
        ),
        ("google", "veo-3", VIDEO, {"duration": 8}, 2, ()),
        ("fal", "esrgan", UPSCALE, {"scale": 10.0}, 1, ("a scale of 10",)),
        ("openai", "tts-1", SPEECH, {"text": "x" * 4096, "outputFormat": "wav"}, 0, ()),
        (
            "openai",
            "tts-1",
            SPEECH,
            {"text": "x" * 4097, "outputFormat": "m4a"},
            0,
            ("4097 characters", "m4a files"),
        ),
    ],
)
def test_what_a_model_cannot_do_whole_is_said_in_words(
    provider: str,
    model: str,
    capability: Capability,
    params: dict[str, object],
    pictures: int,
    lacking: tuple[str, ...],
) -> None:
    assert list_lacking(find_row(provider, model, capability, DAY), params, pictures) == lacking


def test_candidates_are_those_who_have_the_model() -> None:
    found = list_candidates(["bfl", "replicate", "openai", "fal"], "flux-1.1-pro", IMAGE, DAY)
    assert [row.provider for row in found] == ["bfl", "replicate", "fal"]


def test_without_a_model_each_gives_its_default_or_everything() -> None:
    defaults = list_candidates(["google", "runway", "bfl"], "", VIDEO, DAY)
    assert [row.name for row in defaults] == ["veo-3.1", "gen4.5"]
    every = list_candidates(["google", "runway", "bfl"], "", VIDEO, DAY, every=True)
    assert {row.name for row in every} > {"veo-3.1", "veo-3.1-lite", "gen4_turbo"}
    assert all(row.is_current(DAY) for row in every)


def test_a_model_that_retires_within_thirty_days_is_not_chosen_by_itself() -> None:
    """chatgpt-image-latest was the cheapest of OpenAI's pictures days before its end."""
    names = {row.name for row in list_candidates(["openai"], "", IMAGE, DAY, every=True)}
    assert "gpt-image-2" in names
    assert not names & {"chatgpt-image-latest", "gpt-image-1.5", "gpt-image-1-mini"}
    assert list_candidates(["openai"], "gpt-image-1.5", IMAGE, DAY)
    in_the_last_month = date(2026, 12, 20)
    assert list_candidates(["openai"], "", SPEECH, in_the_last_month, every=True) == []
    # A caller who names the provider gets what it has, as long as it has nothing else.
    assert find_row("openai", "", SPEECH, in_the_last_month).name == "gpt-4o-mini-tts"


@pytest.mark.parametrize(
    ("on", "warning"),
    [
        (date(2026, 10, 1), None),
        (date(2026, 10, 9), "tts-1 retires on 2027-01-06; use elevenlabs"),
        (
            date(2026, 12, 20),
            f"tts-1 retires on 2027-01-06; {NO_LONGER_CHOSEN}; use elevenlabs",
        ),
        (date(2027, 1, 6), None),
    ],
)
def test_a_retirement_is_announced_ninety_days_ahead(on: date, warning: str | None) -> None:
    row = next(row for row in ROWS if row.name == "tts-1")
    assert row.explain_retirement(on) == warning


def test_names_of_providers_are_folded() -> None:
    assert resolve_provider_name("Vertex-AI") == "google"
    assert resolve_provider_name("bfl") == "bfl"


def test_each_price_has_the_page_that_it_was_read_from() -> None:
    lacking = [row.name for row in list_rows() if row.usd is not None and not find_price_page(row)]
    assert lacking == []
    assert all(find_price_page(row) is None for row in list_rows() if row.usd is None)


def test_every_page_of_prices_is_that_of_a_row() -> None:
    used = {find_price_page(row) for row in list_rows()}
    pages = [page for name in PROVIDERS for page in load_price_pages(name)]
    assert [page.url for page in pages if page not in used] == []


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (180, []),
        (181, ["prices of xai were read on 2026-11-27; compare them with https://docs.x.ai"]),
    ],
)
def test_a_page_that_was_read_long_ago_is_said(days: int, words: list[str]) -> None:
    said = list_old_pages(list_rows("xai"), date(2026, 11, 27) + timedelta(days=days))
    assert [one[: len(word)] for one, word in zip(said, words, strict=True)] == words
