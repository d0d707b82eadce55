from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation, buy_live, require_live_key, run_until_done
from providers.fake_provider import build_png
from providers.minimax.fake import FakeMiniMax
from taskreel.adapters.providers.minimax.adapter import MiniMax
from taskreel.adapters.providers.model_lookup import find_row, get_today
from taskreel.adapters.providers.model_prices import estimate_cost
from taskreel.domain.errors import RunError
from taskreel.ports import Capability

PICTURE = f"data:image/png;base64,{base64.b64encode(build_png()).decode()}"


async def send_to_fake(
    params: dict[str, Any], folder: Path, pictures: int = 0, model: str = ""
) -> Any:
    fake = FakeMiniMax()
    minimax = MiniMax(fake.key, transport=fake.transport())
    request = build_generation(folder, Capability.VIDEO, model, params, pictures)
    done = await run_until_done(minimax, request)
    assert done.outputs[0].url
    await minimax.close()
    return fake.calls[0].body


async def test_a_clip_from_text(tmp_path: Path) -> None:
    asked = {"prompt": "Waves", "aspectRatio": "9:16", "duration": 3.0, "seed": 7}
    assert await send_to_fake(asked, tmp_path) == {
        "model": "MiniMax-H3",
        "content": [{"type": "text", "text": "Waves"}],
        "duration": 5,
        "resolution": "768P",
        "ratio": "9:16",
    }


async def test_hailuo_2_3_is_made_by_version_1_of_the_api(tmp_path: Path) -> None:
    asked = {"prompt": "Waves", "width": 1920, "height": 1080, "duration": 5.0}
    assert await send_to_fake(asked, tmp_path, 1, "hailuo-2.3") == {
        "model": "MiniMax-Hailuo-2.3",
        "prompt": "Waves",
        "duration": 6,
        "resolution": "768P",
        "first_frame_image": PICTURE,
    }


async def test_speech_in_a_voice_and_format(tmp_path: Path) -> None:
    fake = FakeMiniMax()
    minimax = MiniMax(fake.key, transport=fake.transport())
    asked = {"text": "The lamp is lit.", "voice": "narrator", "speed": 1.2, "outputFormat": "wav"}
    done = await run_until_done(minimax, build_generation(tmp_path, Capability.SPEECH, "", asked))
    await minimax.close()
    assert fake.calls[0].path == "/v1/t2a_v2"
    assert fake.calls[0].body == {
        "model": "speech-2.8-hd",
        "text": "The lamp is lit.",
        "stream": False,
        "output_format": "hex",
        "voice_setting": {"voice_id": "Wise_Woman", "speed": 1.2},
        "audio_setting": {"format": "wav"},
    }
    assert done.cost_usd == pytest.approx(16 * 0.10 / 1000)


async def test_a_clip_between_frames_has_their_shape(tmp_path: Path) -> None:
    asked = {"prompt": "Waves", "width": 1920, "height": 1080}
    assert await send_to_fake(asked, tmp_path, 2) == {
        "model": "MiniMax-H3",
        "content": [
            {"type": "text", "text": "Waves"},
            {"type": "image_url", "image_url": {"url": PICTURE}, "role": "first_frame"},
            {"type": "image_url", "image_url": {"url": PICTURE}, "role": "last_frame"},
        ],
        "duration": 5,
        "resolution": "2K",
    }


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (1002, "rate_limited"),
        (1004, "provider_auth"),
        (1008, "provider_out_of_credit"),
        (1026, "moderation"),
        (2013, "provider_rejected"),
        (2045, "rate_limited"),
        (1000, "provider_down"),
        (1033, "provider_down"),
        # It may have been accepted, as after a 504.
        (1001, "ambiguous_create"),
        # One that is not documented: nothing was bought, so another try is safe.
        (4321, "temporary_failure"),
    ],
)
@pytest.mark.parametrize("model", ["", "hailuo-2.3"])
async def test_an_error_with_status_200(tmp_path: Path, status: int, code: str, model: str) -> None:
    fake = FakeMiniMax()
    fake.refusal = (status, "no")
    request = build_generation(tmp_path, Capability.VIDEO, model, {"prompt": "Waves"})
    with pytest.raises(RunError) as caught:
        await run_until_done(MiniMax(fake.key, transport=fake.transport()), request)
    assert caught.value.code == code


@pytest.mark.parametrize(("width", "usd"), [(1280, 0.80), (1920, 1.30)])
def test_the_price_of_a_clip_by_its_size(width: int, usd: float) -> None:
    row = find_row("minimax", "hailuo", Capability.VIDEO, get_today())
    asked = {"width": width, "height": width * 9 // 16, "duration": 10}
    assert estimate_cost(row, asked) == pytest.approx(usd)


@pytest.mark.live
async def test_buy_a_clip(tmp_path: Path) -> None:
    minimax = MiniMax(require_live_key("MINIMAX_API_KEY"))
    await buy_live(minimax, build_generation(tmp_path, Capability.VIDEO, "", {"prompt": "Waves"}))
