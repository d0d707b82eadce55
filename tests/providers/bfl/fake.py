"""api.bfl.ai as its OpenAPI describes it (2026-05)."""

from __future__ import annotations

import hashlib
import hmac
import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import Check, FakeProvider, Fault, OperationState, between, one_of

COMMON: dict[str, Check] = {
    "prompt": str,
    "seed": int,
    "safety_tolerance": between(0, 6),
    "output_format": one_of("jpeg", "png", "webp"),
    "webhook_url": str,
    "webhook_secret": str,
}
RATIO: dict[str, Check] = {"aspect_ratio": lambda value: isinstance(value, str) and ":" in value}
SIZE: dict[str, Check] = {
    "width": between(64, 4096, multiple=16),
    "height": between(64, 4096, multiple=16),
}
SIZE_11: dict[str, Check] = {
    "width": between(256, 1440, multiple=32),
    "height": between(256, 1440, multiple=32),
}
INPUTS = ("input_image", *(f"input_image_{n}" for n in range(2, 9)))


def _build_input_fields(count: int) -> dict[str, Check]:
    return dict.fromkeys(INPUTS[:count], str)


UPSAMPLING: dict[str, Check] = {"prompt_upsampling": bool}
PATHS: dict[str, dict[str, Check]] = {
    "flux-pro-1.1": COMMON | SIZE_11 | UPSAMPLING | {"image_prompt": str},
    "flux-pro-1.1-ultra": COMMON
    | RATIO
    | {"raw": bool, "image_prompt": str, "image_prompt_strength": float},
    "flux-kontext-pro": COMMON | RATIO | UPSAMPLING | _build_input_fields(4),
    "flux-kontext-max": COMMON | RATIO | UPSAMPLING | _build_input_fields(4),
    "flux-2-pro": COMMON | SIZE | _build_input_fields(8),
    "flux-2-max": COMMON | SIZE | _build_input_fields(8),
    "flux-2-flex": COMMON
    | SIZE
    | UPSAMPLING
    | _build_input_fields(8)
    | {"guidance": between(1.5, 10), "steps": between(1, 50)},
    "flux-2-klein-4b": COMMON | SIZE | _build_input_fields(4),
    "flux-2-klein-9b": COMMON | SIZE | _build_input_fields(4),
}
STATUS = {
    OperationState.MISSING: "Task not found",
    OperationState.WAITING: "Pending",
    OperationState.UNKNOWN_STATUS: "Reasoning",
    OperationState.MODERATED: "Content Moderated",
    OperationState.FAILED: "Error",
    OperationState.READY: "Ready",
    OperationState.NO_RESULT: "Ready",
}


class FakeBfl(FakeProvider):
    name = "bfl"
    base_url = "https://api.bfl.ai"
    delivery = "https://delivery-eu1.bfl.ai"

    def build_routes(self) -> list[Route]:
        return [
            Route("/v1/get_result", self._handle_poll),
            Route("/v1/{model}", self._handle_create, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("x-key") == self.key

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        if status == 422:
            return JSONResponse(
                {"detail": [{"loc": ["body"], "msg": text, "type": word}]}, status_code=422
            )
        return JSONResponse({"detail": text}, status_code=403 if status == 401 else status)

    async def _handle_create(self, request: Request) -> Response:
        self.check_access(request)
        fields = PATHS.get(request.path_params["model"])
        if fields is not None:
            body = await self.read_json(request, fields)
        id_ = self.accept_create(known=fields is not None)
        if self.fault is Fault.NO_ID:
            return JSONResponse({"cost": 4.0})
        if "webhook_url" in body:
            return JSONResponse(
                {"id": id_, "status": "Pending", "webhook_url": body["webhook_url"], "cost": 4.0}
            )
        polling_url = self.build_api_url(request, f"/v1/get_result?id={id_}").replace(
            "//api.bfl.ai", "//api.eu1.bfl.ai"
        )
        return JSONResponse({"id": id_, "polling_url": polling_url, "cost": 4.0, "output_mp": 1.0})

    async def _handle_poll(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.query_params["id"]
        step = self.advance(id_)
        result = (
            {"sample": self.build_result_url(request, "sample.png"), "seed": 7}
            if step is OperationState.READY
            else None
        )
        details = (
            {"reason": "inference failed on 10.1.2.3"} if step is OperationState.FAILED else None
        )
        progress = 0.5 if step is OperationState.WAITING else None
        body = {
            "id": id_,
            "status": STATUS[step],
            "result": result,
            "progress": progress,
            "details": details,
        }
        return JSONResponse(body, status_code=404 if step is OperationState.MISSING else 200)


def sign_webhook(id_: str, secret: str) -> tuple[dict[str, str], bytes]:
    """A webhook as BFL sends it."""
    body = json.dumps(
        {"id": id_, "status": "Ready", "result": {"sample": "https://delivery-eu1.bfl.ai/x.png"}}
    ).encode()
    return {
        "X-BFL-Signature": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    }, body
