from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from providers.case import (
    VIDEO,
    build_generation,
    buy_live,
    require_live_key,
    run_until_done,
    start_pending,
)
from providers.fake_provider import Fault, build_png
from providers.replicate.fake import REAL_ESRGAN, FakeReplicate, sign_webhook
from taskreel.adapters.providers.provider_webhooks import WebhookTarget
from taskreel.adapters.providers.replicate.adapter import Replicate
from taskreel.adapters.providers.replicate.webhook import verify_webhook
from taskreel.domain.errors import PermanentError, RateLimitedError, UnauthenticatedError
from taskreel.ports import Capability

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SECRET = "whsec_c2VjcmV0IG9mIG91cnM="


def build_adapter(fake: FakeReplicate, webhook: WebhookTarget | None = None) -> Replicate:
    return Replicate(fake.key, transport=fake.transport(), webhook=webhook)


async def test_an_official_model_goes_by_its_name(tmp_path: Path) -> None:
    fake = FakeReplicate()
    params = {
        "prompt": "Rain",
        "width": 1280,
        "height": 720,
        "outputFormat": "jpeg",
        "steps": 4,
        "seed": 7,
    }
    await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, "flux-schnell", params)
    )
    assert fake.calls[0].path == "/v1/models/black-forest-labs/flux-schnell/predictions"
    assert fake.calls[0].body == {
        "input": {
            "prompt": "Rain",
            "seed": 7,
            "output_format": "jpg",
            "num_inference_steps": 4,
            "aspect_ratio": "16:9",
        }
    }
    assert fake.calls[0].headers["cancel-after"] == "600s"


async def test_a_clip_goes_from_its_first_to_its_last_frame_at_the_size_asked_for(
    tmp_path: Path,
) -> None:
    fake, params = FakeReplicate(), {**VIDEO, "width": 1080, "height": 1920, "duration": 7.6}
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.VIDEO, "veo-3.1-fast", params, 2),
    )
    assert fake.calls[0].path == "/v1/models/google/veo-3.1-fast/predictions"
    sent = fake.calls[0].body["input"]
    frames = [sent.pop("image"), sent.pop("last_frame")]
    assert all(frame.startswith("data:image/png;base64,") for frame in frames)
    assert sent == {
        "prompt": "Waves breaking",
        "seed": 7,
        "duration": 8,
        "resolution": "1080p",
        "aspect_ratio": "9:16",
    }
    assert fake.calls[0].headers["cancel-after"] == "1800s"


async def test_several_pictures_to_start_from_are_a_list(tmp_path: Path) -> None:
    fake, params = FakeReplicate(), {"prompt": "Rain", "width": 1920, "height": 1080}
    await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, "flux-2-pro", params, 3)
    )
    sent = fake.calls[0].body["input"]
    assert len(sent.pop("input_images")) == 3
    assert sent == {"prompt": "Rain", "resolution": "2 MP", "aspect_ratio": "16:9"}


async def test_speech_is_written_in_the_format_asked_for(tmp_path: Path) -> None:
    fake = FakeReplicate()
    params = {"text": "Rain", "voice": "calm_woman", "outputFormat": "flac", "speed": 9.0}
    await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.SPEECH, "", params)
    )
    assert fake.calls[0].body["input"] == {
        "text": "Rain",
        "voice_id": "Calm_Woman",
        "audio_format": "flac",
        "speed": 2.0,
    }


async def test_real_esrgan_goes_by_its_version(tmp_path: Path) -> None:
    fake = FakeReplicate()
    params = {"scale": 2.5, "faceEnhance": True, "outputFormat": "png", "seed": 7}
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.UPSCALE, "real-esrgan", params, 1),
    )
    body = fake.calls[0].body
    assert body["version"] == REAL_ESRGAN
    assert body["input"].pop("image").startswith("data:image/png;base64,")
    assert body["input"] == {"scale": 2.5, "face_enhance": True}


@pytest.mark.parametrize(
    ("url", "uploads"),
    [
        ("http://127.0.0.1:8371/files/a.png?signature=x", 1),
        ("http://localhost:8371/files/a.png", 1),
        ("https://10.0.0.7/a.png", 1),
        ("https://storage.example.org/a.png?signature=x", 0),
    ],
)
async def test_a_large_file_that_replicate_cannot_reach_is_uploaded(
    tmp_path: Path, url: str, uploads: int
) -> None:
    """The address of the stack on a laptop went out, and every larger upscale failed there."""
    fake = FakeReplicate()
    request = build_generation(tmp_path, Capability.UPSCALE, "real-esrgan", {"scale": 2.0}, 1)
    (picture,) = request.inputs
    picture.path.write_bytes(build_png() + bytes(300_000))
    request = replace(request, inputs=(replace(picture, url=url),))
    await run_until_done(build_adapter(fake), request)

    (prediction,) = fake.requests.values()
    assert len(fake.uploads) == uploads
    if uploads:
        assert fake.uploads["file-1"] == picture.path.read_bytes()
        assert prediction["input"]["image"] == "https://api.replicate.com/v1/files/file-1"
    else:
        assert prediction["input"]["image"] == url


