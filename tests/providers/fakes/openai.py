"""api.openai.com as openai/openai-openapi describes it (2026-08)."""

from __future__ import annotations

import base64
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .fake import Check, Fake, Mischief, Step, among, between, form
from .standard_webhooks import standard_signature

VOICES = among(
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
)
PICTURE: dict[str, Check] = {
    "model": str,
    "prompt": str,
    "n": between(1, 10),
    "size": lambda value: value == "auto" or all(int(side) % 16 == 0 for side in value.split("x")),
    "quality": among("low", "medium", "high", "auto"),
    "output_format": among("png", "jpeg", "webp"),
    "output_compression": between(0, 100),
    "background": among("opaque", "auto", "transparent"),
    "moderation": among("auto", "low"),
    "user": str,
}
SPEECH: dict[str, Check] = {
    "model": str,
    "input": lambda value: isinstance(value, str) and 1 <= len(value) <= 4096,
    "voice": VOICES,
    "instructions": str,
    "response_format": among("mp3", "opus", "aac", "flac", "wav", "pcm"),
    "speed": between(0.25, 4),
}
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
MODELS = {
    "gpt-image-2",
    "gpt-image-2.6-flare",
    "gpt-4o-mini-tts",
    "tts-1",
    "gpt-5.4-mini",
    "gpt-5.4",
    "gpt-5.4-nano",
}


def _is_format(value: Any) -> bool:
    return set(value) == {"type", "name", "strict", "schema"} and value["type"] == "json_schema"


class FakeOpenAI(Fake):
    name = "openai"
    base_url = "https://api.openai.com/v1"
    key = "sk-proj-0123456789abcdefghijklmnop"
    answer: str = '{"title": "The lamp"}'

    def routes(self) -> list[Route]:
        return [
            Route("/v1/images/generations", self._generate, methods=["POST"]),
            Route("/v1/images/edits", self._edit, methods=["POST"]),
            Route("/v1/audio/speech", self._speak, methods=["POST"]),
            Route("/v1/responses", self._respond, methods=["POST"]),
            Route("/v1/responses/{id}", self._response),
            Route("/v1/responses/{id}/cancel", self._cancel, methods=["POST"]),
        ]

    def authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def refusal(self, status: int, word: str, text: str) -> Response:
        status = {402: 429, 422: 400}.get(status, status)
        error = {"message": text, "type": "invalid_request_error", "param": None, "code": word}
        return JSONResponse({"error": error}, status_code=status)

    async def _generate(self, request: Request) -> Response:
        self.enter(request)
        body = await self.json(request, PICTURE, ("model", "prompt"))
        return self._pictures(body["model"], body.get("n", 1))

    async def _edit(self, request: Request) -> Response:
        self.enter(request)
        fields = form(request.headers["content-type"], await request.body())
        if not fields.get("image[]") or not all(
            isinstance(item, bytes) for item in fields["image[]"]
        ):
            raise self.invalid("image[] is required")
        if unknown := fields.keys() - PICTURE.keys() - {"image[]", "mask"}:
            raise self.invalid(f"unknown parameter {unknown.pop()}")
        return self._pictures(str(fields["model"][0]), int(fields.get("n", ["1"])[0]))

    def _pictures(self, model: str, count: int) -> Response:
        if self.mischief is Mischief.MODERATION:
            return self.refusal(
                400, "moderation_blocked", "Your request was rejected by the safety system."
            )
        self.buy(known=model in MODELS)
        content = base64.b64encode(self.files["png"]).decode()
        data = [] if self.mischief is Mischief.EMPTY else [{"b64_json": content}] * count
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

    async def _speak(self, request: Request) -> Response:
        self.enter(request)
        body = await self.json(request, SPEECH, ("model", "input", "voice"))
        self.buy(known=body["model"] in MODELS)
        return Response(
            b"" if self.mischief is Mischief.EMPTY else self.files["wav"], media_type="audio/wav"
        )

    async def _respond(self, request: Request) -> Response:
        self.enter(request)
        body = await self.json(request, TEXT, ("model", "input"))
        if body.get("background") and not body.get("store", True):
            raise self.invalid("background requires store")
        id_ = self.buy(known=body["model"] in MODELS)
        status = "queued" if self.polls else "completed"
        reply = (
            self._reply(id_, self.step(id_))
            if status == "completed"
            else {"id": id_, "status": status, "output": []}
        )
        if self.mischief is Mischief.NO_ID:
            reply.pop("id")
        return JSONResponse(reply)

    async def _response(self, request: Request) -> Response:
        self.enter(request)
        id_ = request.path_params["id"]
        step = self.step(id_)
        if step is Step.UNKNOWN:
            return self.refusal(404, "not_found", "Response not found.")
        return JSONResponse(self._reply(id_, step))

    async def _cancel(self, request: Request) -> Response:
        self.enter(request)
        self.cancelled.add(request.path_params["id"])
        return JSONResponse({"id": request.path_params["id"], "status": "cancelled"})

    def _reply(self, id_: str, step: Step) -> dict[str, Any]:
        status, more = _STATES.get(step, ("completed", {}))
        content = (
            []
            if step is Step.EMPTY
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


_STATES: dict[Step, tuple[str, dict[str, Any]]] = {
    Step.WAITING: ("in_progress", {}),
    Step.STRANGE: ("daydreaming", {}),
    Step.CANCELLED: ("cancelled", {}),
    Step.FAILED: (
        "failed",
        {"error": {"code": "server_error", "message": "The model had an error."}},
    ),
    Step.MODERATED: ("incomplete", {"incomplete_details": {"reason": "content_filter"}}),
}


def signed(id_: str, secret: str, seconds: int) -> tuple[dict[str, str], bytes]:
    """A webhook as OpenAI sends it."""
    body = json.dumps({"id": "evt_1", "type": "response.completed", "data": {"id": id_}}).encode()
    return standard_signature("wh_1", seconds, body, secret), body
