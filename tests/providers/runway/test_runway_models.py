"""Runway's rows beside the types of its SDK, and requests in their forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation, run_until_done
from providers.runway.fake import FakeRunway
from providers.runway.sdk_types import explain_mistake, list_ratios, load_models
from taskreel.adapters.providers.model_limits import list_lacking
from taskreel.adapters.providers.model_lookup import find_row, get_today, list_rows
from taskreel.adapters.providers.model_prices import estimate_cost
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.ratios import count_pixels
from taskreel.adapters.providers.runway.adapter import Runway
from taskreel.ports import Capability

SHAPED = [row for row in list_rows("runway") if row.ratios or row.text_ratios or row.input_sizes]
CLIP = {"prompt": "Waves", "width": 1280, "height": 720, "duration": 5.0}
#: Sold by Runway, for no job type of ours (models.py says why).
WITHOUT_JOB_TYPE = {"recraft_v4_1_vector"}


async def send(
    capability: Capability, model: str, params: dict[str, Any], pictures: int, folder: Path
) -> Any:
    fake = FakeRunway()
    runway = Runway(fake.key, transport=fake.transport())
    await run_until_done(runway, build_generation(folder, capability, model, params, pictures))
    await runway.close()
    return fake.calls[0]


@pytest.mark.parametrize("row", SHAPED, ids=lambda row: f"{row.name} {row.capability}")
def test_every_size_of_a_row_is_one_that_the_sdk_knows(row: ModelRow) -> None:
    picture = row.capability is Capability.IMAGE
    from_text, from_picture = (
        ("text_to_image",) * 2 if picture else ("text_to_video", "image_to_video")
    )
    if row.name in load_models(from_text):
        assert {*(row.text_ratios or row.ratios)} <= {*list_ratios(from_text, row.name)}
    if row.max_inputs:
        sizes = [name for name, _ in row.input_sizes if row.size_field == "ratio"]
        assert {*row.ratios, *sizes} <= {*list_ratios(from_picture, row.name)}


@pytest.mark.parametrize(
    ("model", "capability", "size", "expected"),
    [
        ("gemini_image3_pro", Capability.IMAGE, (5056, 3392), 0.40),
        ("gemini_image3_pro", Capability.IMAGE, (3584, 4800), 0.40),
        ("gemini_image3_pro", Capability.IMAGE, (8192, 8192), 0.40),
        ("grok_imagine_image_2", Capability.IMAGE, (3200, 1440), 0.08),
        ("hailuo3", Capability.VIDEO, (3840, 2160), 5 * 0.15),
        ("grok_imagine_1_5", Capability.VIDEO, (2560, 1440), 5 * 0.29),
    ],
)
def test_the_largest_sizes_have_the_price_of_the_size_that_is_made(
    model: str, capability: Capability, size: tuple[int, int], expected: float
) -> None:
    row = find_row("runway", model, capability, get_today())
    params = {"width": size[0], "height": size[1], "duration": 5.0}
    assert estimate_cost(row, params) == pytest.approx(expected)


@pytest.mark.parametrize("row", SHAPED, ids=lambda row: f"{row.name} {row.capability}")
def test_every_size_of_a_row_with_prices_by_pixels_is_within_them(row: ModelRow) -> None:
    most = max((pixels for pixels, _ in row.usd_by_pixels), default=None)
    sizes = [count_pixels(size) for size in (*row.ratios, *row.text_ratios)]
    assert most is None or max(sizes) <= most


@pytest.mark.parametrize(
    ("path", "capability"),
    [
        ("text_to_image", Capability.IMAGE),
        ("text_to_video", Capability.VIDEO),
        ("image_to_video", Capability.VIDEO),
        ("image_upscale", Capability.UPSCALE),
        ("text_to_speech", Capability.SPEECH),
        ("sound_effect", Capability.SOUND_EFFECT),
    ],
)
def test_every_model_of_the_sdk_at_a_path_that_we_serve_has_a_row(
    path: str, capability: Capability
) -> None:
    rows = {row.name for row in list_rows("runway", capability)}
    assert load_models(path).keys() - rows <= WITHOUT_JOB_TYPE


def test_the_check_by_the_sdks_types_refuses_what_they_do_not_allow() -> None:
    wan = load_models("text_to_video")["wan3"]
    body: dict[str, Any] = {"model": "wan3", "promptText": "Waves", "ratio": "1280:720"}
    assert explain_mistake(wan, body) is None
    assert explain_mistake(wan, {"model": "wan3"}) == "promptText is required"
    for wrong in (
        {"ratio": "1280:721"},
        {"duration": 5.5},
        {"audio": 1},
        {"references": {"uri": "https://example.org"}},
        {"references": [{"uri": "https://example.org", "tag": "a"}]},
    ):
        assert explain_mistake(wan, body | wrong) == f"{next(iter(wrong))} has a wrong value"
    assert explain_mistake(wan, body | {"seed": 1}) == "seed is not permitted"


@pytest.mark.parametrize(
    ("model", "pictures", "fields"),
    [
        ("wan3", 0, {"ratio": "1280:720"}),
        ("wan3", 1, {"ratio": "auto_720p"}),
        ("kling_4", 2, {"ratio": "auto_720p"}),
        ("grok_imagine_1_5", 0, {"ratio": "16:9", "resolution": "720p"}),
        ("grok_imagine_1_5", 1, {"resolution": "720p"}),
        ("happyhorse_1_0", 0, {"ratio": "1280:720"}),
        ("happyhorse_1_0", 1, {"resolution": "720p"}),
        ("hailuo3", 1, {"ratio": "16:9", "resolution": "768p"}),
        ("h3_max", 1, {"resolution": "768p"}),
        ("kling2.5_turbo_pro", 1, {}),
    ],
)
async def test_a_clip_gets_its_size_in_the_models_own_form(
    model: str, pictures: int, fields: dict[str, str], tmp_path: Path
) -> None:
    call = await send(Capability.VIDEO, model, CLIP, pictures, tmp_path)
    sent = {name: call.body[name] for name in ("ratio", "resolution") if name in call.body}
    assert sent == fields


async def test_one_picture_is_the_first_frame_where_it_could_be_a_mere_reference(
    tmp_path: Path,
) -> None:
    call = await send(Capability.VIDEO, "seedance2_5", CLIP, 1, tmp_path)
    (frame,) = call.body["promptImage"]
    assert frame["position"] == "first"


@pytest.mark.parametrize(
    ("model", "size", "ratio", "usd"),
    [
        ("seedance2_5", (854, 480), "854:480", 0.20),
        ("seedance2_5", (1280, 720), "1280:720", 0.30),
        ("seedance2_5", (900, 900), "960:960", 0.30),
        ("seedance2_5", (1920, 1080), "1920:1080", 0.68),
        ("seedance2", (3840, 2160), "3840:2160", 1.50),
        ("gemini_omni_flash_1.1", (640, 360), "640:360", 0.034),
        ("wan3", (1080, 1920), "1080:1920", 0.20),
    ],
)
async def test_the_price_is_that_of_the_size_that_is_sent(
    model: str, size: tuple[int, int], ratio: str, usd: float, tmp_path: Path
) -> None:
    params = {**CLIP, "width": size[0], "height": size[1]}
    assert (await send(Capability.VIDEO, model, params, 0, tmp_path)).body["ratio"] == ratio
    row = find_row("runway", model, Capability.VIDEO, get_today())
    assert estimate_cost(row, params) == pytest.approx(5 * usd)


@pytest.mark.parametrize(
    ("model", "params", "usd"),
    [
        ("gpt_image_2", {}, 0.20),
        ("gpt_image_2", {"quality": "low"}, 0.01),
        ("gemini_image3_pro", {"width": 4096, "height": 4096}, 0.40),
        ("bria_fibo_1_5", {"width": 2048, "height": 2048}, 0.10),
        ("ideogram_4_5", {"quality": "high"}, 0.25),
    ],
)
async def test_a_picture_is_priced_by_its_quality_and_its_size(
    model: str, params: dict[str, Any], usd: float, tmp_path: Path
) -> None:
    asked = {"prompt": "A stone", "width": 1024, "height": 1024, **params}
    await send(Capability.IMAGE, model, asked, 0, tmp_path)
    row = find_row("runway", model, Capability.IMAGE, get_today())
    assert estimate_cost(row, asked) == pytest.approx(usd)


async def test_only_the_models_with_tags_get_them(tmp_path: Path) -> None:
    params = {"prompt": "The @image1 at night", "width": 1024, "height": 1024}
    tagged = await send(Capability.IMAGE, "gpt_image_2", params, 1, tmp_path)
    plain = await send(Capability.IMAGE, "muse_image", params, 1, tmp_path)
    assert tagged.body["referenceImages"][0]["tag"] == "image1"
    assert "tag" not in plain.body["referenceImages"][0]


@pytest.mark.parametrize(("model", "seconds"), [("wan3", 31), ("seedance2_5", 31), ("veo3.1", 9)])
def test_a_clip_longer_than_a_model_makes_is_not_shortened(model: str, seconds: int) -> None:
    row = find_row("runway", model, Capability.VIDEO, get_today())
    assert list_lacking(row, {**CLIP, "duration": seconds}, 0) == (f"{seconds} s",)
    assert not list_lacking(row, {**CLIP, "duration": seconds - 1}, 0)


async def test_an_edit_by_seedance_leaves_its_length_to_the_video(tmp_path: Path) -> None:
    call = await send(Capability.VIDEO_EDIT, "seedance2_5", {"prompt": "in snow"}, 1, tmp_path)
    assert call.path == "/v1/video_to_video"
    assert (call.body["mode"], call.body["duration"]) == ("edit", "auto")
    assert call.body["promptVideo"].startswith("data:video/mp4;base64,")
