from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation, buy_live, require_live_key, run_until_done
from providers.fake_provider import build_png
from providers.xai.fake import FakeXAI
from taskreel.adapters.providers.model_lookup import find_row, get_today
from taskreel.adapters.providers.model_prices import estimate_cost
from taskreel.adapters.providers.xai.adapter import XAI
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability

PICTURE = f"data:image/png;base64,{base64.b64encode(build_png()).decode()}"


async def send_to_fake(
    capability: Capability, params: dict[str, Any], folder: Path, pictures: int = 0, model: str = ""
) -> Any:
    fake = FakeXAI()
    xai = XAI(fake.key, transport=fake.transport())
    done = await run_until_done(xai, build_generation(folder, capability, model, params, pictures))
    await xai.close()
    return fake.calls[0], done


async def test_pictures_from_text(tmp_path: Path) -> None:
    asked = {"prompt": "A kite", "width": 1920, "height": 1080, "numImages": 2, "seed": 7}
    call, done = await send_to_fake(Capability.IMAGE, asked, tmp_path)
    assert call.path == "/v1/images/generations"
    assert call.body == {
        "model": "grok-imagine-image",
        "prompt": "A kite",
        "n": 2,
        "aspect_ratio": "16:9",
        "resolution": "2k",
        "response_format": "b64_json",
    }
    assert len(done.outputs) == 2
    assert done.cost_usd == pytest.approx(0.02)


async def test_a_rejected_picture_does_not_cost_the_others(tmp_path: Path) -> None:
    fake = FakeXAI()
    fake.rejected = (1,)
    xai = XAI(fake.key, transport=fake.transport())
    asked = {"prompt": "A kite", "numImages": 3}
    done = await run_until_done(xai, build_generation(tmp_path, Capability.IMAGE, "", asked))
    assert len(done.outputs) == 2
    assert done.data == {"note": "xai rejected 1 of 3 pictures; the others are here"}
    fake.rejected = (0, 1, 2)
    with pytest.raises(PermanentError) as caught:
        await run_until_done(xai, build_generation(tmp_path, Capability.IMAGE, "", asked))
    assert caught.value.code == "moderation"
    await xai.close()


@pytest.mark.parametrize("pictures", [1, 3])
async def test_one_picture_and_several_are_edited(tmp_path: Path, pictures: int) -> None:
    model = "grok-imagine-image-2.0"
    call, _ = await send_to_fake(Capability.IMAGE, {"prompt": "Blue"}, tmp_path, pictures, model)
    file = {"url": PICTURE, "type": "image_url"}
    given = {"image": file} if pictures == 1 else {"images": [file] * pictures}
    assert call.path == "/v1/images/edits"
    assert call.body == {
        "model": model,
        "prompt": "Blue",
        "quality": "medium",
        "resolution": "1k",
        "response_format": "b64_json",
        **given,
    }


async def test_a_clip_from_a_picture(tmp_path: Path) -> None:
    asked = {"prompt": "Waves", "aspectRatio": "9:16", "duration": 6.4}
    call, done = await send_to_fake(Capability.VIDEO, asked, tmp_path, 1)
    assert call.path == "/v1/videos/generations"
    assert call.body == {
        "model": "grok-imagine-video",
        "prompt": "Waves",
        "duration": 6,
        "resolution": "720p",
        "aspect_ratio": "9:16",
        "image": {"url": PICTURE},
    }
    assert done.cost_usd == pytest.approx(0.02)


async def test_speech(tmp_path: Path) -> None:
    asked = {
        "text": "Hello.",
        "voice": "Leo",
        "language": "pt-BR",
        "speed": 4,
        "outputFormat": "wav",
    }
    call, _ = await send_to_fake(Capability.SPEECH, asked, tmp_path)
    assert call.path == "/v1/tts"
    assert call.body == {
        "text": "Hello.",
        "voice_id": "leo",
        "language": "pt",
        "speed": 1.5,
        "output_format": {"codec": "wav"},
    }


async def test_a_structured_text(tmp_path: Path) -> None:
    asked = {
        "prompt": "A lamp",
        "instructions": "Be brief",
        "maxTokens": 500,
        "schema": {"type": "object"},
    }
    call, done = await send_to_fake(Capability.TEXT, asked, tmp_path)
    assert call.body["messages"] == [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "A lamp"},
    ]
    assert call.body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert call.body["max_tokens"] == 500
    assert done.data == {"title": "The lamp"}
    assert done.cost_usd == pytest.approx(0.02)


async def test_a_text_at_its_length_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = {"choices": [{"message": {"content": "The"}, "finish_reason": "length"}]}
    monkeypatch.setattr("providers.chat_fake.build_answer", lambda *_: cut)
    with pytest.raises(PermanentError) as caught:
        await send_to_fake(Capability.TEXT, {"prompt": "A lamp"}, tmp_path)
    assert caught.value.code == "output_truncated"


@pytest.mark.parametrize(
    ("model", "width", "usd"),
    [
        ("grok-imagine-video", 854, 0.25),
        ("grok-imagine-video", 1280, 0.35),
        ("grok-imagine-video-1.5", 1280, 0.70),
        ("grok-imagine-video-1.5", 1920, 1.25),
    ],
)
def test_the_price_of_a_clip_by_its_size(model: str, width: int, usd: float) -> None:
    row = find_row("xai", model, Capability.VIDEO, get_today())
    asked = {"width": width, "height": width * 9 // 16, "duration": 5}
    assert estimate_cost(row, asked) == pytest.approx(usd)


@pytest.mark.live
async def test_buy_a_picture(tmp_path: Path) -> None:
    xai = XAI(require_live_key("XAI_API_KEY"))
    await buy_live(xai, build_generation(tmp_path, Capability.IMAGE, "", {"prompt": "A kite"}))
