from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation, buy_live, require_live_key, run_until_done
from providers.fake_provider import Fault
from providers.openai.fake import FakeOpenAI, sign_webhook
from providers.standard_webhook_signature import sign_standard_webhook
from taskreel.adapters.providers.openai.adapter import OpenAI
from taskreel.adapters.providers.openai.webhook import verify_webhook
from taskreel.domain.errors import PermanentError, RunError, UnauthenticatedError
from taskreel.ports import Capability, Done

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SECRET = "whsec_c2VjcmV0IG9mIG91cnM="
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "additionalProperties": False,
}


def build_adapter(fake: FakeOpenAI) -> OpenAI:
    return OpenAI(fake.key, transport=fake.transport())


async def test_several_pictures_in_one_answer(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    params = {
        "prompt": "Rain",
        "width": 1000,
        "height": 700,
        "numImages": 3,
        "quality": "low",
        "seed": 7,
    }
    done = await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, "", params)
    )
    assert fake.calls[0].body == {
        "model": "gpt-image-2",
        "prompt": "Rain",
        "n": 3,
        "quality": "low",
        "size": "992x704",
    }
    assert [output.path.name for output in done.outputs if output.path] == [
        "unit-0-1",
        "unit-0-2",
        "unit-0-3",
    ]


async def test_pictures_to_start_from_are_edited(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.IMAGE, "gpt-image-2", {"prompt": "Rain"}, 2),
    )
    assert fake.calls[0].path == "/v1/images/edits"
    assert len(fake.calls[0].body["image[]"]) == 2


async def test_the_cost_of_pictures_is_counted_from_their_tokens(tmp_path: Path) -> None:
    done = await run_until_done(
        build_adapter(FakeOpenAI()),
        build_generation(tmp_path, Capability.IMAGE, "", {"prompt": "Rain"}),
    )
    assert done.cost_usd == pytest.approx((20 * 5 + 1000 * 30) / 1e6)


async def test_speech_has_voice_and_instructions(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    params = {"text": "Hello", "instructions": "whisper", "outputFormat": "wav", "speed": 1.5}
    done = await run_until_done(
        build_adapter(fake),
        build_generation(tmp_path, Capability.SPEECH, "gpt-4o-mini-tts", params),
    )
    assert fake.calls[0].body == {
        "model": "gpt-4o-mini-tts",
        "voice": "coral",
        "input": "Hello",
        "instructions": "whisper",
        "response_format": "wav",
        "speed": 1.5,
    }
    assert done.cost_usd is None  # the answer says none: the table's is marked as an estimate


async def test_text_runs_in_the_background_with_its_schema(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    params = {
        "prompt": "A title",
        "instructions": "Be brief.",
        "schema": SCHEMA,
        "temperature": 0.2,
        "maxTokens": 400,
    }
    done = await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.TEXT, "", params)
    )
    body = fake.calls[0].body
    assert body["background"] is True
    assert (body["temperature"], body["max_output_tokens"]) == (0.2, 400)
    assert body["text"]["format"] == {
        "type": "json_schema",
        "name": "result",
        "strict": True,
        "schema": SCHEMA,
    }
    assert done.data == {"title": "The lamp"}
    assert done.cost_usd == pytest.approx((100 * 0.75 + 200 * 4.5) / 1e6)


async def test_text_without_a_schema_is_just_text(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    fake.answer = "Once upon a time"
    done = await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.TEXT, "", {"prompt": "A tale"})
    )
    assert done.data == {"text": "Once upon a time"}


async def test_text_that_is_ready_at_once_is_done_at_once(tmp_path: Path) -> None:
    request = build_generation(tmp_path, Capability.TEXT, "", {"prompt": "A tale"})
    assert isinstance(
        await build_adapter(FakeOpenAI(polls=0)).start(request, idempotency_key="k"), Done
    )


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "output_truncated",
        ),
        (
            {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
            "moderation",
        ),
        (
            {
                "output": [
                    {"type": "message", "content": [{"type": "output_text", "text": '{"titl'}]}
                ]
            },
            "operation_failed",
        ),
    ],
)
async def test_an_answer_that_is_not_what_was_asked_for(
    more: dict[str, Any], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOpenAI()
    real = fake.build_response
    monkeypatch.setattr(fake, "build_response", lambda id_, step: {**real(id_, step), **more})
    with pytest.raises(RunError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.TEXT, "", {"prompt": "x", "schema": SCHEMA}),
        )
    assert caught.value.code == code


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-1"])
async def test_a_retired_model_names_its_successor(model: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="use gpt-image-2 instead") as caught:
        await run_until_done(
            build_adapter(FakeOpenAI()),
            build_generation(tmp_path, Capability.IMAGE, model, {"prompt": "Rain"}),
        )
    assert caught.value.code == "model_retired"


