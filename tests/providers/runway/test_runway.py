from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from providers.case import (
    build_generation,
    buy_live,
    require_live_key,
    run_until_done,
    start_pending,
)
from providers.fake_provider import Fault, build_png
from providers.runway.fake import FakeRunway
from streamed_answers import StreamedAnswers
from taskreel.adapters.providers.runway.adapter import Runway
from taskreel.domain.errors import PermanentError, RunError, TemporaryError
from taskreel.ports import Capability, Pending

CLIP = {"prompt": "Waves", "width": 1280, "height": 720, "duration": 5.0, "fps": 30, "seed": 7}


async def send_to_fake(
    capability: Capability, model: str, params: dict[str, Any], pictures: int, folder: Path
) -> Any:
    fake = FakeRunway()
    await run_until_done(
        Runway(fake.key, transport=fake.transport()),
        build_generation(folder, capability, model, params, pictures),
    )
    return fake.calls[0]


async def test_a_large_file_that_runway_cannot_reach_is_uploaded_without_our_key(
    tmp_path: Path,
) -> None:
    fake = FakeRunway()
    request = build_generation(tmp_path, Capability.VIDEO, "gen4_turbo", CLIP, 1)
    content = build_png() + bytes(3_800_000)
    request.inputs[0].path.write_bytes(content)
    local = replace(request.inputs[0], url="http://localhost:8371/files/a.png")
    await run_until_done(
        Runway(fake.key, transport=fake.transport()), replace(request, inputs=(local,))
    )
    start, upload, create, *_ = fake.calls
    assert start.path == "/v1/uploads"
    assert upload.host == "runway-uploads.s3.amazonaws.com"
    assert list(upload.body) == ["key", "X-Amz-Signature", "file"]
    assert list(fake.uploads.values()) == [content]
    assert create.body["promptImage"] == f"runway://{next(iter(fake.uploads))}"


async def test_a_storage_that_refuses_a_file_is_tried_again(tmp_path: Path) -> None:
    fake = FakeRunway()
    fake.refuses_uploads = True
    request = build_generation(tmp_path, Capability.VIDEO, "gen4_turbo", CLIP, 1)
    request.inputs[0].path.write_bytes(build_png() + bytes(3_800_000))
    local = replace(request.inputs[0], url="http://localhost:8371/files/a.png")
    with pytest.raises(TemporaryError, match="refused a file"):
        await run_until_done(
            Runway(fake.key, transport=fake.transport()), replace(request, inputs=(local,))
        )
    assert fake.creates == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.FAILED, "operation_failed"),
        (Fault.NO_RESULT, "no_output"),
        (Fault.MODERATION, "moderation"),
    ],
)
@pytest.mark.parametrize(("billed", "usd"), [(25, 0.25), (0, 0.0)], ids=["billed", "refunded"])
async def test_a_task_that_fails_says_what_it_costs(
    fault: Fault, code: str, billed: int, usd: float, tmp_path: Path
) -> None:
    """`cost.credits` of a failed task, by the types of runwayml 5.24: 0 if it was refunded."""
    fake = FakeRunway()
    fake.billed = billed
    runway = Runway(fake.key, transport=fake.transport())
    request = build_generation(tmp_path, Capability.VIDEO, "", CLIP)
    begun = await start_pending(runway, request)
    fake.fault = fault
    assert isinstance(await runway.poll(begun.operation, request), Pending)
    with pytest.raises(RunError) as caught:
        await runway.poll(begun.operation, request)
    assert (caught.value.code, caught.value.cost_usd) == (code, usd)
    assert not caught.value.cost_estimated


async def test_a_video_from_a_picture(tmp_path: Path) -> None:
    call = await send_to_fake(Capability.VIDEO, "runway-gen4", CLIP, 1, tmp_path)
    assert call.path == "/v1/image_to_video"
    assert call.body.pop("promptImage").startswith("data:image/png;base64,")
    assert call.body == {
        "model": "gen4_turbo",
        "promptText": "Waves",
        "ratio": "1280:720",
        "duration": 5,
        "seed": 7,
    }


async def test_a_video_from_words_alone(tmp_path: Path) -> None:
    call = await send_to_fake(Capability.VIDEO, "", CLIP, 0, tmp_path)
    assert call.path == "/v1/text_to_video"
    assert call.body["model"] == "gen4.5"


async def test_gen4_turbo_needs_a_picture_and_says_so_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    fake = FakeRunway()
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            Runway(fake.key, transport=fake.transport()),
            build_generation(tmp_path, Capability.VIDEO, "gen4_turbo", CLIP),
        )
    assert caught.value.code == "input_required"
    assert not fake.calls


