from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation, buy_live, require_live_key, run_until_done
from providers.fake_provider import Fault, build_png
from providers.luma.fake import FakeLuma
from taskreel.adapters.providers.luma.adapter import Luma
from taskreel.adapters.providers.model_lookup import find_row, get_today
from taskreel.adapters.providers.model_prices import estimate_cost
from taskreel.domain.errors import PermanentError, TemporaryError
from taskreel.ports import Capability

FILE = {"data": base64.b64encode(build_png()).decode(), "media_type": "image/png"}


async def send_to_fake(
    capability: Capability, params: dict[str, Any], pictures: int, folder: Path, model: str = ""
) -> Any:
    fake = FakeLuma()
    luma = Luma(fake.key, transport=fake.transport())
    await run_until_done(luma, build_generation(folder, capability, model, params, pictures))
    await luma.close()
    return fake.calls[0].body


async def test_a_picture_from_text(tmp_path: Path) -> None:
    asked = {"prompt": "A kite", "aspectRatio": "16:9", "outputFormat": "jpeg", "seed": 7}
    assert await send_to_fake(Capability.IMAGE, asked, 0, tmp_path) == {
        "model": "uni-1",
        "type": "image",
        "prompt": "A kite",
        "aspect_ratio": "16:9",
        "output_format": "jpeg",
    }


async def test_the_first_picture_is_edited_and_the_others_are_references(tmp_path: Path) -> None:
    body = await send_to_fake(Capability.IMAGE, {"prompt": "Blue"}, 3, tmp_path, "uni-1-max")
    assert body == {
        "model": "uni-1-max",
        "type": "image_edit",
        "prompt": "Blue",
        "source": FILE,
        "image_ref": [FILE, FILE],
    }


async def test_a_clip_between_two_frames(tmp_path: Path) -> None:
    asked = {"prompt": "Waves", "width": 1920, "height": 1080, "duration": 4.0}
    assert await send_to_fake(Capability.VIDEO, asked, 2, tmp_path) == {
        "model": "ray-3.2",
        "type": "video",
        "prompt": "Waves",
        "aspect_ratio": "16:9",
        "video": {
            "duration": "5s",
            "resolution": "1080p",
            "start_frame": FILE,
            "end_frame": FILE,
        },
    }


@pytest.mark.parametrize(("pictures", "indexes"), [(0, None), (1, [0]), (2, [0, 240])])
async def test_a_clip_of_ten_seconds_takes_key_frames(
    tmp_path: Path, pictures: int, indexes: list[int] | None
) -> None:
    asked = {"prompt": "Waves", "duration": 10.0}
    video = (await send_to_fake(Capability.VIDEO, asked, pictures, tmp_path))["video"]
    assert video.get("keyframe_indexes") == indexes
    assert "start_frame" not in video


@pytest.mark.parametrize(
    ("failure", "error", "code"),
    [
        ("budget_exhausted", PermanentError, "provider_out_of_credit"),
        ("corrupt_input", PermanentError, "provider_rejected"),
        ("rate_limited", TemporaryError, "operation_failed"),
    ],
)
async def test_a_failure_by_its_code(
    tmp_path: Path, failure: str, error: type[Exception], code: str
) -> None:
    fake = FakeLuma(fault=Fault.FAILED)
    fake.failure = failure
    request = build_generation(tmp_path, Capability.IMAGE, "", {"prompt": "A kite"})
    with pytest.raises(error) as caught:
        await run_until_done(Luma(fake.key, transport=fake.transport()), request)
    assert getattr(caught.value, "code", "") == code


@pytest.mark.parametrize(
    ("side", "seconds", "usd"),
    [(1280, 4, 0.30), (1280, 10, 0.90), (1920, 10, 3.60), (640, 5, 0.15)],
)
def test_a_clip_is_priced_by_its_size_and_its_seconds(
    side: int, seconds: float, usd: float
) -> None:
    row = find_row("luma", "ray-3.2", Capability.VIDEO, get_today())
    asked = {"prompt": "Waves", "width": side, "height": side // 2, "duration": seconds}
    assert estimate_cost(row, asked) == pytest.approx(usd)


@pytest.mark.live
async def test_buy_a_picture(tmp_path: Path) -> None:
    luma = Luma(require_live_key("LUMA_API_KEY"))
    await buy_live(luma, build_generation(tmp_path, Capability.IMAGE, "", {"prompt": "A kite"}))
