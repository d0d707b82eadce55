"""api.dev.runwayml.com as its OpenAPI describes it (2026-08)."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import Check, FakeProvider, Fault, OperationState, between, one_of

URI: Check = lambda value: (  # noqa: E731 - a row of a table
    isinstance(value, str) and value.startswith(("https://", "data:image/", "runway://"))
)
TURBO = one_of("1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672")
WIDE_TALL = one_of("1280:720", "720:1280")
SEED = between(0, 2**32 - 1)
PROMPT: Check = lambda value: (  # noqa: E731 - a row of a table
    isinstance(value, str) and 1 <= len(value.encode("utf-16-le")) // 2 <= 1000
)


def _are_frames(value: Any) -> bool:
    if isinstance(value, list):
        return all(
            set(item) == {"uri", "position"} and item["position"] in {"first", "last"}
            for item in value
        )
    return isinstance(value, str) and value.startswith(("https://", "data:image/", "runway://"))


def _are_references(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 3
        and all(set(item) <= {"uri", "tag"} for item in value)
    )


GEN4 = {
    "promptText": PROMPT,
    "promptImage": _are_frames,
    "seed": SEED,
    "ratio": TURBO,
    "duration": between(2, 10),
}
VEO = {
    "promptText": PROMPT,
    "promptImage": _are_frames,
    "ratio": WIDE_TALL,
    "duration": one_of(4, 6, 8),
    "audio": bool,
    "negativePrompt": str,
}
#: The ratios of runwayml 5.24's types.
SEEDANCE: dict[str, Check] = {
    "promptText": lambda value: isinstance(value, str) and 1 <= len(value) <= 3500,
    "promptImage": _are_frames,
    "audio": bool,
    "seed": SEED,
    "duration": lambda value: value == "auto" or type(value) is int,
    "ratio": one_of("1470:630", "1280:720", "1112:834", "960:960", "834:1112", "720:1280"),
}
KLING: dict[str, Check] = {
    "promptText": str,
    "promptImage": _are_frames,
    "audio": bool,
    "cfgScale": between(0, 1),
    "duration": lambda value: type(value) is int,
    "ratio": one_of("1280:720", "720:1280", "960:960"),
}
KLING_PRO = KLING | {"ratio": one_of("1920:1080", "1080:1920", "1440:1440")}
PICTURE: dict[str, Check] = {
    "promptText": PROMPT,
    "seed": SEED,
    "ratio": str,
    "referenceImages": _are_references,
}


#: As the types of runwayml 5.24 list them.
PRESETS = frozenset(
    """
    Maya Arjun Serene Bernard Billy Mark Clint Mabel Chad Leslie Eleanor Elias Elliot Grungle
    Brodie Sandra Kirk Kylie Lara Lisa Malachi Marlene Martin Miriam Monster Paula Pip Rusty Ragnar
    Xylar Maggie Jack Katie Noah James Rina Ella Mariah Frank Claudia Niki Vincent Kendrick Myrna
    Tom Wanda Benjamin Kiana Rachel
    """.split()  # noqa: SIM905 - a table reads better than a list of strings
)


def _is_voice(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") == "runway-preset"
        and value.keys() == {"type", "presetId"}
        and value["presetId"] in PRESETS
    )


ELEVEN: dict[str, Check] = {
    "promptText": str,
    "voice": _is_voice,
    "languageCode": lambda value: isinstance(value, str) and len(value) == 2,
    "seed": SEED,
    "speed": between(0.7, 1.2),
    "stability": between(0, 1),
    "similarityBoost": between(0, 1),
    "style": between(0, 1),
}
#: path → model → (fields, required)
PATHS: dict[str, dict[str, tuple[dict[str, Check], tuple[str, ...]]]] = {
    "image_to_video": {
        "gen4_turbo": (GEN4, ("promptImage", "ratio")),
        "gen4.5": (GEN4, ("promptImage", "promptText", "ratio", "duration")),
        "veo3.1": (VEO, ("promptImage",)),
        "veo3.1_fast": (VEO, ("promptImage",)),
        "seedance2": (SEEDANCE, ("promptImage",)),
        "seedance2_fast": (SEEDANCE, ("promptImage",)),
        "kling3.0_standard": (KLING, ("promptImage",)),
        "kling3.0_pro": (KLING_PRO, ("promptImage",)),
    },
    "text_to_video": {
        "gen4.5": (GEN4 | {"ratio": WIDE_TALL}, ("promptText", "ratio", "duration")),
        "veo3.1": (VEO, ("promptText", "ratio", "duration")),
        "veo3.1_fast": (VEO, ("promptText", "ratio", "duration")),
        "seedance2": (SEEDANCE, ("promptText",)),
        "seedance2_fast": (SEEDANCE, ("promptText",)),
        "kling3.0_standard": (KLING, ("ratio",)),
        "kling3.0_pro": (KLING_PRO, ("ratio",)),
    },
    "text_to_image": {
        "gen4_image": (PICTURE, ("promptText", "ratio")),
        "gen4_image_turbo": (PICTURE, ("promptText", "ratio", "referenceImages")),
    },
    "image_upscale": {
        "magnific_precision_upscaler_v2": (
            {"imageUri": URI, "scaleFactor": one_of(2, 4, 8, 16)},
            ("imageUri",),
        )
    },
    "video_to_video": {
        "aleph2": (
            {
                "promptText": PROMPT,
                "seed": SEED,
                "videoUri": lambda value: value.startswith(
                    ("https://", "data:video/", "runway://")
                ),
            },
            ("videoUri",),
        ),
    },
    "sound_effect": {
        "eleven_text_to_sound_v2": (
            {"promptText": str, "duration": between(0.5, 30), "loop": bool},
            ("promptText",),
        ),
    },
    "text_to_speech": {
        "eleven_multilingual_v2": (
            {"promptText": PROMPT, "voice": _is_voice},
            ("promptText", "voice"),
        ),
        "eleven_v3": (ELEVEN, ("promptText", "voice")),
        "eleven_v4": (
            ELEVEN,
            ("promptText", "voice"),
        ),
    },
}
#: The result's file, where it is no clip.
RESULTS = {
    "text_to_image": "out.png",
    "image_upscale": "out.png",
    "text_to_speech": "out.wav",
    "sound_effect": "out.wav",
}


class FakeRunway(FakeProvider):
    name = "runway"
    base_url = "https://api.dev.runwayml.com"
    delivery = "https://dnznrvs05pmza.cloudfront.net"
    key = "key_" + "0f" * 64

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.uploads: dict[str, bytes] = {}
        #: The path of each task's creation.
        self.paths: dict[str, str] = {}
        self.refuses_uploads = False

    def build_routes(self) -> list[Route]:
        return [
            Route("/v1/tasks/{id}", self._handle_task, methods=["GET", "DELETE"]),
            Route("/v1/uploads", self._handle_upload_start, methods=["POST"]),
            Route("/bucket", self._handle_upload, methods=["POST"]),
            Route("/v1/{path}", self._handle_create, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        if status == 402:
            return JSONResponse(
                {"error": "You do not have enough credits to run this task."}, status_code=400
            )
        if status == 422:
            issues = [{"code": word, "path": ["promptText"], "message": text}]
            return JSONResponse(
                {"error": "Validation of body failed", "issues": issues}, status_code=400
            )
        return JSONResponse({"error": text}, status_code=status)

    async def _handle_upload_start(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(
            request, {"filename": str, "type": one_of("ephemeral")}, ("filename", "type")
        )
        key = f"uploads/{len(self.uploads)}-{body['filename']}"
        origin = "https://runway-uploads.s3.amazonaws.com"
        if request.url.hostname == "127.0.0.1":  # a client on this machine
            origin = f"{request.url.scheme}://{request.url.netloc}"
        return JSONResponse(
            {
                "uploadUrl": f"{origin}/bucket",
                "fields": {"key": key, "X-Amz-Signature": "s"},
                "runwayUri": f"runway://{key}",
            }
        )

    async def _handle_upload(self, request: Request) -> Response:
        """A form that ends with the file, as S3 wants it."""
        if "authorization" in request.headers:
            return Response("the key came along", status_code=400)
        if self.refuses_uploads:
            return Response("<Error>Policy expired</Error>", status_code=403)
        async with request.form() as form:
            *fields, (last, file) = form.multi_items()
            if last != "file" or not isinstance(file, UploadFile):
                return Response("POST requires exactly one file upload", status_code=400)
            self.uploads[str(dict(fields)["key"])] = await file.read()
        return Response(status_code=204)

    async def _handle_create(self, request: Request) -> Response:
        self.check_access(request)
        if request.headers.get("x-runway-version") != "2024-11-06":
            raise self.build_invalid_error("X-Runway-Version is required")
        models = PATHS.get(request.path_params["path"], {})
        raw = await request.json()
        fields, required = models.get(raw.get("model"), ({}, ()))
        if fields:
            await self.read_json(request, fields | {"model": str}, ("model", *required))
        id_ = self.accept_create(known=bool(fields))
        self.paths[id_] = request.path_params["path"]
        cost = {"credits": 25}
        return JSONResponse(
            {"estimatedCost": cost}
            if self.fault is Fault.NO_ID
            else {"id": id_, "estimatedCost": cost}
        )

    async def _handle_task(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        if id_ not in self.operations or id_ in self.cancelled:
            return JSONResponse({"error": "An task with that ID was not found."}, status_code=404)
        if request.method == "DELETE":
            self.cancelled.add(id_)
            return Response(status_code=204)
        return JSONResponse(
            {
                "id": id_,
                "createdAt": "2026-11-22T00:00:00Z",
                **self._build_state(request, self.advance(id_)),
            }
        )

    def _build_state(self, request: Request, step: OperationState) -> dict[str, Any]:
        cost = {"cost": {"credits": 25}}
        match step:
            case OperationState.WAITING:
                return {"status": "RUNNING", "progress": 0.4}
            case OperationState.UNKNOWN_STATUS:
                return {"status": "THROTTLED"}
            case OperationState.MODERATED:
                return {
                    "status": "FAILED",
                    "failure": "Unsafe.",
                    "failureCode": "SAFETY.INPUT.TEXT",
                    **cost,
                }
            case OperationState.FAILED:
                return {
                    "status": "FAILED",
                    "failure": "An error occurred.",
                    "failureCode": "INTERNAL.BAD_OUTPUT.CODE01",
                    **cost,
                }
            case OperationState.NO_RESULT:
                return {"status": "SUCCEEDED", "output": [], **cost}
            case _:
                name = RESULTS.get(self.paths[request.path_params["id"]], "clip.mp4")
                return {
                    "status": "SUCCEEDED",
                    "output": [f"{self.build_result_url(request, name)}?_jwt=e.y.z"],
                    **cost,
                }
