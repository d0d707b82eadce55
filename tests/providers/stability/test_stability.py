from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation, buy_live, require_live_key, run_until_done
from providers.fake_provider import Fault
from providers.stability.fake import FakeStability
from taskreel.adapters.providers.stability.adapter import Stability
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability

PARAMS = {
    "prompt": "Rain",
    "width": 1280,
    "height": 720,
    "seed": 4_294_967_295,
    "outputFormat": "png",
    "guidance": 5.0,
}


async def send_to_fake(
    capability: Capability, model: str, params: dict[str, Any], pictures: int, folder: Path
) -> Any:
    fake = FakeStability()
    await run_until_done(
        Stability(fake.key, transport=fake.transport()),
        build_generation(folder, capability, model, params, pictures),
    )
    return fake.calls[0]


async def test_core_takes_words_shape_and_style(tmp_path: Path) -> None:
    params = PARAMS | {"style": "photographic", "negativePrompt": "fog"}
    call = await send_to_fake(Capability.IMAGE, "core", params, 0, tmp_path)
    assert call.path == "/v2beta/stable-image/generate/core"
    assert call.body == {
        "prompt": ["Rain"],
        "output_format": ["png"],
        "negative_prompt": ["fog"],
        "seed": ["1"],  # its seeds end one earlier than ours, and 0 is no seed
        "style_preset": ["photographic"],
        "aspect_ratio": ["16:9"],
        "none": [b""],
    }


async def test_sd3_names_its_variant_and_starts_from_a_picture(tmp_path: Path) -> None:
    call = await send_to_fake(Capability.IMAGE, "stable-diffusion-xl", PARAMS, 1, tmp_path)
    assert call.path.endswith("/generate/sd3")
    assert call.body["model"] == ["sd3.5-large"]
    assert call.body["mode"] == ["image-to-image"]
    assert call.body["cfg_scale"] == ["5.0"]
    assert "aspect_ratio" not in call.body


async def test_ultra_blends_a_picture_in(tmp_path: Path) -> None:
    call = await send_to_fake(Capability.IMAGE, "ultra", PARAMS, 1, tmp_path)
    assert call.body["strength"] == ["0.7"]


async def test_fast_upscale_is_bare(tmp_path: Path) -> None:
    call = await send_to_fake(
        Capability.UPSCALE, "", {"scale": 4.0, "seed": 7, "outputFormat": "webp"}, 1, tmp_path
    )
    assert set(call.body) == {"image", "output_format"}


@pytest.mark.parametrize("model", ["conservative", "creative"])
async def test_the_upscalers_that_demand_a_prompt_get_a_neutral_one(
    model: str, tmp_path: Path
) -> None:
    call = await send_to_fake(
        Capability.UPSCALE, model, {"scale": 4.0, "creativity": 0.3}, 1, tmp_path
    )
    assert "faithful" in call.body["prompt"][0]
    assert call.body["creativity"] == ["0.3"]


async def test_moderation_may_also_come_as_a_403(tmp_path: Path) -> None:
    fake = FakeStability(fault=Fault.MODERATION)
    provider = Stability(fake.key, transport=fake.transport())
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            provider, build_generation(tmp_path, Capability.IMAGE, "ultra", PARAMS)
        )
    assert caught.value.code == "moderation"


async def test_no_cost_is_said_that_the_answer_does_not_say(tmp_path: Path) -> None:
    """The list price, which the run takes in its place, is marked as an estimate."""
    fake = FakeStability()
    provider = Stability(fake.key, transport=fake.transport())
    done = await run_until_done(
        provider, build_generation(tmp_path, Capability.IMAGE, "core", PARAMS)
    )
    assert done.cost_usd is None


@pytest.mark.live
async def test_live(tmp_path: Path) -> None:
    provider = Stability(require_live_key("STABILITY_API_KEY"))
    params = {"prompt": "A small grey stone", "aspectRatio": "1:1"}
    await buy_live(provider, build_generation(tmp_path, Capability.IMAGE, "sd3.5-flash", params))


async def test_music_is_made_of_a_length_that_the_model_makes(tmp_path: Path) -> None:
    fake = FakeStability()
    params = {"prompt": "a waltz", "duration": 400.0, "outputFormat": "wav", "seed": 7}
    provider = Stability(fake.key, transport=fake.transport())
    request = build_generation(tmp_path, Capability.MUSIC, "", params)
    done = await run_until_done(provider, request)
    await provider.close()
    assert [output.path is not None for output in done.outputs] == [True]
    (call,) = fake.calls
    assert call.path == "/v2beta/audio/stable-audio-2/text-to-audio"
    sent = {name: values[0] for name, values in call.body.items() if name != "none"}
    assert sent == {
        "model": "stable-audio-2.5",
        "prompt": "a waltz",
        "duration": "190",
        "output_format": "wav",
        "seed": "7",
    }
