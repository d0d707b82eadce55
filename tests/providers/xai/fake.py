"""api.x.ai as docs.x.ai and the AI SDK's package for xAI describe it (2026-11)."""

from __future__ import annotations

import base64
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers import chat_fake
from providers.fake_provider import Check, FakeProvider, Fault, OperationState, between, one_of


def _is_picture(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"url", "type"}
        and value["type"] == "image_url"
        and _is_address(value["url"])
    )


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "data:image/"))


PICTURE: dict[str, Check] = {
    "model": str,
    "prompt": str,
    "n": between(1, 10, multiple=1),
    "response_format": one_of("url", "b64_json"),
    "aspect_ratio": one_of(
        *("1:1", "3:4", "4:3", "9:16", "16:9", "2:3", "3:2", "9:19.5", "19.5:9", "9:20", "20:9"),
        *("1:2", "2:1", "auto"),
    ),
    "resolution": one_of("1k", "2k"),
    "user": str,
}
NEW_PICTURE = PICTURE | {"quality": one_of("low", "medium", "high")}
EDIT: dict[str, Check] = {
    "image": _is_picture,
    "images": lambda value: (
        isinstance(value, list) and 2 <= len(value) <= 3 and all(map(_is_picture, value))
    ),
}
CLIP: dict[str, Check] = {
    "model": str,
    "prompt": str,
    "duration": between(1, 15, multiple=1),
    "aspect_ratio": one_of("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3"),
    "resolution": one_of("480p", "720p", "1080p"),
    "image": lambda value: value.keys() == {"url"} and _is_address(value["url"]),
    "user": str,
}
SPEECH: dict[str, Check] = {
    "text": lambda value: isinstance(value, str) and 1 <= len(value) <= 15_000,
    "voice_id": one_of("eve", "ara", "rex", "sal", "leo"),
    "language": str,
    "speed": between(0.7, 1.5),
    "output_format": lambda value: (
        value.keys() <= {"codec", "sample_rate", "bit_rate"}
        and value["codec"] in {"mp3", "wav", "pcm", "mulaw", "alaw"}
    ),
}
PICTURES = {"grok-imagine-image", "grok-imagine-image-quality", "grok-imagine-image-2.0"}
CLIPS = {"grok-imagine-video", "grok-imagine-video-1.5"}
TEXTS = {"grok-4.3", "grok-4.5"}
COST = {"cost_in_usd_ticks": 200_000_000}


class FakeXAI(FakeProvider):
    name = "xai"
    base_url = "https://api.x.ai/v1"
    delivery = "https://vidgen.x.ai"
    key = "xai-0123456789abcdefghijklmnop"
    answer = chat_fake.ANSWER
    #: The pictures of an answer that moderation takes out, by their places.
    rejected: tuple[int, ...] = ()

    def build_routes(self) -> list[Route]:
        return [
            Route("/v1/images/generations", self._handle_picture, methods=["POST"]),
            Route("/v1/images/edits", self._handle_picture, methods=["POST"]),
            Route("/v1/videos/generations", self._handle_clip, methods=["POST"]),
            Route("/v1/videos/{id}", self._handle_clip_get),
            Route("/v1/tts", self._handle_speech, methods=["POST"]),
            Route("/v1/chat/completions", self._handle_text, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        status = {402: 403, 422: 400}.get(status, status)
        return JSONResponse({"code": word, "error": text}, status_code=status)

    async def _handle_picture(self, request: Request) -> Response:
        self.check_access(request)
        edits = request.url.path.endswith("/edits")
        model = (await request.json()).get("model")
        fields = NEW_PICTURE if model == "grok-imagine-image-2.0" else PICTURE
        body = await self.read_json(request, fields | (EDIT if edits else {}), ("model", "prompt"))
        if edits and ("image" in body) == ("images" in body):
            raise self.build_invalid_error("one of image and images is required")
        blocked = self.fault is Fault.MODERATION
        self.accept_create(known=body["model"] in PICTURES)
        content = base64.b64encode(self.files["png"]).decode()
        item = {"b64_json": "" if blocked else content, "respect_moderation": not blocked}
        data = [] if self.fault is Fault.NO_RESULT else [item] * body.get("n", 1)
        for index in self.rejected:
            data[index] = {"b64_json": "", "respect_moderation": False}
        return JSONResponse({"created": 1, "data": data, "usage": COST})

    async def _handle_clip(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, CLIP, ("model", "prompt"))
        if body["model"] == "grok-imagine-video" and body.get("resolution") == "1080p":
            raise self.build_invalid_error("1080p is not available with this model")
        id_ = self.accept_create(known=body["model"] in CLIPS)
        return JSONResponse({} if self.fault is Fault.NO_ID else {"request_id": id_})

    async def _handle_clip_get(self, request: Request) -> Response:
        self.check_access(request)
        step = self.advance(request.path_params["id"])
        if step is OperationState.MISSING:
            return self.build_refusal(404, "not_found", "Request not found")
        if step is OperationState.WAITING:
            return JSONResponse({"status": "pending", "progress": 40}, status_code=202)
        return JSONResponse(self._build_state(request, step))

    def _build_state(self, request: Request, step: OperationState) -> dict[str, Any]:
        video = {"url": self.build_result_url(request, "clip.mp4"), "duration": 5}
        match step:
            case OperationState.UNKNOWN_STATUS:
                return {"status": "throttled"}
            case OperationState.FAILED:
                error = {"code": "internal_error", "message": "The model failed."}
                return {"status": "failed", "error": error}
            case OperationState.MODERATED:
                return {"status": "done", "video": {"url": "", "respect_moderation": False}}
            case OperationState.NO_RESULT:
                return {"status": "done", "video": {"url": "", "respect_moderation": True}}
            case _:
                return {
                    "status": "done",
                    "video": video | {"respect_moderation": True},
                    "usage": COST,
                }

    async def _handle_speech(self, request: Request) -> Response:
        self.check_access(request)
        await self.read_json(request, SPEECH, ("text", "language"))
        self.accept_create()
        return Response(
            b"" if self.fault is Fault.NO_RESULT else self.files["wav"], media_type="audio/mpeg"
        )

    async def _handle_text(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, chat_fake.FIELDS, ("model", "messages"))
        self.accept_create(known=body["model"] in TEXTS)
        answer = chat_fake.build_answer(self.fault, body["model"], self.answer, COST)
        return JSONResponse(answer)
