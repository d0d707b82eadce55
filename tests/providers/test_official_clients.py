"""The providers' own released clients against the fakes: what the fakes accept is what they send.

A fake that these clients cannot use is wrong, whatever our adapters make of it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import elevenlabs
import fal_client
import httpx
import pytest
import runwayml
from elevenlabs.core import ApiError as ElevenLabsError
from google import genai
from google.genai import types as genai_types
from google.oauth2.credentials import Credentials
from luma_agents import Luma
from luma_agents import UnprocessableEntityError as LumaError
from replicate.client import Client as ReplicateClient
from replicate.exceptions import ReplicateError

from providers.fake_provider import FakeProvider, Fault, build_png
from providers.fakes import FAKES
from providers.fal.fake import FakeFal
from providers.google.fake import VERTEX, FakeGoogle
from providers.runway.fake import FakeRunway
from providers.served_fakes import PICTURE, SOUND, Served, serving

# ── Luma ─────────────────────────────────────────────────────────────────────────────────────────


@serving("luma")
def test_luma_makes_pictures_and_clips_and_changes_clips(served: Served) -> None:
    base_url = f"{served.url}/v1"
    with Luma(auth_token=served.fake.key, base_url=base_url, max_retries=0) as client:
        made = client.generations.create(model="uni-1", type="image", prompt="a kite")
        assert made.state == "queued"
        assert client.generations.get(made.id).state == "processing"
        done = client.generations.get(made.id)
        assert done.output is not None
        assert done.output[0].url.startswith(served.url)
        size: Any = {"resolution": "720p", "duration": "5s"}
        client.generations.create(model="ray-3.2", type="video", prompt="waves", video=size)
        clip: Any = {"data": base64.b64encode(b"clip").decode(), "media_type": "video/mp4"}
        changed = client.generations.create(
            model="ray-3.2",
            type="video_edit",
            prompt="in snow",
            source=clip,
            video={"resolution": "720p"},
        )
        assert client.generations.get(changed.id).type == "video_edit"
        with pytest.raises(LumaError):
            client.generations.create(model="ray-3.2", type="image_edit", prompt="x")


# ── Runway ───────────────────────────────────────────────────────────────────────────────────────


def open_runway(served: Served) -> runwayml.RunwayML:
    return runwayml.RunwayML(api_key=served.fake.key, base_url=served.url, max_retries=0)


@serving("runway")
def test_runway_creates_follows_and_deletes_tasks(served: Served) -> None:
    with open_runway(served) as client:
        film = client.text_to_video.create(
            model="gen4.5", prompt_text="waves", ratio="1280:720", duration=4
        )
        assert client.tasks.retrieve(film.id).status == "RUNNING"
        done = client.tasks.retrieve(film.id)
        assert done.status == "SUCCEEDED"
        assert done.output[0].startswith(served.url)
        client.image_to_video.create(
            model="gen4_turbo", prompt_image="https://example.org/a.png", ratio="960:960"
        )
        client.video_to_video.create(
            model="aleph2", video_uri="https://example.org/a.mp4", prompt_text="in snow", seed=7
        )
        client.sound_effect.create(
            model="eleven_text_to_sound_v2", prompt_text="a door closes", duration=2.5, loop=True
        )
        client.text_to_image.create(model="gen4_image", prompt_text="x", ratio="1920:1080")
        client.text_to_speech.create(
            model="eleven_multilingual_v2",
            prompt_text="Hello.",
            voice={"type": "runway-preset", "preset_id": "Maya"},
        )
        client.tasks.delete(film.id)
        with pytest.raises(runwayml.NotFoundError):
            client.tasks.retrieve(film.id)


@serving("runway")
def test_runway_takes_files(served: Served) -> None:
    with open_runway(served) as client:
        upload = client.uploads.create_ephemeral(file=PICTURE)
        client.image_to_video.create(model="gen4_turbo", prompt_image=upload.uri, ratio="960:960")
    assert isinstance(served.fake, FakeRunway)
    assert list(served.fake.uploads.values()) == [PICTURE[1]]


@serving("runway")
def test_runway_refuses_a_square_film_from_text_alone(served: Served) -> None:
    """Its types allow 960:960 for gen4.5 only with a picture."""
    square: Any = "960:960"
    with open_runway(served) as client, pytest.raises(runwayml.BadRequestError):
        client.text_to_video.create(model="gen4.5", prompt_text="x", ratio=square, duration=4)


# ── Google ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", [None, "v1", "v1beta"])
@serving("google")
def test_google_makes_pictures_and_texts_by_each_version_of_its_api(
    served: Served, version: str | None
) -> None:
    options = genai_types.HttpOptions(base_url=served.url, api_version=version)
    with genai.Client(api_key=served.fake.key, http_options=options) as client:
        config = genai_types.GenerateContentConfig(
            response_modalities=["TEXT", "IMAGE"],
            image_config=genai_types.ImageConfig(aspect_ratio="16:9", image_size="2K"),
        )
        answer = client.models.generate_content(
            model="gemini-nano-banana-2.1", contents="a kite", config=config
        )
        assert answer.parts is not None
        pictures = [part.inline_data for part in answer.parts if part.inline_data]
        assert [one.data for one in pictures] == [served.fake.files["png"]]
        text = client.models.generate_content(model="gemini-3.7-flash", contents="a lamp")
        assert text.text == '{"title": "The lamp"}'
        with pytest.raises(genai.errors.ClientError) as caught:
            client.models.generate_content(model="imagen-4", contents="a kite")
        assert caught.value.status == "NOT_FOUND"


@serving("google")
@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_google_makes_clips_and_songs_in_the_background(served: Served, version: str) -> None:
    options = genai_types.HttpOptions(base_url=served.url, api_version=version)
    picture: Any = {
        "type": "image",
        "data": base64.b64encode(PICTURE[1]).decode(),
        "mime_type": "image/png",
    }
    with genai.Client(api_key=served.fake.key, http_options=options) as client:
        begun: Any = client.interactions.create(
            model="gemini-omni-1.2-flash",
            input=[picture, {"type": "text", "text": "waves"}],
            background=True,
            store=True,
            response_format={"type": "video", "duration": "5s", "resolution": "720p"},
            generation_config={"video_config": {"task": "image_to_video"}},
        )
        assert client.interactions.get(begun.id).status == "in_progress"
        done: Any = client.interactions.get(begun.id)
        assert base64.b64decode(done.output_video.data) == served.fake.files["mp4"]
        words = {"type": "text", "text": "a waltz"}
        song: Any = client.interactions.create(
            model="lyria-3.5", input=[words], background=True, store=True
        )
        assert client.interactions.cancel(song.id).status == "cancelled"


@serving("google")
def test_vertex_makes_clips_in_the_background(served: Served) -> None:
    client = genai.Client(
        vertexai=True,
        project="p1",
        location="us-central1",
        credentials=Credentials(token=served.fake.key),
        http_options=genai_types.HttpOptions(base_url=served.url),
    )
    with client:
        begun: Any = client.interactions.create(
            model="gemini-omni-1.2-flash",
            input=[{"type": "text", "text": "waves"}],
            background=True,
            store=True,
            response_format={"type": "video", "duration": "5s", "resolution": "720p"},
            generation_config={"video_config": {"task": "text_to_video"}},
        )
        client.interactions.get(begun.id)
        done: Any = client.interactions.get(begun.id)
        assert base64.b64decode(done.output_video.data) == served.fake.files["mp4"]
    assert served.fake.calls[0].path == f"{VERTEX}/interactions"


@serving("google")
def test_google_takes_files(served: Served) -> None:
    options = genai_types.HttpOptions(base_url=served.url)
    with genai.Client(api_key=served.fake.key, http_options=options) as client:
        file = client.files.upload(
            file=io.BytesIO(PICTURE[1]), config=genai_types.UploadFileConfig(mime_type="image/png")
        )
    assert isinstance(served.fake, FakeGoogle)
    assert served.fake.uploads == [PICTURE[1]]
    assert file.uri == "https://generativelanguage.googleapis.com/v1beta/files/f1"


@serving("google")
def test_google_speaks(served: Served) -> None:
    options = genai_types.HttpOptions(base_url=served.url)
    voice = genai_types.PrebuiltVoiceConfig(voice_name="Kore")
    speech = genai_types.SpeechConfig(
        voice_config=genai_types.VoiceConfig(prebuilt_voice_config=voice)
    )
    with genai.Client(api_key=served.fake.key, http_options=options) as client:
        spoken = client.models.generate_content(
            model="gemini-3.8-flash-tts",
            contents="Hello.",
            config=genai_types.GenerateContentConfig(
                response_modalities=["AUDIO"], speech_config=speech
            ),
        )
    assert spoken.parts is not None
    assert spoken.parts[0].inline_data is not None


# ── ElevenLabs ───────────────────────────────────────────────────────────────────────────────────


def open_elevenlabs(served: Served, http: httpx.Client) -> elevenlabs.ElevenLabs:
    return elevenlabs.ElevenLabs(api_key=served.fake.key, base_url=served.url, httpx_client=http)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@serving("elevenlabs")
def test_elevenlabs_speaks_and_composes(served: Served, http: httpx.Client) -> None:
    client = open_elevenlabs(served, http)
    settings = elevenlabs.VoiceSettings(stability=0.5, use_speaker_boost=True, speed=1.1)
    speech = client.text_to_speech.convert(
        "voice1",
        text="Hello.",
        model_id="eleven_v3",
        output_format="mp3_44100_128",
        voice_settings=settings,
    )
    assert b"".join(speech) == served.fake.files["wav"]
    music = client.music.compose(
        prompt="a waltz", music_length_ms=10_000, output_format="mp3_44100_128"
    )
    assert b"".join(music) == served.fake.files["wav"]
    effect = client.text_to_sound_effects.convert(
        text="a door closes",
        duration_seconds=2.5,
        loop=True,
        prompt_influence=0.5,
        model_id="eleven_text_to_sound_v2",
    )
    assert b"".join(effect) == served.fake.files["wav"]


@serving("elevenlabs")
def test_elevenlabs_transcribes(served: Served, http: httpx.Client) -> None:
    client = open_elevenlabs(served, http)
    made: Any = client.speech_to_text.convert(
        model_id="scribe_v2", file=SOUND, diarize=True, timestamps_granularity="word"
    )
    assert (made.text, made.words[0].end) == ("The lamp is lit.", 0.3)


@serving("elevenlabs", Fault.NO_CREDIT)
def test_elevenlabs_reports_an_empty_account_as_its_client_expects(
    served: Served, http: httpx.Client
) -> None:
    client = open_elevenlabs(served, http)
    with pytest.raises(ElevenLabsError) as caught:
        b"".join(client.text_to_speech.convert("voice1", text="x", model_id="eleven_v3"))
    assert (caught.value.status_code, caught.value.body["detail"]["status"]) == (
        401,
        "quota_exceeded",
    )


# ── Replicate ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def opening_replicate(served: Served) -> Iterator[ReplicateClient]:
    """Its client cannot be closed but by its own httpx client."""
    client = ReplicateClient(api_token=served.fake.key, base_url=served.url)
    with client._client:
        yield client


@serving("replicate")
def test_replicate_creates_follows_and_cancels_predictions(served: Served) -> None:
    with opening_replicate(served) as client:
        model = "black-forest-labs/flux-schnell"
        made = client.models.predictions.create(model, input={"prompt": "x", "num_outputs": 2})
        assert (made.status, made.model, made.input) == (
            "starting",
            model,
            {"prompt": "x", "num_outputs": 2},
        )
        assert client.predictions.get(made.id).status == "processing"
        done = client.predictions.get(made.id)
        assert done.status == "succeeded"
        assert done.output == [f"{served.url}/files/out-0.png"]
        other = client.models.predictions.create(model, input={"prompt": "x"})
        other.cancel()
        assert client.predictions.get(other.id).status == "canceled"


@serving("replicate")
def test_replicate_takes_files(served: Served) -> None:
    with opening_replicate(served) as client:
        made = client.files.create(io.BytesIO(build_png()), filename="given.png")
        assert made.urls == {"get": f"{served.url}/v1/files/{made.id}"}
        assert made.size == len(build_png())


@serving("replicate")
def test_replicate_refuses_more_steps_than_a_model_takes(served: Served) -> None:
    """flux-schnell's own schema: one to four steps."""
    with opening_replicate(served) as client:
        with pytest.raises(ReplicateError) as caught:
            client.models.predictions.create(
                "black-forest-labs/flux-schnell", input={"prompt": "x", "num_inference_steps": 30}
            )
        assert caught.value.status == 422