async def test_quota_in_a_429_is_told_from_haste(tmp_path: Path) -> None:
    fake = FakeOpenAI(fault=Fault.NO_CREDIT)
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.IMAGE, "", {"prompt": "Rain"}),
        )
    assert caught.value.details["status"] == 429
    assert caught.value.code == "provider_out_of_credit"


def test_a_signed_webhook_names_its_response() -> None:
    headers, body = sign_webhook("resp_1", SECRET, int(NOW.timestamp()))
    assert verify_webhook(headers, body, SECRET, NOW) == "resp_1"


@pytest.mark.parametrize(
    "when",
    [NOW + timedelta(minutes=6), NOW - timedelta(minutes=6)],
    ids=["too old", "from the future"],
)
def test_a_webhook_signed_long_ago_is_refused(when: datetime) -> None:
    headers, body = sign_webhook("resp_1", SECRET, int(NOW.timestamp()))
    with pytest.raises(UnauthenticatedError, match="timestamp"):
        verify_webhook(headers, body, SECRET, when)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, None),
        ({"webhook-id": "wh_2"}, None),
        ({"webhook-timestamp": "soon"}, None),
        ({"webhook-signature": "v1,"}, None),
        ({}, b'{"data": {"id": "resp_2"}}'),
        ({}, b"not json"),
    ],
)
def test_a_webhook_that_does_not_hold_is_refused(
    headers: dict[str, str], body: bytes | None
) -> None:
    good, text = sign_webhook("resp_1", SECRET, int(NOW.timestamp()))
    secret = SECRET if headers or body else "whsec_b3RoZXI="
    with pytest.raises(UnauthenticatedError):
        verify_webhook({**good, **headers}, body or text, secret, NOW)


@pytest.mark.parametrize("secret", ["whsec_not base64!", "whsec_a"])
def test_a_secret_of_ours_that_is_none_verifies_nothing(secret: str) -> None:
    headers, body = sign_webhook("resp_1", SECRET, int(NOW.timestamp()))
    with pytest.raises(UnauthenticatedError):
        verify_webhook(headers, body, secret, NOW)


@pytest.mark.parametrize(
    "body", [b"not json", b"[]", b'{"data": {}}', b'{"data": {"id": ""}}', b'{"data": {"id": 7}}']
)
def test_a_genuine_webhook_about_nothing_is_refused(body: bytes) -> None:
    headers = sign_standard_webhook("wh_1", int(NOW.timestamp()), body, SECRET)
    with pytest.raises(UnauthenticatedError, match=r"no data\.id"):
        verify_webhook(headers, body, SECRET, NOW)


async def test_a_transcript_without_times_has_its_text_and_no_subtitles(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    provider = OpenAI(fake.key, transport=fake.transport())
    request = build_generation(
        tmp_path, Capability.TRANSCRIPTION, "gpt-transcribe", {"language": "en-GB"}, 1
    )
    done = await run_until_done(provider, request)
    await provider.close()
    assert done.data == {
        "text": "The lamp is lit.",
        "language": "en",
        "durationSeconds": None,
        "segments": [],
    }
    assert [output.suffix for output in done.outputs] == [".json"]
    assert fake.calls[0].body["languages[]"] in ("en", ["en"])


@pytest.mark.live
async def test_live(tmp_path: Path) -> None:
    request = build_generation(
        tmp_path, Capability.TEXT, "gpt-5.4-nano", {"prompt": "A title", "schema": SCHEMA}
    )
    await buy_live(OpenAI(require_live_key("OPENAI_API_KEY")), request)
