"""queue.fal.run as fal-client 1.0.3 uses it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.elevenlabs.fake import SCRIBE
from providers.fake_provider import (
    Check,
    FakeProvider,
    Fault,
    OperationState,
    Refused,
    are_urls,
    between,
    is_url,
    one_of,
)

SIZE: Check = lambda value: (  # noqa: E731 - a row of a table
    set(value) == {"width", "height"} and all(side % 8 == 0 for side in value.values())
)
SIZE_BY_16: Check = lambda value: (  # noqa: E731 - a row of a table
    set(value) == {"width", "height"}
    and all(side % 16 == 0 for side in value.values())
    and value["width"] * value["height"] <= 4_194_304
)
FLUX: dict[str, Check] = {
    "prompt": str,
    "seed": int,
    "image_size": SIZE,
    "num_images": between(1, 4),
    "output_format": one_of("jpeg", "png"),
}
OPEN_FLUX: dict[str, Check] = FLUX | {
    "num_inference_steps": between(1, 50),
    "guidance_scale": between(1, 20),
}
FLUX_2: dict[str, Check] = {
    "prompt": str,
    "seed": int,
    "image_size": SIZE_BY_16,
    "output_format": one_of("jpeg", "png"),
}
NANO_BANANA: dict[str, Check] = {
    "prompt": str,
    "seed": int,
    "num_images": between(1, 4),
    "output_format": one_of("jpeg", "png", "webp"),
    "resolution": one_of("1K", "2K", "4K"),
    "aspect_ratio": one_of(
        *("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")
    ),
}
VEO: dict[str, Check] = {
    "prompt": str,
    "seed": int,
    "negative_prompt": str,
    "generate_audio": bool,
    "aspect_ratio": one_of("16:9", "9:16"),
    "duration": one_of("4s", "6s", "8s"),
    "resolution": one_of("720p", "1080p"),
}
KLING: dict[str, Check] = {
    "prompt": str,
    "negative_prompt": str,
    "generate_audio": bool,
    "duration": one_of(*map(str, range(3, 16))),
}
KLING_TURBO: dict[str, Check] = {
    "prompt": str,
    "negative_prompt": str,
    "duration": one_of("5", "10"),
}
SQUARE_TOO = {"aspect_ratio": one_of("16:9", "9:16", "1:1")}
SEEDANCE: dict[str, Check] = {
    "prompt": str,
    "seed": int,
    "generate_audio": bool,
    "aspect_ratio": one_of("21:9", "16:9", "4:3", "1:1", "3:4", "9:16"),
    "duration": one_of(*map(str, range(4, 13))),
    "resolution": one_of("480p", "720p", "1080p"),
}
HAILUO: dict[str, Check] = {"prompt": str, "duration": one_of("6", "10")}
ELEVEN_V3: dict[str, Check] = {
    "text": str,
    "voice": str,
    "language_code": lambda value: isinstance(value, str) and len(value) == 2,
    "stability": between(0, 1),
}
SYNC: dict[str, Check] = {
    "video_url": is_url,
    "audio_url": is_url,
    "sync_mode": one_of("cut_off", "loop", "bounce", "silence", "remap"),
}


def is_voice_setting(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= {"voice_id", "speed"}
        and isinstance(value["voice_id"], str)
        and 0.5 <= value.get("speed", 1) <= 2
    )


IMAGE_TO_VIDEO = "image-to-video"
KLING_3 = "fal-ai/kling-video/v3"
KLING_2_5 = "fal-ai/kling-video/v2.5-turbo/pro"
SEEDANCE_1_5 = "fal-ai/bytedance/seedance/v1.5/pro"
HAILUO_2_3 = "fal-ai/minimax/hailuo-2.3/standard"
#: endpoint → its fields, by the types of @fal-ai/client 1.10.1
MODELS: dict[str, dict[str, Check]] = {
    "fal-ai/flux/schnell": OPEN_FLUX | {"num_inference_steps": between(1, 12)},
    "fal-ai/flux/dev": OPEN_FLUX,
    "fal-ai/flux-pro/v1.1": FLUX,
    "fal-ai/flux-pro/kontext": {
        "prompt": str,
        "seed": int,
        "aspect_ratio": str,
        "image_url": str,
        "output_format": one_of("jpeg", "png"),
        "guidance_scale": between(1, 20),
    },
    "fal-ai/flux-2-pro": FLUX_2,
    "fal-ai/flux-2-pro/edit": FLUX_2 | {"image_urls": are_urls(9)},
    "fal-ai/nano-banana-2": NANO_BANANA,
    "fal-ai/nano-banana-2/edit": NANO_BANANA | {"image_urls": are_urls(14)},
    "fal-ai/nano-banana-pro": NANO_BANANA,
    "fal-ai/nano-banana-pro/edit": NANO_BANANA | {"image_urls": are_urls(14)},
    "fal-ai/esrgan": {"image_url": str, "scale": between(1, 8), "face": bool},
    "fal-ai/seedvr/upscale/image": {
        "image_url": is_url,
        "upscale_mode": one_of("factor", "target"),
        "upscale_factor": between(1, 10),
        "output_format": one_of("png", "jpg", "webp"),
        "seed": int,
    },
    "fal-ai/clarity-upscaler": {
        "image_url": is_url,
        "upscale_factor": between(1, 4),
        "creativity": between(0, 1),
        "prompt": str,
        "seed": int,
    },
    "fal-ai/veo3.1": VEO,
    f"fal-ai/veo3.1/{IMAGE_TO_VIDEO}": VEO | {"image_url": is_url},
    "fal-ai/veo3.1/fast": VEO,
    f"fal-ai/veo3.1/fast/{IMAGE_TO_VIDEO}": VEO | {"image_url": is_url},
    **{f"{KLING_3}/{tier}/text-to-video": KLING | SQUARE_TOO for tier in ("standard", "pro")},
    **{
        f"{KLING_3}/{tier}/{IMAGE_TO_VIDEO}": KLING
        | {"start_image_url": is_url, "end_image_url": is_url}
        for tier in ("standard", "pro")
    },
    f"{KLING_2_5}/text-to-video": KLING_TURBO | SQUARE_TOO,
    f"{KLING_2_5}/{IMAGE_TO_VIDEO}": KLING_TURBO | {"image_url": is_url, "tail_image_url": is_url},
    f"{SEEDANCE_1_5}/text-to-video": SEEDANCE,
    f"{SEEDANCE_1_5}/{IMAGE_TO_VIDEO}": SEEDANCE | {"image_url": is_url, "end_image_url": is_url},
    f"{HAILUO_2_3}/text-to-video": HAILUO,
    f"{HAILUO_2_3}/{IMAGE_TO_VIDEO}": HAILUO | {"image_url": is_url},
    "fal-ai/elevenlabs/tts/eleven-v3": ELEVEN_V3,
    "fal-ai/elevenlabs/tts/multilingual-v2": ELEVEN_V3
    | {"similarity_boost": between(0, 1), "style": between(0, 1), "speed": between(0.7, 1.2)},
    "fal-ai/minimax/speech-2.8-hd": {
        "prompt": str,
        "voice_setting": is_voice_setting,
        "output_format": one_of("url"),  # "hex" would be no file
    },
    "fal-ai/elevenlabs/music": {
        "prompt": str,
        "music_length_ms": between(3_000, 600_000),
        "force_instrumental": bool,
    },
    "fal-ai/stable-audio-25/text-to-audio": {
        "prompt": str,
        "seconds_total": lambda value: type(value) is int and 1 <= value <= 190,
        "seed": int,
    },
    "fal-ai/elevenlabs/sound-effects/v2": {
        "text": str,
        "loop": bool,
        "duration_seconds": between(0.5, 22),
        "prompt_influence": between(0, 1),
        "output_format": str,
    },
    "fal-ai/elevenlabs/speech-to-text": {
        "audio_url": is_url,
        "language_code": str,
        "diarize": bool,
        "tag_audio_events": bool,
    },
    "luma/agent/ray/v3.2/video-to-video": {
        "prompt": str,
        "video_url": is_url,
        "start_image_url": is_url,
        "resolution": one_of("540p", "720p", "1080p"),
    },
    "fal-ai/sync-lipsync": SYNC,
    "fal-ai/sync-lipsync/v2": SYNC,
    "fal-ai/sync-lipsync/v3": SYNC,
    "creatify/lipsync": {"video_url": is_url, "audio_url": is_url, "loop": bool},
    "fal-ai/feynobg": {"image_url": is_url, "seed": int, "sync_mode": bool},
    "fal-ai/ben/v2/image": {"image_url": is_url, "seed": int},
    "someone/clips": {"prompt": str, "seed": int, "loop": bool, "image_url": str},
    "someone/words": {"prompt": str, "seed": int},
}
#: What fal passes on of ElevenLabs' answer.
SCRIBE_FIELDS = {"text", "language_code", "language_probability", "words"}
#: Parts of endpoints, with the field that their result is in.
RESULT_FIELDS = {
    "-to-video": "video",
    "veo3.1": "video",
    "someone/clips": "video",
    "esrgan": "image",
    "upscale": "image",
    "/tts/": "audio",
    "/speech-": "audio",
    "/music": "audio",
    "-audio": "audio",
    "sound-effects": "audio",
    "lipsync": "video",
    "feynobg": "image",
    "ben/v2": "image",
}


class FakeFal(FakeProvider):
    name = "fal"
    base_url = "https://queue.fal.run"
    delivery = "https://v3.fal.media"
    key = "0b1c2d3e-aaaa-bbbb-cccc-0123456789ab:0123456789abcdef0123456789abcdef"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        #: The endpoint of each request.
        self.endpoints: dict[str, str] = {}
        self.uploads: dict[str, bytes] = {}
        #: Changes what an endpoint answers.
        self.answer: dict[str, Any] | None = None

    def build_routes(self) -> list[Route]:
        requests = "/{owner}/{app}/requests/{id}"
        return [
            Route(f"{requests}/status", self._handle_status),
            Route(f"{requests}/cancel", self._handle_cancel, methods=["PUT"]),
            Route(requests, self._handle_result),
            # rest.fal.ai, and the bucket that it names.
            Route("/storage/upload/initiate", self._handle_upload_start, methods=["POST"]),
            Route("/bucket/{name}", self._handle_upload, methods=["PUT"]),
            Route("/{model:path}", self._handle_create, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Key {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        detail: Any = [{"loc": ["body"], "msg": text, "type": word}] if status == 422 else text
        if status == 402:
            status, detail = 403, "User is locked. Reason: Exhausted balance. Top up your balance."
        return JSONResponse(
            {"detail": detail}, status_code=status, headers={"x-fal-error-type": word}
        )

    async def _handle_upload_start(self, request: Request) -> Response:
        self.check_access(request)
        names: dict[str, Check] = {"file_name": str, "content_type": str}
        body = await self.read_json(request, names, ("file_name", "content_type"))
        name = f"{len(self.uploads)}-{body['file_name']}"
        upload_url = f"https://storage.googleapis.com/bucket/{name}?X-Goog-Signature=s"
        if self.fault is Fault.FOREIGN_ADDRESS:
            upload_url = f"https://10.1.2.3/bucket/{name}"
        return JSONResponse(
            {"upload_url": upload_url, "file_url": f"https://v3.fal.media/files/{name}"}
        )

    async def _handle_upload(self, request: Request) -> Response:
        # fal's own client sends its key along.
        self.uploads[request.path_params["name"]] = await request.body()
        return Response(status_code=200)

    async def _handle_create(self, request: Request) -> Response:
        self.check_access(request)
        model = request.path_params["model"]
        if model in MODELS:
            await self.read_json(request, MODELS[model])
        id_ = self.accept_create(known=model in MODELS)
        self.endpoints[id_] = model
        # As the real queue: the sub-path of the model is not part of the request's addresses.
        base = self.build_api_url(request, f"/{'/'.join(model.split('/')[:2])}/requests/{id_}")
        urls = {
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }
        named = {} if self.fault is Fault.NO_ID else {"request_id": id_}
        return JSONResponse({**named, **urls, "status": "IN_QUEUE", "queue_position": 0})

    async def _handle_status(self, request: Request) -> Response:
        self.check_access(request)
        match self._advance_request(request):
            case OperationState.WAITING:
                body: dict[str, Any] = {"status": "IN_PROGRESS", "logs": None}
            case OperationState.UNKNOWN_STATUS:
                body = {"status": "WARMING_UP"}
            case OperationState.FAILED:
                body = {
                    "status": "COMPLETED",
                    "error": "Runner crashed at 10.9.8.7",
                    "error_type": "runner_error",
                }
            case _:
                body = {"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 1.5}}
        return JSONResponse(body)

    async def _handle_result(self, request: Request) -> Response:
        self.check_access(request)
        match self._advance_request(request):
            case OperationState.MODERATED:
                return self.build_refusal(
                    422, "content_policy_violation", "The content was flagged."
                )
            case OperationState.NO_RESULT:
                return JSONResponse({"images": []})
            case _:
                return JSONResponse(self.answer or self._build_result(request))

    def _build_result(self, request: Request) -> dict[str, Any]:
        endpoint = self.endpoints[request.path_params["id"]]
        if "speech-to-text" in endpoint:
            return {name: value for name, value in SCRIBE.items() if name in SCRIBE_FIELDS}
        if endpoint == "someone/words":
            return {"output": "Once upon a time."}
        field = next((name for part, name in RESULT_FIELDS.items() if part in endpoint), "images")
        suffix = {"video": "mp4", "audio": "wav"}.get(field, "png")
        kind = {"mp4": "video/mp4", "wav": "audio/wav"}.get(suffix, "image/png")
        url = self.build_result_url(request, f"out.{suffix}")
        file = {"url": url, "content_type": kind, "width": 4, "height": 4, "file_size": 70}
        return {"images": [file], "seed": 7} if field == "images" else {field: file}

    async def _handle_cancel(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        if id_ not in self.operations:
            return JSONResponse({"status": "NOT_FOUND"}, status_code=404)
        self.cancelled.add(id_)
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, status_code=202)

    def _advance_request(self, request: Request) -> OperationState:
        step = self.advance(request.path_params["id"])
        if step in {OperationState.MISSING, OperationState.CANCELLED}:
            raise self._build_missing_error()
        return step

    def _build_missing_error(self) -> Exception:
        return Refused(self.build_refusal(404, "not_found", "Request not found"))


def sign_webhook(id_: str, key: Ed25519PrivateKey, seconds: int) -> tuple[dict[str, str], bytes]:
    """A webhook as fal sends it."""
    body = json.dumps(
        {"request_id": id_, "gateway_request_id": id_, "status": "OK", "payload": {}}
    ).encode()
    text = f"{id_}\nuser-1\n{seconds}\n{hashlib.sha256(body).hexdigest()}"
    headers = {
        "X-Fal-Webhook-Request-Id": id_,
        "X-Fal-Webhook-User-Id": "user-1",
        "X-Fal-Webhook-Timestamp": str(seconds),
        "X-Fal-Webhook-Signature": key.sign(text.encode()).hex(),
    }
    return headers, body


def build_jwks(*keys: Ed25519PrivateKey) -> str:
    """The document at rest.fal.ai/.well-known/jwks.json."""
    texts = [
        base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
        for key in keys
    ]
    return json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": text} for text in texts]})
