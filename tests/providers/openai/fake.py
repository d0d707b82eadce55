"""api.openai.com as openai/openai-openapi describes it (2026-08)."""

from __future__ import annotations

import base64
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import (
    Check,
    FakeProvider,
    Fault,
    OperationState,
    between,
    one_of,
    parse_form,
)
from providers.standard_webhook_signature import sign_standard_webhook

VOICES = one_of(
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "fable",
    "onyx",
    "nova",
    "sage",
    "shimmer",
    "verse",
    "marin",
    "cedar",
)
PICTURE: dict[str, Check] = {
    "model": str,
    "prompt": str,
    "n": between(1, 10),
    "size": str,
    "quality": one_of("low", "medium", "high", "auto"),
    "output_format": one_of("png", "jpeg", "webp"),
    "output_compression": between(0, 100),
    "background": one_of("opaque", "auto", "transparent"),
    "moderation": one_of("auto", "low"),
    "user": str,
}
SPEECH: dict[str, Check] = {
    "model": str,
    "input": lambda value: isinstance(value, str) and 1 <= len(value) <= 4096,
    "voice": VOICES,
    "instructions": str,
    "response_format": one_of("mp3", "opus", "aac", "flac", "wav", "pcm"),
    "speed": between(0.25, 4),
}
#: By the types of openai 3.57. Times come in these formats only, each with its own models.
TRANSCRIPT: dict[str, Check] = {
    "model": str,
    "file": lambda value: isinstance(value, bytes) and len(value) > 0,
    "language": lambda value: len(value) == 2,
    "languages[]": lambda value: len(value) == 2,
    "prompt": str,
    "temperature": lambda value: 0 <= float(value) <= 1,
    "response_format": one_of("json", "verbose_json", "diarized_json"),
    "timestamp_granularities[]": one_of("segment", "word"),
    "chunking_strategy": one_of("auto"),
}
WHISPER_FACTS = {
    "seek": 0,
    "tokens": [50364],
    "temperature": 0.0,
    "avg_logprob": -0.2,
    "compression_ratio": 1.1,
    "no_speech_prob": 0.01,
}
SEGMENT = {"id": 0, "start": 0.0, "end": 1.5, "text": " The lamp is lit."}
TEXT: dict[str, Check] = {
    "model": str,
    "input": (str, list),
    "instructions": str,
    "background": bool,
    "store": bool,
    "max_output_tokens": between(16, 200_000, multiple=1),
    "temperature": between(0, 2),
    "text": lambda value: set(value) == {"format"} and _is_format(value["format"]),
}
OLD_SIZES = {"1024x1024", "1536x1024", "1024x1536", "auto"}
OLD_MODELS = {"gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"}
MODELS = {
    "gpt-image-2",
    "gpt-image-2.5-flare",
    "gpt-image-2.5-sunburst",
    "gpt-image-2.6-flare",
    "gpt-image-2.6-sunburst",
    *OLD_MODELS,
    "tts-1-hd",
    "gpt-4o-mini-tts",
    "tts-1",
    "gpt-5.4-mini",
    "gpt-5.4",
    "gpt-5.4-nano",
}


def explain_size(model: str, size: str) -> str | None:
    """The reason that a model does not make a size; None where it does."""
    if size == "auto":
        return None
    if model in OLD_MODELS:
        return None if size in OLD_SIZES else f"size must be one of {sorted(OLD_SIZES)}"
    width, height = (int(side) for side in size.split("x"))
    if width % 16 or height % 16:
        return "width and height must be divisible by 16"
    if max(width, height) > 3 * min(width, height):
        return "the aspect ratio must be within 1:3 and 3:1"
    if not 655_360 <= width * height <= 3840 * 2160:
        return "too few or too many pixels: 655360 to 8294400"
    return None


def _is_format(value: Any) -> bool:
    return set(value) == {"type", "name", "strict", "schema"} and value["type"] == "json_schema"


