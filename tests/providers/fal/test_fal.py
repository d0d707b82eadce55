from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
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
from providers.fal.fake import FakeFal, build_jwks, sign_webhook
from taskreel.adapters.providers.fal.adapter import Fal
from taskreel.adapters.providers.fal.webhook import verify_webhook
from taskreel.adapters.providers.provider_webhooks import WebhookTarget
from taskreel.domain.errors import PermanentError, UnauthenticatedError
from taskreel.ports import Capability

NOW = datetime(2026, 11, 22, tzinfo=UTC)
OLD, CURRENT, FOREIGN = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))


def build_adapter(fake: FakeFal, webhook: WebhookTarget | None = None) -> Fal:
    return Fal(fake.key, transport=fake.transport(), webhook=webhook)


async def test_a_picture_goes_through_the_queue_by_the_addresses_it_names(tmp_path: Path) -> None:
    fake = FakeFal()
    params = {
        "prompt": "Rain",
        "width": 1023,
        "height": 769,
        "steps": 20,
        "guidance": 3.5,
        "outputFormat": "png",
    }
    await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, "flux-dev", params)
    )
    assert fake.calls[0].path == "/fal-ai/flux/dev"
    assert fake.calls[0].body == {
        "prompt": "Rain",
        "output_format": "png",
        "num_inference_steps": 20,
        "guidance_scale": 3.5,
        "image_size": {"width": 1024, "height": 768},
    }
    assert fake.calls[1].path.startswith("/fal-ai/flux/requests/")


async def test_an_upscale(tmp_path: Path) -> None:
    fake = FakeFal()
    done = await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.UPSCALE, "real-esrgan", {"scale": 3.0}, 1),
    )
    assert fake.calls[0].path == "/fal-ai/esrgan"
    assert len(done.outputs) == 1


async def test_kontext_takes_a_picture_and_a_ratio(tmp_path: Path) -> None:
    fake, params = FakeFal(), {"prompt": "Rain", "width": 1024, "height": 1024}
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.IMAGE, "flux-kontext-pro", params, 1),
    )
    assert fake.calls[0].body["aspect_ratio"] == "1:1"
    assert fake.calls[0].body["image_url"].startswith("data:image/png;base64,")


async def test_a_clip_from_a_picture_is_another_endpoint_with_the_clips_own_fields(
    tmp_path: Path,
) -> None:
    fake, params = FakeFal(), {**VIDEO, "duration": 6.0, "height": 1080, "width": 1920}
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.VIDEO, "veo-3.1", params | {"audio": False}, 1),
    )
    assert fake.calls[0].path == "/fal-ai/veo3.1/image-to-video"
    picture = fake.calls[0].body.pop("image_url")
    assert picture.startswith("data:image/png;base64,")
    assert fake.calls[0].body == {
        "prompt": "Waves breaking",
        "seed": 7,
        "generate_audio": False,
        "duration": "6s",
        "resolution": "1080p",
        "aspect_ratio": "16:9",
    }


async def test_two_pictures_are_the_first_and_the_last_frame(tmp_path: Path) -> None:
    fake = FakeFal()
    done = await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.VIDEO, "kling-3.0-pro", VIDEO, 2),
    )
    assert fake.calls[0].path == "/fal-ai/kling-video/v3/pro/image-to-video"
    assert fake.calls[0].body.keys() == {"prompt", "duration", "start_image_url", "end_image_url"}
    assert (done.outputs[0].url or "").endswith(".mp4")


async def test_pictures_to_edit_are_a_list(tmp_path: Path) -> None:
    fake, params = FakeFal(), {"prompt": "Rain", "width": 2048, "height": 1152}
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.IMAGE, "nano-banana-pro", params, 3),
    )
    assert fake.calls[0].path == "/fal-ai/nano-banana-pro/edit"
    assert len(fake.calls[0].body.pop("image_urls")) == 3
    assert fake.calls[0].body == {"prompt": "Rain", "resolution": "2K", "aspect_ratio": "16:9"}


async def test_speech_has_its_voice_within_an_object_and_comes_as_a_file(tmp_path: Path) -> None:
    fake, params = FakeFal(), {"text": "Rain", "voice": "narrator", "speed": 5.0}
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.SPEECH, "minimax-speech-2.8-hd", params),
    )
    assert fake.calls[0].body == {
        "prompt": "Rain",
        "output_format": "url",
        "voice_setting": {"voice_id": "Wise_Woman", "speed": 2.0},
    }


async def test_music_is_as_long_as_asked_for(tmp_path: Path) -> None:
    fake, params = FakeFal(), {"prompt": "a waltz", "duration": 12.5}
    for model in ("eleven-music", "stable-audio-2.5"):
        await run_until_done(
            build_adapter(fake), build_generation(tmp_path, Capability.MUSIC, model, params)
        )
    first, second = (call.body for call in fake.calls if call.method == "POST")
    assert first["music_length_ms"] == 12_500
    assert second["seconds_total"] == 12


