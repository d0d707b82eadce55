"""api.minimax.io: version 2 as the AI SDK's package describes it (2026-11), and version 1."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import Check, FakeProvider, Fault, OperationState, between, one_of


def _is_content(value: Any) -> bool:
    """A text, then a first frame, then a last one."""
    if not isinstance(value, list) or not value or set(value[0]) != {"type", "text"}:
        return False
    roles = [item.get("role") for item in value[1:]]
    return roles == ["first_frame", "last_frame"][: len(roles)] and all(
        set(item) == {"type", "image_url", "role"}
        and item["type"] == "image_url"
        and item["image_url"]["url"].startswith(("https://", "data:image/"))
        for item in value[1:]
    )


FIELDS: dict[str, Check] = {
    "model": str,
    "content": _is_content,
    "resolution": one_of("768P", "2K"),
    "duration": between(5, 15, multiple=1),
    "ratio": one_of("21:9", "16:9", "4:3", "1:1", "3:4", "9:16"),
    "aigc_watermark": bool,
}
#: Version 1, as public clients use it: 1080P only for clips of six seconds.
HAILUO: dict[str, Check] = {
    "model": one_of("MiniMax-Hailuo-2.3"),
    "prompt": lambda value: isinstance(value, str) and len(value) <= 2000,
    "duration": one_of(6, 10),
    "resolution": one_of("768P", "1080P"),
    "first_frame_image": lambda value: value.startswith(("https://", "data:image/")),
    "prompt_optimizer": bool,
}
#: By platform.minimax.io/docs on `t2a_v2`.
SPEECH: dict[str, Check] = {
    "model": one_of("speech-2.8-hd", "speech-2.8-turbo"),
    "text": lambda value: isinstance(value, str) and 1 <= len(value) <= 10_000,
    "stream": one_of(False),
    "output_format": one_of("hex", "url"),
    "voice_setting": lambda value: (
        value.keys() <= {"voice_id", "speed", "vol", "pitch"}
        and isinstance(value["voice_id"], str)
        and 0.5 <= value.get("speed", 1) <= 2
    ),
    "audio_setting": lambda value: (
        value.keys() <= {"sample_rate", "bitrate", "format", "channel"}
        and value.get("format", "mp3") in {"mp3", "pcm", "flac", "wav"}
    ),
}


class FakeMiniMax(FakeProvider):
    name = "minimax"
    base_url = "https://api.minimax.io"
    delivery = "https://cdn.hailuoai.video"
    key = "sk-api-0123456789abcdefghijklmnop"
    #: A `base_resp` in place of a task.
    refusal: tuple[int, str] | None = None

    def build_routes(self) -> list[Route]:
        return [
            Route("/v2/video_generation", self._handle_create, methods=["POST"]),
            Route("/v1/t2a_v2", self._handle_speech, methods=["POST"]),
            Route("/v2/query/video_generation/{id}", self._handle_get),
            Route("/v1/video_generation", self._handle_hailuo, methods=["POST"]),
            Route("/v1/query/video_generation", self._handle_hailuo_get),
            Route("/v1/files/retrieve", self._handle_made_file),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        error = {"type": word, "message": text, "http_code": str(status)}
        return JSONResponse({"type": "error", "error": error}, status_code=status)

    async def _handle_create(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, FIELDS, ("model", "content", "resolution"))
        if ("ratio" in body) == (len(body["content"]) > 1):
            raise self.build_invalid_error("ratio is for a text alone, which needs one")
        if self.refusal:
            code, text = self.refusal
            return _build_answer({}, code, text)
        id_ = self.accept_create(known=body["model"] == "MiniMax-H3")
        return JSONResponse({} if self.fault is Fault.NO_ID else {"task_id": id_})

    async def _handle_hailuo(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, HAILUO, ("model", "prompt"))
        if self.refusal or (body.get("duration") == 10 and body.get("resolution") == "1080P"):
            code, text = self.refusal or (2013, "invalid params, 1080P is limited to 6s")
            return _build_answer({}, code, text)
        id_ = self.accept_create(known=True)
        made = {} if self.fault is Fault.NO_ID else {"task_id": id_}
        return _build_answer(made)

    async def _handle_hailuo_get(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.query_params["task_id"]
        step = self.advance(id_)
        if step is OperationState.MISSING:
            return self.build_refusal(404, "not_found", "Task not found")
        states: dict[OperationState, tuple[str, int, str]] = {
            OperationState.WAITING: ("Processing", 0, "success"),
            OperationState.UNKNOWN_STATUS: ("Preparing", 0, "success"),
            OperationState.MODERATED: ("Fail", 1027, "output is sensitive"),
            OperationState.FAILED: ("Fail", 1000, "unknown error"),
        }
        status, code, text = states.get(step, ("Success", 0, "success"))
        file = {} if step is OperationState.NO_RESULT else {"file_id": f"file-{id_}"}
        answer = {"task_id": id_, "status": status, **(file if status == "Success" else {})}
        return _build_answer(answer, code, text)

    async def _handle_made_file(self, request: Request) -> Response:
        self.check_access(request)
        if not request.query_params["file_id"].startswith("file-"):
            return _build_answer({}, 2013, "no such file")
        url = self.build_result_url(request, "clip.mp4")
        file = {"file_id": request.query_params["file_id"], "download_url": url}
        return _build_answer({"file": file})

    async def _handle_speech(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, SPEECH, ("model", "text", "voice_setting"))
        refusal = self.refusal
        if self.fault is Fault.MODERATION:
            refusal = (1026, "input is sensitive")
        if refusal:
            code, text = refusal
            return _build_answer({}, code, text)
        self.accept_create()
        sound = "" if self.fault is Fault.NO_RESULT else self.files["wav"].hex()
        facts = {"usage_characters": len(body["text"]), "audio_format": "mp3"}
        answer = {"data": {"audio": sound, "status": 2}, "extra_info": facts}
        return _build_answer(answer)

    async def _handle_get(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        step = self.advance(id_)
        if step is OperationState.MISSING:
            return self.build_refusal(404, "not_found", "Task not found")
        return JSONResponse({"task": {"id": id_, **self._build_state(request, step)}})

    def _build_state(self, request: Request, step: OperationState) -> dict[str, Any]:
        states: dict[OperationState, dict[str, Any]] = {
            OperationState.WAITING: {"status": "running"},
            OperationState.UNKNOWN_STATUS: {"status": "preparing"},
            OperationState.CANCELLED: {"status": "cancelled"},
            OperationState.MODERATED: _build_failure(1027, "output is sensitive"),
            OperationState.FAILED: _build_failure(1000, "unknown error"),
            OperationState.NO_RESULT: {"status": "succeeded", "content": {}},
        }
        url = self.build_result_url(request, "clip.mp4")
        done = {"status": "succeeded", "content": {"url": url}, "duration": 5}
        return states.get(step, done)


def _build_answer(fields: dict[str, Any], code: int = 0, text: str = "success") -> Response:
    """An answer with status 200, which says in `base_resp` if it is one."""
    return JSONResponse({**fields, "base_resp": {"status_code": code, "status_msg": text}})


def _build_failure(code: int, text: str) -> dict[str, Any]:
    return {"status": "failed", "error": {"code": code, "message": text}}
