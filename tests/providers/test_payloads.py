from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from providers.case import build_generation
from taskreel.adapters.providers import payloads, ratios
from taskreel.domain.errors import PermanentError, TemporaryError
from taskreel.ports import Capability

SIDE = st.integers(64, 4096)
RATIOS = ("21:9", "16:9", "3:2", "1:1", "2:3", "9:16")


@given(
    width=SIDE, height=SIDE, multiple=st.sampled_from([8, 16, 32]), megapixels=st.integers(1, 16)
)
def test_a_snapped_size_is_within_every_limit(
    width: int, height: int, multiple: int, megapixels: int
) -> None:
    limits = {"multiple": multiple, "least": 64, "most": 2048, "max_pixels": megapixels * 2**20}
    found = payloads.fit_size({"width": width, "height": height}, **limits)
    assert found is not None
    assert all(64 <= side <= 2048 and side % multiple == 0 for side in found)
    # The shorter side of a very long picture is raised to the least allowed;
    # every other picture is below the limit of pixels, too.
    assert found[0] * found[1] <= megapixels * 2**20 or min(found) == 64


@given(width=SIDE, height=SIDE)
def test_a_size_that_fits_stays_as_it_is(width: int, height: int) -> None:
    params = {"width": width // 16 * 16, "height": height // 16 * 16}
    assert payloads.fit_size(params, multiple=16, least=64, most=4096, max_pixels=2**24) == (
        params["width"],
        params["height"],
    )


@given(width=SIDE, height=SIDE)
def test_the_nearest_ratio_is_no_farther_than_any_other(width: int, height: int) -> None:
    found = ratios.choose_ratio({"width": width, "height": height}, RATIOS)
    assert found is not None

    def distance(ratio: str) -> float:
        wanted = width / height
        return max(ratios.parse_ratio(ratio) / wanted, wanted / ratios.parse_ratio(ratio))

    assert distance(found) <= min(map(distance, RATIOS)) + 1e-5


def test_of_two_ratios_alike_the_nearer_in_size_is_taken() -> None:
    allowed = ("1024:1024", "1080:1080", "1440:1440")
    assert ratios.choose_ratio({"width": 1100, "height": 1100}, allowed) == "1080:1080"


def test_nothing_asked_for_is_nothing_sent() -> None:
    assert payloads.fit_size({}, multiple=8, least=8, most=8, max_pixels=64) is None
    assert ratios.choose_ratio({"width": 8}, RATIOS) is None
    assert payloads.choose_nearest(None, (1, 2)) is None
    assert payloads.fold_seed({}, 7) == {}
    assert payloads.rename_fields({"prompt": None}, {"prompt": "text"}) == {}


@pytest.mark.parametrize(("asked", "found"), [(1, 4), (5, 6), (6.9, 6), (7, 8), (60, 8)])
def test_the_nearest_number_is_the_greater_of_two_as_near(asked: float, found: int) -> None:
    assert payloads.choose_nearest(asked, (4, 6, 8)) == found


@given(seed=st.integers(0, 2**32 - 1), most=st.sampled_from([2**31 - 1, 2**32 - 2, 2**32 - 1]))
def test_a_seed_is_folded_into_what_the_provider_takes(seed: int, most: int) -> None:
    assert 0 <= payloads.fold_seed({"seed": seed}, most)["seed"] <= most


@pytest.mark.parametrize("text", ["[1]", "no json", "", "   "])
def test_structured_text_that_is_no_object_may_be_tried_again(text: str, tmp_path: Path) -> None:
    request = build_generation(tmp_path, Capability.TEXT, "", {"schema": {"type": "object"}})
    with pytest.raises(TemporaryError) as caught:
        payloads.parse_text_result("openai", text, request)
    assert caught.value.details["ended"]


def test_a_part_is_named_by_its_type(tmp_path: Path) -> None:
    given_ = build_generation(tmp_path, Capability.IMAGE, "", {}, 1).inputs[0]
    bare = replace(given_, path=given_.path.rename(tmp_path / "input-0"), content_type="image/webp")
    assert payloads.build_form_part(bare)[0] == "input-0.webp"


def test_a_file_too_large_for_any_request_is_refused_before_it_is_read(tmp_path: Path) -> None:
    request = build_generation(tmp_path, Capability.IMAGE, "", {}, 1)
    with request.inputs[0].path.open("wb") as file:
        file.truncate(payloads.MAX_INPUT_BYTES + 1)
    for way in (payloads.encode_base64, payloads.build_form_part):
        with pytest.raises(PermanentError) as caught:
            way(request.inputs[0])
        assert caught.value.code == "input_too_large"


@pytest.mark.parametrize("text", ["wide", "16:0", "0:9", "16:9:1", "-1:2", ""])
def test_a_ratio_that_is_none_is_the_callers_mistake(text: str) -> None:
    with pytest.raises(PermanentError, match="numbers like 16:9, not"):
        ratios.parse_ratio(text)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "https://",
        "https://x\x00.example/a",
        "ftp://x.example/a",
        "picture.png",
    ],
)
def test_a_result_is_at_a_web_address_or_nowhere(url: str) -> None:
    with pytest.raises(PermanentError) as caught:
        payloads.link_output(url)
    assert caught.value.code == "untrusted_host"


def test_progress_is_a_fraction_or_nothing() -> None:
    assert [payloads.parse_progress(value) for value in (0.4, 7, -1, None, "half")] == [
        0.4,
        1.0,
        0.0,
        None,
        None,
    ]


def test_names_of_properties_survive_the_dialect_although_they_are_words_of_it() -> None:
    schema: dict[str, Any] = {
        "title": "T",
        "properties": {"title": {"type": "string", "title": "x"}},
    }
    assert payloads.convert_to_openapi_schema(schema) == {
        "properties": {"title": {"type": "string"}}
    }