async def test_a_file_that_fits_goes_inline_wherever_it_is(tmp_path: Path) -> None:
    fake = FakeReplicate()
    request = build_generation(tmp_path, Capability.UPSCALE, "real-esrgan", {"scale": 2.0}, 1)
    (picture,) = request.inputs
    local = replace(picture, url="http://127.0.0.1:8371/a.png")
    await run_until_done(build_adapter(fake), replace(request, inputs=(local,)))
    (prediction,) = fake.requests.values()
    assert not fake.uploads
    assert prediction["input"]["image"].startswith("data:image/png;base64,")


async def test_any_other_model_gets_the_prompt_and_the_providers_own_options(
    tmp_path: Path,
) -> None:
    fake = FakeReplicate()
    params = {"prompt": "Rain", "width": 64, "height": 64, "providerOptions": {"cadence": "slow"}}
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.VIDEO, "someone/their-model", params),
    )
    assert fake.calls[0].body["input"] == {"prompt": "Rain", "cadence": "slow"}
    assert fake.calls[0].headers["cancel-after"] == "1800s"


@pytest.mark.parametrize("model", ["a/b?c=d", "../x", "a/../b", "a/b#c", "no-owner", "a//b"])
async def test_a_models_name_cannot_lead_to_another_path(model: str, tmp_path: Path) -> None:
    fake = FakeReplicate()
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.IMAGE, model, {"prompt": "Rain"}),
        )
    assert caught.value.code == "unknown_model"
    assert not fake.calls


async def test_a_large_file_goes_by_address(tmp_path: Path) -> None:
    fake, request = (
        FakeReplicate(),
        build_generation(tmp_path, Capability.UPSCALE, "", {"scale": 2}, 1),
    )
    request.inputs[0].path.write_bytes(b"\0" * 300_000)
    await run_until_done(build_adapter(fake), request)
    assert fake.calls[0].body["input"]["image"] == "https://ours.example.org/given-0.png"


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ("https://replicate.delivery/files/a.png", 1),
        (["https://replicate.delivery/files/a.png", "https://replicate.delivery/files/b.png"], 2),
        ({"picture": "https://replicate.delivery/files/a.png", "seed": 7, "note": "fine"}, 1),
    ],
    ids=["one", "a list", "an object"],
)
async def test_results_are_found_in_whatever_shape_a_model_gives_them(
    answer: object, count: int, tmp_path: Path
) -> None:
    fake = FakeReplicate()
    fake.answer = answer
    done = await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.IMAGE, "flux-dev", {"prompt": "Rain"}),
    )
    assert len(done.outputs) == count


async def test_words_come_in_pieces(tmp_path: Path) -> None:
    fake = FakeReplicate()
    fake.answer = ["Once ", "upon ", "a time"]
    done = await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.TEXT, "meta/some-llm", {"prompt": "A tale"}),
    )
    assert done.data == {"text": "Once upon a time"}


async def test_a_result_that_replicate_has_removed_is_lost(tmp_path: Path) -> None:
    fake = FakeReplicate(fault=Fault.EXPIRED, polls=0)
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.IMAGE, "flux-dev", {"prompt": "Rain"}),
        )
    assert caught.value.code == "result_expired"


async def test_a_wait_that_the_text_names_is_used(tmp_path: Path) -> None:
    fake = FakeReplicate(fault=Fault.RATE_LIMITED_WITHOUT_TIME)
    with pytest.raises(RateLimitedError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.IMAGE, "flux-dev", {"prompt": "Rain"}),
        )
    assert caught.value.retry_after == timedelta(seconds=30)


async def test_cancelling_at_a_host_that_is_not_replicates_is_refused(tmp_path: Path) -> None:
    fake = FakeReplicate(fault=Fault.FOREIGN_ADDRESS)
    provider = build_adapter(fake)
    pending = await start_pending(
        provider, build_generation(tmp_path, Capability.IMAGE, "flux-dev", {"prompt": "Rain"})
    )
    with pytest.raises(PermanentError):
        await provider.cancel(pending.operation)


async def test_a_webhook_is_asked_for(tmp_path: Path) -> None:
    fake = FakeReplicate()
    provider = build_adapter(fake, WebhookTarget(url="https://ours.example.org/hooks/replicate"))
    await run_until_done(
        provider, build_generation(tmp_path, Capability.IMAGE, "flux-dev", {"prompt": "Rain"})
    )
    assert fake.calls[0].body["webhook"] == "https://ours.example.org/hooks/replicate?job=job-1.0.0"


def test_a_signed_webhook_names_its_prediction() -> None:
    headers, body = sign_webhook("p1", SECRET, int(NOW.timestamp()))
    assert verify_webhook(headers, body, SECRET, NOW) == "p1"


def test_a_webhook_with_another_body_is_refused() -> None:
    headers, body = sign_webhook("p1", SECRET, int(NOW.timestamp()))
    with pytest.raises(UnauthenticatedError):
        verify_webhook(headers, body.replace(b"p1", b"p2"), SECRET, NOW)


@pytest.mark.live
async def test_live(tmp_path: Path) -> None:
    provider = Replicate(require_live_key("REPLICATE_API_TOKEN"))
    await buy_live(
        provider,
        build_generation(tmp_path, Capability.IMAGE, "flux-schnell", {"prompt": "A grey stone"}),
    )