async def test_a_large_file_that_fal_cannot_reach_is_uploaded_without_our_key(
    tmp_path: Path,
) -> None:
    fake = FakeFal()
    request = build_generation(tmp_path, Capability.UPSCALE, "seedvr2", {"scale": 2.0}, 1)
    content = build_png() + bytes(5_100_000)
    request.inputs[0].path.write_bytes(content)
    local = replace(request.inputs[0], url="http://127.0.0.1:8371/files/a.png")
    await run_until_done(build_adapter(fake), replace(request, inputs=(local,)))
    start, upload, create, *_ = fake.calls
    assert (start.host, start.path) == ("rest.fal.ai", "/storage/upload/initiate")
    assert (upload.host, upload.headers["content-type"]) == ("storage.googleapis.com", "image/png")
    assert fake.key not in str(upload.headers)
    assert list(fake.uploads.values()) == [content]
    (name,) = fake.uploads
    assert create.body["image_url"] == f"https://v3.fal.media/files/{name}"


async def test_a_file_is_not_sent_to_a_private_address(tmp_path: Path) -> None:
    fake = FakeFal(fault=Fault.FOREIGN_ADDRESS)
    request = build_generation(tmp_path, Capability.UPSCALE, "seedvr2", {"scale": 2.0}, 1)
    request.inputs[0].path.write_bytes(build_png() + bytes(5_100_000))
    local = replace(request.inputs[0], url="http://127.0.0.1:8371/files/a.png")
    with pytest.raises(PermanentError) as caught:
        await run_until_done(build_adapter(fake), replace(request, inputs=(local,)))
    assert caught.value.code == "untrusted_host"
    assert (fake.uploads, fake.creates) == ({}, 0)


async def test_any_other_model_by_its_endpoint(tmp_path: Path) -> None:
    fake = FakeFal()
    params = {"prompt": "Waves", "width": 64, "height": 64, "providerOptions": {"loop": True}}
    done = await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.VIDEO, "someone/clips", params)
    )
    assert fake.calls[0].body == {"prompt": "Waves", "loop": True}
    assert (done.outputs[0].url or "").endswith(".mp4")


async def test_words(tmp_path: Path) -> None:
    done = await run_until_done(
        build_adapter(FakeFal()),
        build_generation(tmp_path, Capability.TEXT, "someone/words", {"prompt": "A tale"}),
    )
    assert done.data == {"text": "Once upon a time."}


async def test_pictures_that_are_all_blacked_out_are_moderation(tmp_path: Path) -> None:
    fake = FakeFal()
    fake.answer = {
        "images": [{"url": "https://v3.fal.media/black.png"}],
        "has_nsfw_concepts": [True],
    }
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.IMAGE, "flux-dev", {"prompt": "Rain"}),
        )
    assert caught.value.code == "moderation"


async def test_cancelling_asks_at_the_address_it_named(tmp_path: Path) -> None:
    fake = FakeFal(polls=5)
    provider = build_adapter(fake)
    pending = await start_pending(
        provider, build_generation(tmp_path, Capability.IMAGE, "flux-dev", {"prompt": "Rain"})
    )
    await provider.cancel(pending.operation)
    assert fake.calls[-1].method == "PUT"
    fake.operations.clear()
    await provider.cancel(pending.operation)


async def test_a_webhook_is_asked_for_in_the_query(tmp_path: Path) -> None:
    fake = FakeFal()
    provider = build_adapter(fake, WebhookTarget(url="https://ours.example.org/hooks/fal"))
    await run_until_done(
        provider, build_generation(tmp_path, Capability.IMAGE, "flux-dev", {"prompt": "Rain"})
    )
    assert fake.calls[0].query == {
        "fal_webhook": "https://ours.example.org/hooks/fal?job=job-1.0.0"
    }


def test_a_webhook_signed_by_any_of_fals_keys_names_its_request() -> None:
    headers, body = sign_webhook("r1", CURRENT, int(NOW.timestamp()))
    assert verify_webhook(headers, body, build_jwks(OLD, CURRENT), NOW) == "r1"


@pytest.mark.parametrize("change", ["key", "body", "hex", "time", "header"])
def test_a_webhook_that_does_not_hold_is_refused(change: str) -> None:
    headers, body = sign_webhook(
        "r1", FOREIGN if change == "key" else CURRENT, int(NOW.timestamp())
    )
    if change == "body":
        body = body.replace(b'"OK"', b'"ERROR"')
    if change == "hex":
        headers["X-Fal-Webhook-Signature"] = "zz"
    if change == "header":
        del headers["X-Fal-Webhook-User-Id"]
    now = NOW + timedelta(seconds=301) if change == "time" else NOW
    with pytest.raises(UnauthenticatedError):
        verify_webhook(headers, body, build_jwks(OLD, CURRENT), now)


@pytest.mark.live
async def test_live(tmp_path: Path) -> None:
    provider = Fal(require_live_key("FAL_KEY"))
    await buy_live(
        provider,
        build_generation(tmp_path, Capability.IMAGE, "flux-schnell", {"prompt": "A grey stone"}),
    )
