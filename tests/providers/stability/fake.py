"""api.stability.ai as its OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import FakeProvider, Fault, OperationState, parse_form

RATIOS = {"16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"}
COMMON = {"prompt", "negative_prompt", "seed", "output_format"}
SOUND = "audio/stable-audio-2/text-to-audio"
#: path → (fields, required)
PATHS = {
    "generate/core": (COMMON | {"aspect_ratio", "style_preset"}, {"prompt"}),
    "generate/ultra": (COMMON | {"aspect_ratio", "style_preset", "image", "strength"}, {"prompt"}),
    "generate/sd3": (
        COMMON
        | {"aspect_ratio", "style_preset", "cfg_scale", "model", "mode", "image", "strength"},
        {"prompt", "model"},
    ),
    "edit/remove-background": ({"image", "output_format"}, {"image"}),
    "upscale/fast": ({"image", "output_format"}, {"image"}),
    "upscale/conservative": (COMMON | {"image", "creativity"}, {"image", "prompt"}),
    "upscale/creative": (COMMON | {"image", "creativity", "style_preset"}, {"image", "prompt"}),
    SOUND: (
        {"prompt", "seed", "output_format", "duration", "model", "steps", "cfg_scale"},
        {"prompt", "model"},
    ),
}
VALUES: dict[str, Callable[[Any], bool]] = {
    "aspect_ratio": RATIOS.__contains__,
    "seed": lambda value: 0 <= int(value) <= 4_294_967_294,
    "output_format": {"jpeg", "png", "webp"}.__contains__,
    "strength": lambda value: 0 <= float(value) <= 1,
    "creativity": lambda value: 0.1 <= float(value) <= 0.5,
    "cfg_scale": lambda value: 1 <= float(value) <= 10,
    "model": {"sd3.5-large", "sd3.5-large-turbo", "sd3.5-medium", "sd3.5-flash"}.__contains__,
    "mode": {"text-to-image", "image-to-image"}.__contains__,
    "image": lambda value: isinstance(value, bytes) and len(value) > 0,
}
SOUND_VALUES: dict[str, Callable[[Any], bool]] = {
    "duration": lambda value: 1 <= float(value) <= 190,
    "output_format": {"mp3", "wav"}.__contains__,
    "model": {"stable-audio-2", "stable-audio-2.5"}.__contains__,
}
NAMES = {
    401: "unauthorized",
    402: "payment_required",
    422: "bad_request",
    429: "rate_limit_exceeded",
    500: "internal_error",
}


class FakeStability(FakeProvider):
    name = "stability"
    base_url = "https://api.stability.ai"
    key = "sk-0123456789abcdefghijklmnop"

    def build_routes(self) -> list[Route]:
        return [
            Route("/v2beta/stable-image/{path:path}", self._handle_create, methods=["POST"]),
            Route(f"/v2beta/{SOUND}", self._handle_sound, methods=["POST"]),
            Route("/v2beta/results/{id}", self._handle_result),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        return JSONResponse(
            {"id": "f00", "name": NAMES.get(status, word), "errors": [text]}, status_code=status
        )

    async def _handle_create(self, request: Request) -> Response:
        self.check_access(request)
        path = request.path_params["path"]
        if path in PATHS:
            await self._check_form(request, *PATHS[path])
        if self.fault is Fault.MODERATION and path.startswith("generate/ultra"):
            return self.build_refusal(403, "content_moderation", "Your request was flagged.")
        id_ = self.accept_create(known=path in PATHS)
        if path == "upscale/creative":
            return JSONResponse({} if self.fault is Fault.NO_ID else {"id": id_})
        return self._build_picture(
            "CONTENT_FILTERED" if self.fault is Fault.MODERATION else "SUCCESS"
        )

    async def _handle_sound(self, request: Request) -> Response:
        self.check_access(request)
        await self._check_form(request, *PATHS[SOUND])
        if self.fault is Fault.MODERATION:
            return self.build_refusal(403, "content_moderation", "Your request was flagged.")
        self.accept_create()
        content = b"" if self.fault is Fault.NO_RESULT else self.files["wav"]
        return Response(content, media_type="audio/mpeg", headers={"finish-reason": "SUCCESS"})

    async def _check_form(self, request: Request, fields: set[str], required: set[str]) -> None:
        content_type = request.headers.get("content-type", "")
        if not content_type.startswith("multipart/form-data; boundary="):
            raise self.build_invalid_error("content-type: must be multipart/form-data")
        is_sound = request.url.path.endswith(SOUND)
        kind = "audio/*" if is_sound else "image/*"
        if request.headers.get("accept") not in {kind, "application/json"}:
            raise self.build_invalid_error(f"accept: must be {kind} or application/json")
        body: dict[str, Any] = {
            name: values[0]
            for name, values in parse_form(content_type, await request.body()).items()
        }
        body.pop("none", None)
        if problems := [*(required - body.keys()), *(body.keys() - fields)]:
            raise self.build_invalid_error(f"{problems[0]}: missing or unknown")
        values = VALUES | SOUND_VALUES if is_sound else VALUES
        if problems := [
            name for name, value in body.items() if name in values and not values[name](value)
        ]:
            raise self.build_invalid_error(f"{problems[0]}: wrong value")
        if "background" in request.url.path and body.get("output_format") == "jpeg":
            raise self.build_invalid_error("output_format: jpeg has no transparency")
        if body.get("mode") == "image-to-image" and "aspect_ratio" in body:
            raise self.build_invalid_error("aspect_ratio: not with image-to-image")

    async def _handle_result(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        match self.advance(id_):
            case OperationState.MISSING:
                return self.build_refusal(404, "not_found", "id: not found")
            case OperationState.WAITING:
                return JSONResponse({"id": id_, "status": "in-progress"}, status_code=202)
            case OperationState.UNKNOWN_STATUS:
                return JSONResponse({"id": id_, "status": "pondering"}, status_code=202)
            case OperationState.FAILED:
                return self.build_refusal(500, "internal_error", "inference failed")
            case OperationState.MODERATED:
                return self._build_picture("CONTENT_FILTERED")
            case _:
                return self._build_picture("SUCCESS")

    def _build_picture(self, reason: str) -> Response:
        content = b"" if self.fault is Fault.NO_RESULT else self.files["png"]
        return Response(
            content, media_type="image/png", headers={"finish-reason": reason, "seed": "7"}
        )
