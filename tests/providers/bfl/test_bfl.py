from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from providers.bfl.fake import FakeBfl, sign_webhook
from providers.case import (
    build_generation,
    buy_live,
    fetch_result,
    require_live_key,
    run_until_done,
    start_pending,
)
from providers.fake_provider import Fault
from streamed_answers import StreamedAnswers
from taskreel.adapters.providers.bfl.adapter import BlackForestLabs
from taskreel.adapters.providers.bfl.webhook import verify_webhook
from taskreel.adapters.providers.provider_webhooks import WebhookTarget
from taskreel.domain.errors import PermanentError, UnauthenticatedError
from taskreel.ports import Capability, Done

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def build_adapter(fake: FakeBfl, webhook: WebhookTarget | None = None) -> BlackForestLabs:
    return BlackForestLabs(fake.key, transport=fake.transport(), webhook=webhook)


@pytest.mark.parametrize(
    ("model", "path", "sent"),
    [
        ("flux-1.1-pro", "flux-pro-1.1", {"width": 1440, "height": 800}),
        ("flux-2-pro", "flux-2-pro", {"width": 2000, "height": 1120}),
        ("flux-1.1-pro-ultra", "flux-pro-1.1-ultra", {"aspect_ratio": "16:9"}),
        ("flux-kontext-max", "flux-kontext-max", {"aspect_ratio": "16:9"}),
    ],
)
async def test_a_size_is_snapped_to_what_the_path_takes(
    model: str, path: str, sent: dict[str, object], tmp_path: Path
) -> None:
    fake, params = (
        FakeBfl(),
        {"prompt": "Rain", "width": 2000, "height": 1125, "seed": 7, "outputFormat": "png"},
    )
    await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, model, params)
    )
    assert fake.calls[0].path == f"/v1/{path}"
    assert fake.calls[0].body == {"prompt": "Rain", "seed": 7, "output_format": "png", **sent}


async def test_a_ratio_goes_before_a_size_that_the_job_type_filled_in(tmp_path: Path) -> None:
    fake, params = (
        FakeBfl(),
        {"prompt": "Rain", "width": 1024, "height": 1024, "aspectRatio": "16:9"},
    )
    await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, "flux-1.1-pro", params)
    )
    assert (fake.calls[0].body["width"], fake.calls[0].body["height"]) == (1376, 768)


async def test_flex_takes_steps_and_guidance_and_the_others_do_not(tmp_path: Path) -> None:
    params = {
        "prompt": "Rain",
        "steps": 20,
        "guidance": 4.0,
        "promptUpsampling": False,
        "safetyTolerance": 3,
    }
    for model, known in (
        ("flux-2-flex", {"steps", "guidance", "prompt_upsampling"}),
        ("flux-2-max", set[str]()),
    ):
        fake = FakeBfl()
        await run_until_done(
            build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, model, params)
        )
        assert set(fake.calls[0].body) == {"prompt", "safety_tolerance"} | known


async def test_pictures_to_start_from_go_inline_in_order(tmp_path: Path) -> None:
    fake = FakeBfl()
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.IMAGE, "flux-kontext-pro", {"prompt": "Rain"}, 3),
    )
    assert {name for name in fake.calls[0].body if name.startswith("input")} == {
        "input_image",
        "input_image_2",
        "input_image_3",
    }
    fake = FakeBfl()
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.IMAGE, "flux-1.1-pro", {"prompt": "Rain"}, 1),
    )
    assert "image_prompt" in fake.calls[0].body


async def test_the_regional_host_of_the_answer_is_polled(tmp_path: Path) -> None:
    fake = FakeBfl()
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.IMAGE, "flux-2-pro", {"prompt": "Rain"}),
    )
    assert [call.host for call in fake.calls] == ["api.bfl.ai", "api.eu1.bfl.ai", "api.eu1.bfl.ai"]


async def test_the_cost_is_what_the_create_said(tmp_path: Path) -> None:
    done = await run_until_done(
        build_adapter(FakeBfl()),
        build_generation(tmp_path, Capability.IMAGE, "flux-2-pro", {"prompt": "Rain"}),
    )
    assert done.cost_usd == 0.04


async def test_progress_is_passed_on(tmp_path: Path) -> None:
    provider = build_adapter(FakeBfl())
    request = build_generation(tmp_path, Capability.IMAGE, "flux-2-pro", {"prompt": "Rain"})
    pending = await start_pending(provider, request)
    answer = await provider.poll(pending.operation, request)
    assert not isinstance(answer, Done)
    assert answer.progress == 0.5


async def test_with_a_webhook_there_is_no_polling_address_and_polling_still_works(
    tmp_path: Path,
) -> None:
    fake = FakeBfl()
    provider = build_adapter(
        fake, WebhookTarget(url="https://ours.example.org/hooks/bfl", secret="s3cret")
    )
    done = await run_until_done(
        provider, build_generation(tmp_path, Capability.IMAGE, "flux-2-pro", {"prompt": "Rain"})
    )
    assert fake.calls[0].body["webhook_url"] == "https://ours.example.org/hooks/bfl?job=job-1.0.0"
    assert fake.calls[1].path == "/v1/get_result"
    assert done.outputs


async def test_a_result_that_has_expired_is_refused_by_its_host(tmp_path: Path) -> None:
    fake = FakeBfl(fault=Fault.EXPIRED)
    done = await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.IMAGE, "flux-2-pro", {"prompt": "Rain"}),
    )
    assert (await fetch_result(fake, done.outputs[0].url or "")).status_code == 403


async def test_what_is_no_web_address_is_no_result(tmp_path: Path) -> None:
    fake = FakeBfl()
    fake.delivery = "file:///etc/passwd?"  # type: ignore[misc]  # for this one
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.IMAGE, "flux-2-pro", {"prompt": "Rain"}),
        )
    assert caught.value.code == "untrusted_host"


def test_a_signed_webhook_names_its_task() -> None:
    headers, body = sign_webhook("task-1", "s3cret")
    assert verify_webhook(headers, body, "s3cret", NOW) == "task-1"


@pytest.mark.parametrize("change", ["body", "secret", "no header"])
def test_a_webhook_that_does_not_hold_is_refused(change: str) -> None:
    headers, body = sign_webhook("task-1", "another" if change == "secret" else "s3cret")
    body = body.replace(b"task-1", b"task-2") if change == "body" else body
    with pytest.raises(UnauthenticatedError):
        verify_webhook({} if change == "no header" else headers, body, "s3cret", NOW)


async def test_a_task_that_is_not_found_is_lost_with_status_200_too(tmp_path: Path) -> None:
    answer = httpx.Response(200, json={"id": "x", "status": "Task not found"})
    provider = BlackForestLabs("k", transport=StreamedAnswers(lambda _: answer))
    request = build_generation(tmp_path, Capability.IMAGE, "", {"prompt": "Rain"})
    with pytest.raises(PermanentError) as caught:
        await provider.poll({"id": "x", "url": "/v1/get_result?id=x"}, request)
    assert caught.value.code == "operation_unknown"


@pytest.mark.live
async def test_live(tmp_path: Path) -> None:
    provider = BlackForestLabs(require_live_key("BFL_API_KEY"))
    params = {"prompt": "A small grey stone", "width": 256, "height": 256}
    await buy_live(
        provider, build_generation(tmp_path, Capability.IMAGE, "flux-2-klein-4b", params)
    )
