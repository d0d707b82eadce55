"""agents.lumalabs.ai as docs.agents.lumalabs.ai and the types of luma-agents 0.5 describe it."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import Check, FakeProvider, Fault, OperationState, one_of

PICTURE_RATIOS = one_of("3:1", "2:1", "16:9", "3:2", "1:1", "2:3", "9:16", "1:2", "1:3")
CLIP_RATIOS = one_of("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")


def _is_file(value: Any) -> bool:
    """One of an address, a generation, or data with its type."""
    if not isinstance(value, dict) or not value.keys() <= {"url", "data", "media_type"}:
        return False
    if "data" not in value:
        return str(value.get("url", "")).startswith("https://")
    try:
        content = base64.b64decode(value["data"], validate=True)
    except binascii.Error:
        return False
    kinds = {"image/png", "video/mp4"}
    return bool(content) and "url" not in value and value.get("media_type") in kinds


def _are_files(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= 9 and all(map(_is_file, value))


VIDEO: dict[str, Check] = {
    "duration": one_of("5s", "10s"),
    "resolution": one_of("360p", "540p", "720p", "1080p"),
    "start_frame": _is_file,
    "end_frame": _is_file,
    "keyframes": _are_files,
    "keyframe_indexes": list,
    "loop": bool,
}
PICTURE_FIELDS: dict[str, Check] = {
    "model": one_of("uni-1", "uni-1-max"),
    "type": one_of("image", "image_edit"),
    "prompt": lambda value: isinstance(value, str) and 1 <= len(value) <= 6000,
    "aspect_ratio": PICTURE_RATIOS,
    "output_format": one_of("png", "jpeg"),
    "style": one_of("auto", "manga"),
    "source": _is_file,
    "image_ref": _are_files,
}
CLIP_FIELDS: dict[str, Check] = {
    "model": one_of("ray-3.2"),
    "type": one_of("video"),
    "prompt": PICTURE_FIELDS["prompt"],
    "aspect_ratio": CLIP_RATIOS,
    "video": dict,
}
EDIT_FIELDS: dict[str, Check] = {
    "model": one_of("ray-3.2"),
    "type": one_of("video_edit"),
    "prompt": PICTURE_FIELDS["prompt"],
    "source": lambda value: _is_file(value) and value.get("media_type") == "video/mp4",
    "video": lambda value: value.keys() <= {"resolution"},
}
FIELDS = {"video": CLIP_FIELDS, "video_edit": EDIT_FIELDS}


class FakeLuma(FakeProvider):
    name = "luma"
    base_url = "https://agents.lumalabs.ai/v1"
    delivery = "https://cdn-luma.example.com"
    key = "luma-0123456789abcdefghijklmnop"
    failure = "generation_failed"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        #: The type of each generation.
        self.kinds: dict[str, str] = {}

    def build_routes(self) -> list[Route]:
        return [
            Route("/v1/generations", self._handle_create, methods=["POST"]),
            Route("/v1/generations/{id}", self._handle_get),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        return JSONResponse({"detail": text, "code": word}, status_code=status)

    async def _handle_create(self, request: Request) -> Response:
        self.check_access(request)
        raw = await request.json()
        kind = raw.get("type")
        fields = FIELDS.get(kind, PICTURE_FIELDS)
        body = await self.read_json(request, fields, ("model", "prompt"))
        if kind in FIELDS:
            self._check_video(body["video"])
            if kind == "video_edit" and "source" not in body:
                raise self.build_invalid_error("video_edit requires source")
        elif (body.get("type") == "image_edit") != ("source" in body):
            raise self.build_invalid_error("image_edit requires source")
        id_ = self.accept_create()
        self.kinds[id_] = kind or "image"
        reply = {
            "id": id_,
            "type": self.kinds[id_],
            "state": "queued",
            "model": body["model"],
            "created_at": "2026-11-27",
        }
        if self.fault is Fault.NO_ID:
            reply.pop("id")
        return JSONResponse(reply, status_code=202)

    def _check_video(self, video: dict[str, Any]) -> None:
        self.check_fields(video, VIDEO)
        frames = video.keys() & {"start_frame", "end_frame"}
        if frames and (video.get("duration") == "10s" or "keyframes" in video):
            raise self.build_invalid_error("start_frame and end_frame need a duration of 5s")
        indexes = video.get("keyframe_indexes", [])
        if len(indexes) != len(video.get("keyframes", [])):
            raise self.build_invalid_error("keyframe_indexes must match keyframes")
        if any(not 0 <= index <= 240 for index in indexes):
            raise self.build_invalid_error("keyframe_indexes is out of range")

    async def _handle_get(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        step = self.advance(id_)
        if step is OperationState.MISSING:
            return self.build_refusal(404, "not_found", "Generation not found")
        kind = self.kinds[id_]
        reply = {"id": id_, "model": "uni-1", "type": kind, "created_at": "2026-11-27"}
        name = "clip.mp4" if kind in FIELDS else "result.png"
        return JSONResponse(reply | self._build_state(request, step, name))

    def _build_state(self, request: Request, step: OperationState, name: str) -> dict[str, Any]:
        match step:
            case OperationState.WAITING:
                return {"state": "processing"}
            case OperationState.UNKNOWN_STATUS:
                return {"state": "throttled"}
            case OperationState.MODERATED:
                return self._build_failure("content_moderated")
            case OperationState.FAILED:
                return self._build_failure(self.failure)
            case OperationState.NO_RESULT:
                return {"state": "completed", "output": []}
            case _:
                url = self.build_result_url(request, name)
                kind = "video" if name.endswith("mp4") else "image"
                return {"state": "completed", "output": [{"type": kind, "url": url}]}

    def _build_failure(self, code: str) -> dict[str, Any]:
        return {"state": "failed", "failure_code": code, "failure_reason": "It failed."}