# ── fal ──────────────────────────────────────────────────────────────────────────────────────────


async def open_fal(fake: FakeProvider) -> fal_client.AsyncClient:
    """Its client speaks HTTPS alone: give it the fake's transport."""
    client = fal_client.AsyncClient(key=fake.key)
    http: httpx.AsyncClient = await client._client
    await http._transport.aclose()
    http._transport = fake.transport()
    return client


async def test_fal_submits_follows_and_cancels_requests() -> None:
    fake = FAKES["fal"]()
    client = await open_fal(fake)
    handle = await client.submit("fal-ai/flux/dev", {"prompt": "x", "num_images": 2})
    assert isinstance(await handle.status(), fal_client.InProgress)
    assert isinstance(await handle.status(), fal_client.Completed)
    assert (await handle.get())["images"][0]["content_type"] == "image/png"
    other = await client.submit("fal-ai/flux/dev", {"prompt": "x"})
    await other.cancel()
    assert other.request_id in fake.cancelled


async def test_fal_takes_files() -> None:
    fake = FakeFal()
    client = await open_fal(fake)
    url = await client.upload(PICTURE[1], "image/png", "given.png", repository="fal")
    assert url == "https://v3.fal.media/files/0-given.png"
    assert list(fake.uploads.values()) == [PICTURE[1]]


async def test_fal_refuses_options_that_a_model_does_not_have() -> None:
    client = await open_fal(FAKES["fal"]())
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        await client.submit("fal-ai/flux/dev", {"prompt": "x", "sampler": "euler"})
    assert caught.value.status_code == 422
