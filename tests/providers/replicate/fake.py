"""api.replicate.com as its OpenAPI describes it."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import (
    Check,
    FakeProvider,
    Fault,
    OperationState,
    are_urls,
    between,
    one_of,
)
from providers.standard_webhook_signature import sign_standard_webhook

REAL_ESRGAN = "f121d640bd286e1fdc67f9799164c1d5be36ff74576ee11c803ae5b665dd46aa"


def _is_ratio(value: Any) -> bool:
    return re.fullmatch(r"\d+:\d+", value) is not None


FLUX: dict[str, Check] = {
    "prompt": str,
    "seed": int,
    "aspect_ratio": _is_ratio,
    "output_format": one_of("webp", "jpg", "png"),
}
OPEN_FLUX: dict[str, Check] = FLUX | {
    "num_outputs": between(1, 4),
    "num_inference_steps": between(1, 50),
    "image": str,
}
VEO: dict[str, Check] = {
    "prompt": str,
    "seed": int,
    "image": str,
    "last_frame": str,
    "negative_prompt": str,
    "generate_audio": bool,
    "duration": one_of(4, 6, 8),
    "resolution": one_of("720p", "1080p"),
    "aspect_ratio": one_of("16:9", "9:16"),
}
RAY_FRAMES = {"start_image", "end_image"}
#: The voices of the models' schemas.
MINIMAX_VOICES = frozenset(
    """
    Wise_Woman Friendly_Person Inspirational_girl Deep_Voice_Man Calm_Woman Casual_Guy Lively_Girl
    Patient_Man Young_Knight Determined_Man Lovely_Girl Decent_Boy Imposing_Manner Elegant_Man
    Abbess Sweet_Girl_2 Exuberant_Girl
    """.split()  # noqa: SIM905 - a table reads better than a list of strings
)
ELEVEN_VOICES = frozenset(
    """
    Rachel Drew Clyde Paul Aria Domi Dave Roger Fin Sarah James Jane Juniper Arabella Hope Bradford
    Reginald Gaming Austin Kuon Blondie Priyanka Alexandra Monika Mark Grimblewood
    """.split()  # noqa: SIM905 - a table reads better than a list of strings
)
#: owner/name or version → input fields
MODELS: dict[str, dict[str, Check]] = {
    "black-forest-labs/flux-schnell": OPEN_FLUX | {"num_inference_steps": between(1, 4)},
    "black-forest-labs/flux-dev": OPEN_FLUX | {"guidance": between(0, 10)},
    "black-forest-labs/flux-1.1-pro": FLUX | {"image_prompt": str},
    "black-forest-labs/flux-kontext-pro": FLUX | {"input_image": str},
    "black-forest-labs/flux-2-pro": {
        "prompt": str,
        "seed": int,
        "aspect_ratio": one_of(
            *("16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16"),
            *("match_input_image", "custom"),
        ),
        "resolution": one_of("match_input_image", "0.5 MP", "1 MP", "2 MP", "4 MP"),
        "input_images": are_urls(8),
        "output_format": one_of("webp", "jpg", "png"),
    },
    "bytedance/seedream-4": {
        "prompt": str,
        "size": one_of("1K", "2K", "4K", "custom"),
        "aspect_ratio": one_of("21:9", "16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16"),
        "image_input": are_urls(10),
    },
    "google/veo-3.1": VEO,
    "google/veo-3.1-fast": VEO,
    "bytedance/seedance-1-pro-fast": {
        "prompt": str,
        "seed": int,
        "image": str,
        "duration": between(2, 12, multiple=1),
        "resolution": one_of("480p", "720p", "1080p"),
        "aspect_ratio": one_of("21:9", "16:9", "4:3", "1:1", "3:4", "9:16", "9:21"),
    },
    "luma/ray-3.2": {
        "prompt": str,
        "start_image": str,
        "end_image": str,
        "duration": one_of(5, 10),
        "resolution": one_of("540p", "720p", "1080p"),
        "aspect_ratio": one_of("9:16", "3:4", "1:1", "4:3", "16:9", "21:9"),
        "loop": bool,
        "hdr": bool,
    },
    "minimax/speech-2.6-hd": {
        "text": lambda value: 1 <= len(value) <= 10_000,
        "voice_id": MINIMAX_VOICES,
        "speed": between(0.5, 2),
        "audio_format": one_of("mp3", "wav", "flac", "pcm"),
    },
    "elevenlabs/v3": {
        "prompt": str,
        "voice": ELEVEN_VOICES,
        "language_code": lambda value: isinstance(value, str) and len(value) == 2,
        "speed": between(0.7, 1.2),
        "stability": between(0, 1),
        "similarity_boost": between(0, 1),
        "style": between(0, 1),
    },
    "stability-ai/stable-audio-2.5": {
        "prompt": str,
        "seed": int,
        "duration": between(1, 190, multiple=1),
    },
    "elevenlabs/music": {"prompt": str, "music_length_ms": between(5_000, 300_000, multiple=1)},
    "bria/remove-background": {
        "image": str,
        "image_url": str,
        "preserve_alpha": bool,
        "content_moderation": bool,
    },
    "someone/their-model": {"prompt": str, "seed": int, "cadence": str, "image": str},
    "meta/some-llm": {"prompt": str, "seed": int},
    REAL_ESRGAN: {"image": str, "scale": between(0, 10), "face_enhance": bool},
}
STATUS = {
    OperationState.WAITING: "processing",
    OperationState.UNKNOWN_STATUS: "contemplating",
    OperationState.CANCELLED: "canceled",
    OperationState.FAILED: "failed",
    OperationState.MODERATED: "failed",
}


class FakeReplicate(FakeProvider):
    name = "replicate"
    base_url = "https://api.replicate.com"
    delivery = "https://replicate.delivery"
    key = "r8_0123456789abcdefghijklmnopqrstuvwxyz"
    #: What the models answer; None: the address of a picture.
    answer: Any = None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        #: The model, the version and the input of each prediction.
        self.requests: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytes] = {}

    def build_routes(self) -> list[Route]:
        return [
            Route("/v1/files", self._handle_upload, methods=["POST"]),
            Route("/v1/predictions", self._handle_create, methods=["POST"]),
            Route("/v1/models/{owner}/{name}/predictions", self._handle_create, methods=["POST"]),
            Route("/v1/predictions/{id}", self._handle_poll),
            Route("/v1/predictions/{id}/cancel", self._handle_cancel, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        if self.fault is Fault.RATE_LIMITED_WITHOUT_TIME and status == 429:
            text = "Request was throttled. Your rate limit resets in ~30s."
        return JSONResponse({"title": word, "detail": text, "status": status}, status_code=status)

    async def _handle_upload(self, request: Request) -> Response:
        """A form with the one file `content`, as replicate 1.0.7 sends it."""
        self.check_access(request)
        async with request.form() as form:
            content = form.get("content")
            if set(form) != {"content"} or not isinstance(content, UploadFile):
                raise self.build_invalid_error("content: a file is required")
            data = await content.read()
        id_ = f"file-{len(self.uploads) + 1}"
        self.uploads[id_] = data
        url = self.build_api_url(request, f"/v1/files/{id_}")
        return JSONResponse(
            {
                "id": id_,
                "name": content.filename,
                "content_type": content.content_type,
                "size": len(data),
                "etag": "e",
                "checksums": {},
                "metadata": {},
                "created_at": "2026-11-22T00:00:00Z",
                "expires_at": "2026-11-23T00:00:00Z",
                "urls": {"get": url},
            },
            status_code=201,
        )

    async def _handle_create(self, request: Request) -> Response:
        self.check_access(request)
        community = "owner" not in request.path_params
        outer: dict[str, Check] = {"input": dict, "webhook": str, "webhook_events_filter": list}
        body = await self.read_json(
            request, outer | {"version": str} if community else outer, ("input",)
        )
        model = body["version"] if community else "{owner}/{name}".format(**request.path_params)
        if not re.fullmatch(r"\d+s", request.headers.get("cancel-after", "0s")):
            raise self.build_invalid_error("Cancel-After has a wrong value")
        if model in MODELS:
            self.check_fields(body["input"], MODELS[model])
        given = body["input"]
        if given.get("duration") == 10 and given.keys() & {"hdr", "loop", *RAY_FRAMES}:
            raise self.build_invalid_error("10s is not supported with pictures, hdr or loop")
        id_ = self.accept_create(known=model in MODELS)
        version = model.rpartition(":")[2] if community else "hidden"
        self.requests[id_] = {"model": model, "version": version, "input": body["input"]}
        prediction = self._build_prediction(request, id_, "starting")
        if self.fault is Fault.NO_ID:
            prediction.pop("id")
        return JSONResponse(prediction, status_code=201)

    async def _handle_poll(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        step = self.advance(id_)
        if step is OperationState.MISSING:
            return self.build_refusal(
                404, "Not found", "The requested resource could not be found."
            )
        prediction = self._build_prediction(request, id_, STATUS.get(step, "succeeded"))
        if step is OperationState.READY:
            prediction["output"] = self.answer or [self.build_result_url(request, "out-0.png")]
        if self.fault is Fault.EXPIRED:
            prediction |= {"output": None, "data_removed": True}
        if step in {OperationState.FAILED, OperationState.MODERATED}:
            prediction["error"] = (
                "CUDA out of memory"
                if step is OperationState.FAILED
                else "NSFW content detected. Try again."
            )
        return JSONResponse(prediction)

    async def _handle_cancel(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        if id_ not in self.operations:
            return self.build_refusal(
                404, "Not found", "The requested resource could not be found."
            )
        self.cancelled.add(id_)
        return JSONResponse(self._build_prediction(request, id_, "canceled"))

    def _build_prediction(self, request: Request, id_: str, status: str) -> dict[str, Any]:
        get = self.build_api_url(request, f"/v1/predictions/{id_}")
        urls = {"get": get, "cancel": f"{get}/cancel", "web": f"https://replicate.com/p/{id_}"}
        return {
            "id": id_,
            "status": status,
            "output": None,
            "error": None,
            "data_removed": False,
            "logs": "",
            "created_at": "2026-11-22T00:00:00Z",
            "urls": urls,
            **self.requests[id_],
        }


def sign_webhook(id_: str, secret: str, seconds: int) -> tuple[dict[str, str], bytes]:
    """A webhook as Replicate sends it."""
    body = json.dumps({"id": id_, "status": "succeeded", "output": []}).encode()
    return sign_standard_webhook("msg_1", seconds, body, secret), body
