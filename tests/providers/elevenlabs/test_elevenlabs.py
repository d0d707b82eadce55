from __future__ import annotations

from pathlib import Path

import pytest

from providers.case import build_generation, buy_live, require_live_key, run_until_done
from providers.elevenlabs.fake import FakeElevenLabs
from providers.fake_provider import Fault
from taskreel.adapters.providers.elevenlabs.adapter import ElevenLabs
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability


def build_adapter(fake: FakeElevenLabs) -> ElevenLabs:
    return ElevenLabs(fake.key, transport=fake.transport())


async def test_speech_in_a_voice_language_and_format(tmp_path: Path) -> None:
    fake = FakeElevenLabs()
    params = {
        "text": "Guten Abend",
        "voice": "voice1",
        "language": "de-AT",
        "outputFormat": "wav",
        "seed": 7,
    }
    params |= {"stability": 0.4, "similarityBoost": 0.7, "style": 0.2, "speed": 1.1}
    done = await run_until_done(
        build_adapter(fake), build_generation(tmp_path, Capability.SPEECH, "", params)
    )
    assert fake.calls[0].path == "/v1/text-to-speech/voice1"
    assert fake.calls[0].query == {"output_format": "wav_44100"}
    assert fake.calls[0].body == {
        "model_id": "eleven_multilingual_v2",
        "text": "Guten Abend",
        "language_code": "de",
        "seed": 7,
        "voice_settings": {"stability": 0.4, "similarity_boost": 0.7, "style": 0.2, "speed": 1.1},
    }
    assert done.cost_usd == pytest.approx(11 * 0.08 / 1000)


async def test_flash_has_no_style_and_its_halved_count_is_not_taken_for_characters(
    tmp_path: Path,
) -> None:
    fake = FakeElevenLabs()
    params = {"text": "Good evening", "stability": 0.4, "style": 0.2, "speed": 1.1}
    request = build_generation(tmp_path, Capability.SPEECH, "eleven_flash_v2_5", params)
    done = await run_until_done(build_adapter(fake), request)
    assert fake.calls[0].body == {
        "model_id": "eleven_flash_v2_5",
        "text": "Good evening",
        "voice_settings": {"stability": 0.4, "speed": 1.1},
    }
    assert done.cost_usd is None


async def test_music_of_a_length(tmp_path: Path) -> None:
    fake = FakeElevenLabs()
    await run_until_done(
        build_adapter(fake),
        build_generation(
            tmp_path, Capability.MUSIC, "", {"prompt": "A slow waltz", "duration": 20}
        ),
    )
    assert fake.calls[0].path == "/v1/music"
    assert fake.calls[0].body["music_length_ms"] == 20_000


async def test_a_voice_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="nobody") as caught:
        await run_until_done(
            build_adapter(FakeElevenLabs()),
            build_generation(tmp_path, Capability.SPEECH, "", {"text": "Hi", "voice": "nobody"}),
        )
    assert caught.value.code == "voice_unknown"


async def test_a_voice_cannot_lead_to_another_path(tmp_path: Path) -> None:
    fake = FakeElevenLabs()
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            build_adapter(fake),
            build_generation(tmp_path, Capability.SPEECH, "", {"text": "Hi", "voice": "../user"}),
        )
    assert caught.value.code == "voice_unknown"
    assert not fake.calls


async def test_no_credit_comes_as_a_401_and_is_told_from_a_wrong_key(tmp_path: Path) -> None:
    fake = FakeElevenLabs(fault=Fault.NO_CREDIT)
    with pytest.raises(PermanentError) as caught:
        await run_until_done(
            build_adapter(fake), build_generation(tmp_path, Capability.SPEECH, "", {"text": "Hi"})
        )
    assert caught.value.details["status"] == 401
    assert caught.value.code == "provider_out_of_credit"


async def test_there_is_nothing_to_poll_or_cancel(tmp_path: Path) -> None:
    provider, request = (
        build_adapter(FakeElevenLabs()),
        build_generation(tmp_path, Capability.SPEECH, "", {"text": "Hi"}),
    )
    await provider.cancel({})
    with pytest.raises(PermanentError):
        await provider.poll({}, request)


@pytest.mark.live
async def test_live(tmp_path: Path) -> None:
    provider = ElevenLabs(require_live_key("ELEVENLABS_API_KEY"))
    await buy_live(provider, build_generation(tmp_path, Capability.SPEECH, "", {"text": "Hello."}))
