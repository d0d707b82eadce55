from __future__ import annotations

import wave
from pathlib import Path

import httpx
import pytest

from providers.case import build_generation, buy_live, require_live_key, run_until_done
from providers.fake_provider import build_png
from providers.google.fake import FakeGoogle
from streamed_answers import StreamedAnswers
from taskreel.adapters.providers.google.adapter import Google
from taskreel.adapters.providers.google.metadata_token import MetadataToken
from taskreel.domain.errors import PermanentError, ProviderDownError
from taskreel.ports import Capability

CLIP = {
    "prompt": "Waves",
    "width": 1080,
    "height": 1920,
    "duration": 5.0,
    "fps": 30,
    "seed": 7,
    "audio": True,
}


def build_adapter(fake: FakeGoogle) -> Google:
    return Google(fake.key, transport=fake.transport())


async def test_a_build_picture_parts_has_the_nearest_shape_and_size(tmp_path: Path) -> None:
    fake, params = (
        FakeGoogle(),
        {"prompt": "Rain", "width": 2000, "height": 1130, "seed": 2**32 - 1},
    )
    await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, "", params, 1)
    )
    config = fake.calls[0].body["generationConfig"]
    assert config["imageConfig"] == {"aspectRatio": "16:9", "imageSize": "2K"}
    assert config["seed"] == 2**31 - 1
    text, given = fake.calls[0].body["contents"][0]["parts"]
    assert text == {"text": "Rain"}
    assert given["inlineData"]["mimeType"] == "image/png"


async def test_a_key_buys_clips_of_omni_in_the_background(tmp_path: Path) -> None:
    fake = FakeGoogle(polls=2)
    request = build_generation(tmp_path, Capability.VIDEO, "omni", CLIP, 1)
    done = await run_until_done(build_adapter(fake), request)
    create, *polls = fake.calls
    assert create.path == "/v1beta/interactions"
    (said,) = create.body.pop("input")
    picture, text = said["content"]
    assert said["type"] == "user_input"
    assert (picture["type"], picture["mime_type"]) == ("image", "image/png")
    assert text == {"type": "text", "text": "Waves"}
    assert create.body == {
        "model": "gemini-omni-1.2-flash",
        "background": True,
        "store": True,
        "response_format": {
            "type": "video",
            "aspect_ratio": "9:16",
            "duration": "5s",
            "resolution": "1080p",
        },
        "generation_config": {"video_config": {"task": "image_to_video"}},
    }
    assert {call.path for call in polls} == {
        "/v1beta/interactions/google-00000001-0000-4000-8000-000000000000"
    }
    (output,) = done.outputs
    assert output.path is not None
    assert output.path.read_bytes() == fake.files["mp4"]


async def test_omnis_clips_are_made_at_vertex_too(tmp_path: Path) -> None:
    fake = FakeGoogle()
    google = Google(fake.key, base_url=FakeGoogle.vertex_url, transport=fake.transport())
    request = build_generation(tmp_path, Capability.VIDEO, "omni", CLIP, 1)
    done = await run_until_done(google, request)
    await google.close()
    assert done.outputs
    parent = "/v1beta1/projects/p1/locations/us-central1/interactions"
    assert fake.calls[0].path == parent
    assert all(call.path.startswith(parent) for call in fake.calls)


@pytest.mark.parametrize("capability", [Capability.IMAGE, Capability.VIDEO])
async def test_files_that_a_request_has_no_room_for_are_uploaded_before_it(
    tmp_path: Path, capability: Capability
) -> None:
    fake = FakeGoogle()
    model = "omni" if capability is Capability.VIDEO else ""
    request = build_generation(tmp_path, capability, model, {"prompt": "Rain"}, 1)
    content = build_png() + bytes(14_000_000)
    request.inputs[0].path.write_bytes(content)
    await run_until_done(build_adapter(fake), request)
    start, upload, create, *_ = fake.calls
    assert (start.path, upload.path) == ("/upload/v1beta/files", "/upload/v1beta/files")
    assert "x-goog-api-key" in start.headers
    assert "x-goog-api-key" not in upload.headers
    assert fake.uploads == [content]
    uri = "https://generativelanguage.googleapis.com/v1beta/files/f1"
    if capability is Capability.VIDEO:
        picture, _ = create.body["input"][0]["content"]
        assert picture == {"type": "image", "mime_type": "image/png", "uri": uri}
    else:
        _, part = create.body["contents"][0]["parts"]
        assert part == {"fileData": {"mimeType": "image/png", "fileUri": uri}}


async def test_lyria_takes_the_length_in_words(tmp_path: Path) -> None:
    fake, params = FakeGoogle(), {"prompt": "A waltz", "duration": 42.4}
    request = build_generation(tmp_path, Capability.MUSIC, "lyria", params)
    done = await run_until_done(build_adapter(fake), request)
    (words,) = fake.calls[0].body["input"][0]["content"]
    assert words["text"] == "A waltz\nInstrumental. The length is 42 seconds."
    assert len(done.outputs) == 1


async def test_speech_is_a_file_that_plays_and_costs_its_tokens(tmp_path: Path) -> None:
    fake = FakeGoogle()
    params = {"text": "Rain.", "voice": "Puck", "instructions": "Whisper"}
    request = build_generation(tmp_path, Capability.SPEECH, "", params)
    done = await run_until_done(build_adapter(fake), request)
    assert fake.calls[0].body == {
        "contents": [{"role": "user", "parts": [{"text": "Whisper: Rain."}]}],
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Puck"}}},
        },
    }
    path = done.outputs[0].path
    assert path is not None
    with wave.open(str(path)) as file:
        shape = (file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes())
    assert shape == (8000, 1, 2, 800)
    assert done.cost_usd == pytest.approx((100 * 0.5 + 200 * 9) / 1e6)