async def test_two_pictures_are_the_first_and_the_last_frame(tmp_path: Path) -> None:
    call = await send_to_fake(
        Capability.VIDEO, "veo3.1", CLIP | {"audio": True, "negativePrompt": "fog"}, 2, tmp_path
    )
    assert [frame["position"] for frame in call.body["promptImage"]] == ["first", "last"]
    assert call.body["audio"] is True
    assert call.body["negativePrompt"] == "fog"


@pytest.mark.parametrize(
    ("asked", "seconds", "shape", "ratio"),
    [
        (1, 2, (720, 1280), "720:1280"),
        (30, 10, (1920, 1920), "960:960"),
        (6.6, 7, (1600, 1200), "1104:832"),
    ],
)
async def test_shape_and_duration_are_snapped(
    asked: float, seconds: int, shape: tuple[int, int], ratio: str, tmp_path: Path
) -> None:
    params = CLIP | {"duration": asked, "width": shape[0], "height": shape[1]}
    call = await send_to_fake(Capability.VIDEO, "gen4.5", params, 1, tmp_path)
    assert (call.body["duration"], call.body["ratio"]) == (seconds, ratio)


async def test_a_picture_after_pictures(tmp_path: Path) -> None:
    params = {"prompt": "The @image1 at night", "width": 1024, "height": 1024}
    call = await send_to_fake(Capability.IMAGE, "gen4_image", params, 2, tmp_path)
    assert call.path == "/v1/text_to_image"
    assert call.body["ratio"] == "1024:1024"
    assert [item["tag"] for item in call.body["referenceImages"]] == ["image1", "image2"]


async def test_an_upscale_by_the_nearest_factor(tmp_path: Path) -> None:
    call = await send_to_fake(Capability.UPSCALE, "", {"scale": 3.0}, 1, tmp_path)
    assert call.path == "/v1/image_upscale"
    assert call.body["scaleFactor"] == 4


async def test_speech_by_a_preset_voice(tmp_path: Path) -> None:
    call = await send_to_fake(
        Capability.SPEECH, "", {"text": "The lamp is lit.", "voice": "Leslie"}, 0, tmp_path
    )
    assert call.body["voice"] == {"type": "runway-preset", "presetId": "Leslie"}
    assert call.body["promptText"] == "The lamp is lit."


async def test_a_file_too_large_to_go_inline_goes_by_address(tmp_path: Path) -> None:
    fake, request = (
        FakeRunway(),
        build_generation(tmp_path, Capability.VIDEO, "gen4_turbo", CLIP, 1),
    )
    request.inputs[0].path.write_bytes(b"\0" * 4_000_000)
    await run_until_done(Runway(fake.key, transport=fake.transport()), request)
    assert fake.calls[0].body["promptImage"] == "https://ours.example.org/given-0.png"


async def test_the_cost_is_in_credits_of_a_cent(tmp_path: Path) -> None:
    fake = FakeRunway()
    provider = Runway(fake.key, transport=fake.transport())
    assert (
        await run_until_done(provider, build_generation(tmp_path, Capability.VIDEO, "", CLIP))
    ).cost_usd == 0.25


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ("SAFETY.OUTPUT.IMAGE", "moderation"),
        ("ASSET.INVALID", "provider_rejected"),
        ("INTERNAL", "operation_failed"),
    ],
)
async def test_each_kind_of_failure_has_its_own_answer(
    failure: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, request = FakeRunway(), build_generation(tmp_path, Capability.VIDEO, "", CLIP)
    provider = Runway(fake.key, transport=fake.transport())
    pending = await start_pending(provider, request)
    state = {"status": "FAILED", "failure": "No.", "failureCode": failure}
    monkeypatch.setattr(fake, "_build_state", lambda *_: state)
    with pytest.raises(RunError) as caught:
        await provider.poll(pending.operation, request)
    assert caught.value.code == code


async def test_a_task_cancelled_elsewhere_is_over(tmp_path: Path) -> None:
    answer = httpx.Response(200, json={"id": "x", "status": "CANCELLED", "cost": {"credits": 0}})
    provider = Runway("k", transport=StreamedAnswers(lambda _: answer))
    with pytest.raises(PermanentError) as caught:
        await provider.poll({"id": "x"}, build_generation(tmp_path, Capability.VIDEO, "", CLIP))
    assert caught.value.code == "provider_cancelled"


@pytest.mark.live
async def test_live(tmp_path: Path) -> None:
    params = {"prompt": "A small grey stone", "aspectRatio": "1:1"}
    provider = Runway(require_live_key("RUNWAY_API_KEY"))
    await buy_live(provider, build_generation(tmp_path, Capability.IMAGE, "gen4_image", params))
