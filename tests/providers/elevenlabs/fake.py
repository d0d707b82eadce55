"""api.elevenlabs.io as elevenlabs 2.78 uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import (
    Check,
    FakeProvider,
    Fault,
    Refused,
    between,
    is_url,
    one_of,
)

SETTINGS: dict[str, Callable[[Any], bool]] = {
    "stability": between(0, 1),
    "similarity_boost": between(0, 1),
    "style": between(0, 1),
    "speed": between(0.7, 1.2),
    "use_speaker_boost": lambda value: isinstance(value, bool),
}
SPEECH: dict[str, Check] = {
    "text": str,
    "model_id": str,
    "language_code": lambda value: len(value) == 2,
    "voice_settings": lambda value: all(
        name in SETTINGS and SETTINGS[name](number) for name, number in value.items()
    ),
    "seed": between(0, 2**32 - 1),
    "previous_text": str,
    "next_text": str,
}
MUSIC: dict[str, Check] = {
    "prompt": str,
    "music_length_ms": between(3000, 600_000),
    "model_id": one_of("music_v1", "music_v2", "music_v2_5"),
}
EFFECT: dict[str, Check] = {
    "text": str,
    "model_id": one_of("eleven_text_to_sound_v2", "eleven_text_to_sound_v3"),
    "duration_seconds": between(0.5, 30),
    "loop": bool,
    "prompt_influence": between(0, 1),
}
#: By the types of elevenlabs 2.78; its client sends "null" for what is not given.
TRANSCRIPT: dict[str, Check] = {
    "model_id": one_of("scribe_v1", "scribe_v2", "scribe_v3"),
    "file": lambda value: isinstance(value, bytes) and len(value) > 0,
    "cloud_storage_url": is_url,
    "language_code": lambda value: len(value) in {2, 3},
    "timestamps_granularity": one_of("none", "word", "character"),
    "diarize": one_of("true", "false"),
    "num_speakers": lambda value: 1 <= int(value) <= 32,
    "seed": lambda value: 0 <= int(value) < 2**31,
    "tag_audio_events": one_of("true", "false"),
    "webhook_metadata": one_of("null"),
    "entity_detection": one_of("null"),
    "entity_redaction": one_of("null"),
}
WORDS = [
    {"text": text, "start": start, "end": end, "type": kind, "speaker_id": "speaker_0"}
    for text, start, end, kind in (
        ("The", 0.1, 0.3, "word"),
        (" ", 0.3, 0.4, "spacing"),
        ("lamp", 0.4, 0.9, "word"),
        (" ", 0.9, 1.0, "spacing"),
        ("is lit.", 1.0, 1.6, "word"),
    )
]
SCRIBE = {
    "language_code": "eng",
    "language_probability": 0.98,
    "text": "The lamp is lit.",
    "words": [{**word, "logprob": -0.1} for word in WORDS],
    "transcription_id": "t1",
    "audio_duration_secs": 1.8,
}
FORMATS = {"mp3_44100_128", "wav_44100", "opus_48000_128", "pcm_24000"}
VOICES = {"21m00Tcm4TlvDq8ikWAM", "voice1"}
FLASH = "eleven_flash_v2_5"
MODELS = {"eleven_multilingual_v2", "eleven_v3", "eleven_v4", FLASH, "music_v1"}


class FakeElevenLabs(FakeProvider):
    name = "elevenlabs"
    base_url = "https://api.elevenlabs.io"
    key = "sk_0123456789abcdef0123456789abcdef"

    def build_routes(self) -> list[Route]:
        return [
            Route("/v1/text-to-speech/{voice}", self._handle_speech, methods=["POST"]),
            Route("/v1/music", self._handle_music, methods=["POST"]),
            Route("/v1/speech-to-text", self._handle_transcription, methods=["POST"]),
            Route("/v1/sound-generation", self._handle_effect, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("xi-api-key") == self.key

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        if status == 422:
            return JSONResponse(
                {"detail": [{"loc": ["body"], "msg": text, "type": word}]}, status_code=422
            )
        if status == 402:  # no credit looks like a wrong key, but for the word
            status, word = 401, "quota_exceeded"
        return JSONResponse({"detail": {"status": word, "message": text}}, status_code=status)

    async def _handle_speech(self, request: Request) -> Response:
        body = await self._read_request(request, SPEECH, ("text", "model_id"))
        self.accept_create(
            known=request.path_params["voice"] in VOICES and body["model_id"] in MODELS
        )
        settings = body.get("voice_settings")
        if body["model_id"] == FLASH and isinstance(settings, dict) and "style" in settings:
            raise self.build_invalid_error("this model has no style")
        # The Flash models take a credit for two characters.
        divisor = 2 if body["model_id"] == FLASH else 1
        return self._build_sound({"character-cost": str(len(str(body["text"])) // divisor)})

    async def _handle_music(self, request: Request) -> Response:
        await self._read_request(request, MUSIC, ("prompt",))
        self.accept_create()
        return self._build_sound({})

    async def _handle_effect(self, request: Request) -> Response:
        await self._read_request(request, EFFECT, ("text",))
        self.accept_create()
        return self._build_sound({})

    async def _handle_transcription(self, request: Request) -> Response:
        self.check_access(request)
        form = await self.read_form(request, TRANSCRIPT, ("model_id",))
        if ("file" in form) is ("cloud_storage_url" in form):
            raise self.build_invalid_error("exactly one of file and cloud_storage_url is required")
        self.accept_create()
        return JSONResponse({} if self.fault is Fault.NO_RESULT else SCRIBE)

    async def _read_request(
        self, request: Request, fields: dict[str, Check], required: tuple[str, ...]
    ) -> dict[str, object]:
        self.check_access(request)
        if request.query_params.get("output_format", "mp3_44100_128") not in FORMATS:
            raise self.build_invalid_error("output_format has a wrong value")
        body = await self.read_json(request, fields, required)
        if self.fault is Fault.MODERATION:
            raise Refused(
                self.build_refusal(
                    400, "content_policy_violation", "The text is against our terms."
                )
            )
        return body

    def _build_sound(self, headers: dict[str, str]) -> Response:
        content = b"" if self.fault is Fault.NO_RESULT else self.files["wav"]
        return Response(content, media_type="audio/mpeg", headers=headers)