class FakeOpenAI(FakeProvider):
    name = "openai"
    base_url = "https://api.openai.com/v1"
    key = "sk-proj-0123456789abcdefghijklmnop"
    answer: str = '{"title": "The lamp"}'

    def build_routes(self) -> list[Route]:
        return [
            Route("/v1/images/generations", self._handle_generation, methods=["POST"]),
            Route("/v1/images/edits", self._handle_edit, methods=["POST"]),
            Route("/v1/audio/speech", self._handle_speech, methods=["POST"]),
            Route("/v1/audio/transcriptions", self._handle_transcription, methods=["POST"]),
            Route("/v1/responses", self._handle_response_create, methods=["POST"]),
            Route("/v1/responses/{id}", self._handle_response_get),
            Route("/v1/responses/{id}/cancel", self._handle_cancel, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        status = {402: 429, 422: 400}.get(status, status)
        error = {"message": text, "type": "invalid_request_error", "param": None, "code": word}
        return JSONResponse({"error": error}, status_code=status)

    async def _handle_generation(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, PICTURE, ("model", "prompt"))
        self._check_size(body["model"], body.get("size", "auto"))
        return self._make_pictures(body["model"], body.get("n", 1))

    def _check_size(self, model: str, size: str) -> None:
        if reason := explain_size(model, size):
            raise self.build_invalid_error(reason)

    async def _handle_edit(self, request: Request) -> Response:
        self.check_access(request)
        fields = parse_form(request.headers["content-type"], await request.body())
        # One picture may come as `image`, several come as `image[]`.
        pictures = fields.get("image[]") or fields.get("image") or []
        if not pictures or not all(isinstance(item, bytes) for item in pictures):
            raise self.build_invalid_error("image is required")
        if unknown := fields.keys() - PICTURE.keys() - {"image", "image[]", "mask"}:
            raise self.build_invalid_error(f"unknown parameter {unknown.pop()}")
        self._check_size(str(fields["model"][0]), str(fields.get("size", ["auto"])[0]))
        return self._make_pictures(str(fields["model"][0]), int(fields.get("n", ["1"])[0]))

    def _make_pictures(self, model: str, count: int) -> Response:
        if self.fault is Fault.MODERATION:
            return self.build_refusal(
                400, "moderation_blocked", "Your request was rejected by the safety system."
            )
        self.accept_create(known=model in MODELS)
        content = base64.b64encode(self.files["png"]).decode()
        data = [] if self.fault is Fault.NO_RESULT else [{"b64_json": content}] * count
        details = {"text_tokens": 20, "image_tokens": 0}
        usage = {
            "input_tokens": 20,
            "output_tokens": 1000,
            "total_tokens": 1020,
            "input_tokens_details": details,
        }
        return JSONResponse(
            {
                "created": 1,
                "data": data,
                "output_format": "png",
                "size": "1024x1024",
                "usage": usage,
            }
        )

    async def _handle_speech(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, SPEECH, ("model", "input", "voice"))
        self.accept_create(known=body["model"] in MODELS)
        return Response(
            b"" if self.fault is Fault.NO_RESULT else self.files["wav"], media_type="audio/wav"
        )

    async def _handle_transcription(self, request: Request) -> Response:
        self.check_access(request)
        form = await self.read_form(request, TRANSCRIPT, ("file", "model"))
        model, shape = form["model"], form.get("response_format", "json")
        if model == "gpt-transcribe":
            return self._transcribe_plainly(form)
        if "languages[]" in form:
            raise self.build_invalid_error("languages is not supported by the model")
        speakers = model == "gpt-4o-transcribe-diarize"
        if speakers is (shape == "verbose_json") or ("timestamp_granularities[]" in form) > (
            shape == "verbose_json"
        ):
            raise self.build_invalid_error(f"response_format {shape!r} is not compatible")
        self.accept_create(known=model in {"whisper-1", "gpt-4o-transcribe-diarize"})
        if self.fault is Fault.NO_RESULT:
            return JSONResponse({})
        words = {"text": "The lamp is lit.", "duration": 1.5}
        usage = {"type": "duration", "seconds": 2}
        if not speakers:
            return JSONResponse(
                {
                    **words,
                    "task": "transcribe",
                    "language": "english",
                    "segments": [{**WHISPER_FACTS, **SEGMENT}],
                    "usage": usage,
                }
            )
        part = {**SEGMENT, "id": "seg_1", "type": "transcript.text.segment", "speaker": "A"}
        return JSONResponse({**words, "task": "transcribe", "segments": [part], "usage": usage})

    def _transcribe_plainly(self, form: dict[str, Any]) -> Response:
        """The newest model: a text alone, and the languages that were heard."""
        if wrong := form.keys() & {"response_format", "timestamp_granularities[]", "language"}:
            raise self.build_invalid_error(f"{wrong.pop()} is not supported by the model")
        self.accept_create()
        if self.fault is Fault.NO_RESULT:
            return JSONResponse({})
        heard = [{"code": "en"}]
        return JSONResponse({"text": "The lamp is lit.", "languages": heard})

    async def _handle_response_create(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, TEXT, ("model", "input"))
        if body.get("background") and not body.get("store", True):
            raise self.build_invalid_error("background requires store")
        id_ = self.accept_create(known=body["model"] in MODELS)
        status = "queued" if self.polls else "completed"
        reply = (
            self.build_response(id_, self.advance(id_))
            if status == "completed"
            else {"id": id_, "status": status, "output": []}
        )
        if self.fault is Fault.NO_ID:
            reply.pop("id")
        return JSONResponse(reply)

    async def _handle_response_get(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        step = self.advance(id_)
        if step is OperationState.MISSING:
            return self.build_refusal(404, "not_found", "Response not found.")
        return JSONResponse(self.build_response(id_, step))

    async def _handle_cancel(self, request: Request) -> Response:
        self.check_access(request)
        self.cancelled.add(request.path_params["id"])
        return JSONResponse({"id": request.path_params["id"], "status": "cancelled"})

    def build_response(self, id_: str, step: OperationState) -> dict[str, Any]:
        status, more = _STATES.get(step, ("completed", {}))
        content = (
            []
            if step is OperationState.NO_RESULT
            else [{"type": "output_text", "text": self.answer, "annotations": []}]
        )
        output = (
            [{"type": "reasoning"}, {"type": "message", "content": content}]
            if status == "completed"
            else []
        )
        usage = {"input_tokens": 100, "output_tokens": 200}
        return {
            "id": id_,
            "object": "response",
            "status": status,
            "output": output,
            "usage": usage,
            **more,
        }


_STATES: dict[OperationState, tuple[str, dict[str, Any]]] = {
    OperationState.WAITING: ("in_progress", {}),
    OperationState.UNKNOWN_STATUS: ("daydreaming", {}),
    OperationState.CANCELLED: ("cancelled", {}),
    OperationState.FAILED: (
        "failed",
        {"error": {"code": "server_error", "message": "The model had an error."}},
    ),
    OperationState.MODERATED: ("incomplete", {"incomplete_details": {"reason": "content_filter"}}),
}


def sign_webhook(id_: str, secret: str, seconds: int) -> tuple[dict[str, str], bytes]:
    """A webhook as OpenAI sends it."""
    body = json.dumps({"id": "evt_1", "type": "response.completed", "data": {"id": id_}}).encode()
    return sign_standard_webhook("wh_1", seconds, body, secret), body
