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

from providers.fake_provider import (
    Check,
    FakeProvider,
    Fault,
    OperationState,
    Refused,
    between,
    one_of,
)

SIZE: Check = lambda value: (  # noqa: E731 - a row of a table
    set(value) == {"width", "height"} and all(side % 8 == 0 for side in value.values())
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
    "fal-ai/esrgan": {"image_url": str, "scale": between(1, 8), "face": bool},
    "someone/clips": {"prompt": str, "seed": int, "loop": bool, "image_url": str},
    "someone/words": {"prompt": str, "seed": int},
}


class FakeFal(FakeProvider):
    name = "fal"
    base_url = "https://queue.fal.run"
    delivery = "https://v3.fal.media"
    key = "0b1c2d3e-aaaa-bbbb-cccc-0123456789ab:0123456789abcdef0123456789abcdef"

    def build_routes(self) -> list[Route]:
        requests = "/{owner}/{app}/requests/{id}"
        return [
            Route(f"{requests}/status", self._handle_status),
            Route(f"{requests}/cancel", self._handle_cancel, methods=["PUT"]),
            Route(requests, self._handle_result),
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

    async def _handle_create(self, request: Request) -> Response:
        self.check_access(request)
        model = request.path_params["model"]
        if model in MODELS:
            await self.read_json(request, MODELS[model])
        id_ = self.accept_create(known=model in MODELS)
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
                url = self.build_result_url(request, "out.png")
                picture = {"url": url, "width": 4, "height": 4, "content_type": "image/png"}
                model = "/".join([request.path_params["owner"], request.path_params["app"]])
                return JSONResponse(
                    _SHAPES.get(model, lambda item: {"images": [item], "seed": 7})(picture)
                )

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


_SHAPES: dict[str, Any] = {
    "fal-ai/esrgan": lambda item: {"image": item},
    "someone/clips": lambda item: {"video": {"url": item["url"].replace("png", "mp4")}},
    "someone/words": lambda _item: {"output": "Once upon a time."},
}


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