async def test_a_schema_is_put_in_googles_dialect(tmp_path: Path) -> None:
    fake = FakeGoogle()
    schema = {
        "$schema": "x",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "title": {"type": "string", "title": "Title"},
            "tags": {"type": "array", "items": {"title": "t"}},
        },
    }
    params = {
        "prompt": "A title",
        "instructions": "Be brief.",
        "schema": schema,
        "temperature": 0.2,
        "maxTokens": 400,
    }
    done = await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.TEXT, "", params)
    )
    config = fake.calls[0].body["generationConfig"]
    assert (config["temperature"], config["maxOutputTokens"]) == (0.2, 400)
    assert config["responseSchema"] == {
        "type": "object",
        "properties": {"title": {"type": "string"}, "tags": {"type": "array", "items": {}}},
    }
    assert fake.calls[0].body["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert done.cost_usd == pytest.approx((100 * 0.75 + 200 * 3.75) / 1e6)


async def test_a_text_that_is_cut_off_is_not_bought_again(tmp_path: Path) -> None:
    fake = FakeGoogle()
    fake.answer, fake.finish = '{"titl', "MAX_TOKENS"
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.TEXT, "", {"prompt": "A title", "maxTokens": 16}),
        )
    assert caught.value.code == "output_truncated"


async def test_a_video_is_snapped_to_what_veo_makes(tmp_path: Path) -> None:
    fake = FakeGoogle()
    await run_until_done(
        Google(fake.key, base_url=FakeGoogle.vertex_url, transport=fake.transport()),
        build_generation(tmp_path, Capability.VIDEO, "veo-3", CLIP, 2),
    )
    assert fake.calls[0].path.endswith(
        "/publishers/google/models/veo-3.1-generate-001:predictLongRunning"
    )
    assert fake.calls[0].body["parameters"] == {
        "seed": 7,
        "generateAudio": True,
        "durationSeconds": 6,
        "aspectRatio": "9:16",
        "resolution": "1080p",
    }
    assert set(fake.calls[0].body["instances"][0]) == {"prompt", "image", "lastFrame"}


async def test_on_vertex_the_bearer_token_is_fetched_for_each_call(tmp_path: Path) -> None:
    fake, asked = FakeGoogle(), []

    async def token() -> str:
        asked.append(1)
        return fake.key

    provider = Google(token, base_url=FakeGoogle.vertex_url, transport=fake.transport())
    await run_until_done(provider, build_generation(tmp_path, Capability.VIDEO, "veo-3", CLIP))
    assert len(asked) == len(fake.calls) == 3
    assert fake.calls[1].path.endswith(
        "/publishers/google/models/veo-3.1-generate-001:fetchPredictOperation"
    )


async def test_what_the_model_thinks_is_not_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeGoogle()
    draft = {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    monkeypatch.setattr(
        fake, "_build_picture_parts", lambda: [draft, *FakeGoogle._build_picture_parts(fake)]
    )
    done = await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.IMAGE, "", {"prompt": "Rain"})
    )
    assert len(done.outputs) == 1


@pytest.mark.parametrize(
    ("model", "capability"),
    [
        ("imagen-4", Capability.IMAGE),
        ("gemini-3.1-flash-image", Capability.IMAGE),
        ("veo-2", Capability.VIDEO),
        ("veo-3.0-generate-001", Capability.VIDEO),
    ],
)
async def test_retired_models_name_their_successors(
    model: str, capability: Capability, tmp_path: Path
) -> None:
    with pytest.raises(PermanentError, match=r"use (gemini-nano-banana-2.1|veo-3.1) instead"):
        await run_until_done(
            build_adapter(FakeGoogle()), build_generation(tmp_path, capability, model, CLIP)
        )


async def test_a_token_from_the_metadata_server_is_cached_until_shortly_before_its_end() -> None:
    calls, clock = [], [0.0]

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        assert request.headers["metadata-flavor"] == "Google"
        return httpx.Response(
            200, json={"access_token": f"t{len(calls)}", "expires_in": 3600, "token_type": "Bearer"}
        )

    token = MetadataToken(transport=StreamedAnswers(answer), monotonic=lambda: clock[0])
    assert [await token(), await token()] == ["t1", "t1"]
    clock[0] = 3500.0
    assert await token() == "t2"
    assert calls[0].url.path == "/computeMetadata/v1/instance/service-accounts/default/token"


async def test_a_metadata_server_that_answers_something_else_is_no_token() -> None:
    token = MetadataToken(transport=StreamedAnswers(lambda _: httpx.Response(200, json={})))
    with pytest.raises(ProviderDownError):
        await token()


@pytest.mark.live
async def test_live(tmp_path: Path) -> None:
    request = build_generation(
        tmp_path, Capability.TEXT, "gemini-flash", {"prompt": "A title for a film about a lamp"}
    )
    await buy_live(Google(require_live_key("GOOGLE_API_KEY")), request)


async def test_what_a_model_thought_is_paid_for_too(tmp_path: Path) -> None:
    """Google bills thoughtsTokenCount beside candidatesTokenCount, at the price of output."""
    costs = []
    for usage in ({}, {"thoughtsTokenCount": 1000}):
        fake = FakeGoogle()
        fake.more_usage = usage
        adapter = Google(fake.key, transport=fake.transport())
        request = build_generation(tmp_path, Capability.TEXT, "gemini-3.7-flash", {"prompt": "x"})
        costs.append((await run_until_done(adapter, request)).cost_usd)
        await adapter.close()
    assert costs == [
        pytest.approx((100 * 0.75 + 200 * 3.75) / 1e6),
        pytest.approx((100 * 0.75 + 1200 * 3.75) / 1e6),
    ]
