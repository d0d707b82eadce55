"""OpenAI's released client against the fakes of OpenAI, xAI and OpenRouter."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from providers import chat_fake
from providers.served_fakes import PICTURE, SOUND, Served, serving


def open_openai(served: Served) -> openai.OpenAI:
    return openai.OpenAI(api_key=served.fake.key, base_url=f"{served.url}/v1", max_retries=0)


@serving("openai")
def test_openai_makes_and_edits_pictures(served: Served) -> None:
    with open_openai(served) as client:
        made = client.images.generate(model="gpt-image-2", prompt="a kite", size="1536x1024", n=2)
        assert made.data is not None
        assert len(made.data) == 2
        assert all(one.b64_json for one in made.data)
        for image in (PICTURE, [PICTURE, PICTURE]):
            edited = client.images.edit(model="gpt-image-2", prompt="blue", image=image)
            assert edited.usage is not None
            assert edited.usage.output_tokens == 1000


@serving("openai")
def test_openai_speaks_and_writes_in_the_background(served: Served) -> None:
    with open_openai(served) as client:
        speech = client.audio.speech.create(model="gpt-4o-mini-tts", voice="coral", input="Hello.")
        assert speech.read() == served.fake.files["wav"]
        text = client.responses.create(model="gpt-5.4-mini", input="A lamp", background=True)
        assert text.status == "queued"
        assert client.responses.retrieve(text.id).status == "in_progress"
        assert client.responses.retrieve(text.id).output_text == '{"title": "The lamp"}'
        assert client.responses.cancel(text.id).status == "cancelled"


@serving("openai")
def test_openai_transcribes(served: Served) -> None:
    with open_openai(served) as client:
        made = client.audio.transcriptions.create(
            model="whisper-1",
            file=SOUND,
            response_format="verbose_json",
            timestamp_granularities=["segment"],
        )
        assert made.segments is not None
        assert made.segments[0].end == 1.5
        told = client.audio.transcriptions.create(
            model="gpt-4o-transcribe-diarize",
            file=SOUND,
            response_format="diarized_json",
            chunking_strategy="auto",
        )
        assert told.segments[0].speaker == "A"
        with pytest.raises(openai.BadRequestError):
            client.audio.transcriptions.create(
                model="gpt-4o-transcribe-diarize", file=SOUND, response_format="verbose_json"
            )


@pytest.mark.parametrize(
    ("size", "code"), [("512x512", "too few"), ("2048x512", "ratio"), ("1000x1000", "16")]
)
@serving("openai")
def test_openai_refuses_sizes_that_a_model_does_not_make(
    served: Served, size: Any, code: str
) -> None:
    with open_openai(served) as client, pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="gpt-image-2", prompt="a kite", size=size)
    assert code in str(caught.value)


@serving("openai")
def test_openai_refuses_a_retired_model_and_a_wrong_key(served: Served) -> None:
    with open_openai(served) as client, pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="dall-e-3", prompt="a kite")
    assert caught.value.code == "model_not_found"
    with (
        openai.OpenAI(api_key="sk-wrong", base_url=f"{served.url}/v1", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.images.generate(model="gpt-image-2", prompt="a kite")


WORDS: Any = [{"role": "user", "content": "A lamp"}]


@serving("xai")
def test_openais_client_makes_pictures_and_writes_at_xai(served: Served) -> None:
    with open_openai(served) as client:
        made = client.images.generate(
            model="grok-imagine-image", prompt="a kite", n=2, response_format="b64_json"
        )
        assert made.data is not None
        assert all(one.b64_json for one in made.data)
        text = client.chat.completions.create(model="grok-4.3", messages=WORDS)
        assert text.choices[0].message.content == chat_fake.ANSWER
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="grok-0", messages=WORDS)


@serving("openrouter")
def test_openais_client_writes_at_openrouter(served: Served) -> None:
    base_url = f"{served.url}/api/v1"
    with openai.OpenAI(api_key=served.fake.key, base_url=base_url, max_retries=0) as client:
        text = client.chat.completions.create(
            model="openai/gpt-5.4-mini", messages=WORDS, max_tokens=100
        )
        assert text.choices[0].finish_reason == "stop"
    with (
        openai.OpenAI(api_key="sk-wrong", base_url=base_url, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model="openai/gpt-5.4-mini", messages=WORDS)
