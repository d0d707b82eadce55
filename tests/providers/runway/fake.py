"""api.dev.runwayml.com as its SDK's types describe it (runwayml 5.24)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import FakeProvider, Fault, OperationState, one_of
from providers.runway.sdk_types import explain_mistake, load_models

#: What the types leave open: the seconds of a clip, by Runway's API reference …
SECONDS: dict[str, tuple[int, int]] = {
    "gen4.5": (2, 10),
    "gen4_turbo": (2, 10),
    "gemini_omni_flash": (3, 10),
    "gemini_omni_flash_1.1": (3, 10),
    "seedance2": (4, 15),
    "seedance2_fast": (4, 15),
    "seedance2_mini": (4, 15),
    "seedance2_5": (4, 30),
    "wan3": (2, 30),
    "wan3_prime": (2, 30),
    "happyhorse_1_0": (3, 15),
    "hailuo3": (5, 15),
    "h3_max": (5, 15),
    "grok_imagine_1_5": (1, 15),
    "kling3.0_standard": (3, 15),
    "kling3.0_pro": (3, 15),
    "kling3.0_4k": (3, 15),
    "eleven_text_to_sound_v2": (0, 30),
}
#: … the UTF-16 units of a prompt, where they are not many thousands …
PROMPT_UNITS = {"happyhorse_1_0": 2500, "seedance2": 3500, "seedream5_pro": 4000}
SHORT_PROMPTS = frozenset(
    {
        *("gen4.5", "gen4_turbo", "veo3.1", "veo3.1_fast", "gen4_image", "gen4_image_turbo"),
        *("aleph2", "eleven_multilingual_v2"),
    }
)
#: … and the number of pictures to start from.
PICTURES = {
    "gen4_image": 3,
    "gen4_image_turbo": 3,
    "gemini_2.5_flash": 3,
    "grok_imagine_image_2": 3,
    "bria_fibo_1_5": 1,
    "bria_fibo_edit_1_5": 4,
    "ideogram_4_0": 1,
    "ideogram_4_5": 5,
    "muse_image": 10,
    "gpt_image_2": 16,
    "gpt_image_2_5_flare": 16,
    "gpt_image_2_5_sunburst": 16,
    "gemini_image3.1_flash": 14,
    "gemini_image3.1_flash_lite": 14,
    "gemini_image3_pro": 14,
    "nano_banana_2.1": 14,
}
#: Fields with the address or the data of a file.
URIS = frozenset({"promptImage", "imageUri", "videoUri", "promptVideo", "uri"})
#: Of a picture these take the shape from it, at a size by this word.
AUTO_RATIOS = frozenset({"wan3", "wan3_prime", "grok_imagine_1_5_lite", "kling_4"})


def list_mistakes(path: str, body: dict[str, Any]) -> Iterator[str]:
    """The reasons for which Runway refuses a request of a known model.

    The types of runwayml say most; the rest is in the texts beside them.
    """
    model = str(body["model"])
    if mistake := explain_mistake(load_models(path)[model], body):
        yield mistake
        return
    yield from _list_wrong_numbers(model, body)
    if path == "image_to_video":
        yield from _list_wrong_frames(model, body)
    if path == "video_to_video":
        yield from _list_wrong_edits(body)
    for uri in _find_uris(body):
        if not uri.startswith(_URI_STARTS):
            yield f"{uri[:20]} is no address of a file"


def _list_wrong_numbers(model: str, body: dict[str, Any]) -> Iterator[str]:
    least, most = SECONDS.get(model, (1, 60))
    if body.get("duration", "auto") != "auto" and not least <= body["duration"] <= most:
        yield f"duration must be {least} to {most}"
    units = 1000 if model in SHORT_PROMPTS else PROMPT_UNITS.get(model, 32_000)
    if not 1 <= len(body.get("promptText", "x").encode("utf-16-le")) // 2 <= units:
        yield f"promptText must have 1 to {units} characters"
    if not 0 <= body.get("seed", 0) < 2**32:
        yield "seed is too large"
    if model == "gen4_image_turbo" and not body.get("referenceImages"):
        yield "referenceImages is required"
    if len(body.get("referenceImages") or ()) > PICTURES.get(model, 10):
        yield "referenceImages has too many items"


def _list_wrong_frames(model: str, body: dict[str, Any]) -> Iterator[str]:
    frames = body["promptImage"]
    positions = [one.get("position") for one in frames] if isinstance(frames, list) else ["first"]
    if positions not in (["first"], ["first", "last"]):
        yield "promptImage must be a first frame, and may have a last one"
    if model in AUTO_RATIOS and not str(body.get("ratio")).startswith("auto_"):
        yield "ratio must be auto: the clip has the shape of its first frame"


def _list_wrong_edits(body: dict[str, Any]) -> Iterator[str]:
    if body.get("mode") == "edit" and body["model"] == "seedance2_5":
        if "ratio" in body or body.get("duration") != "auto" or not body.get("promptText"):
            yield 'mode "edit" needs promptText and duration "auto", and takes no ratio'
    elif "mode" not in body and body["model"] in {"seedance2_5", "gemini_omni_flash_1.1"}:
        yield "the video would be a mere reference"


_URI_STARTS = ("https://", "data:image/", "data:video/", "runway://")


def _find_uris(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for inner, one in value.items():
            yield from _find_uris(one, inner)
    elif isinstance(value, list):
        for one in value:
            yield from _find_uris(one, name)
    elif name in URIS:
        yield value


#: The paths, and the file of each one's result.
RESULTS = {
    "text_to_video": "clip.mp4",
    "image_to_video": "clip.mp4",
    "video_to_video": "clip.mp4",
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
        #: The final charge of a task in credits, whether it succeeds or not.
        self.billed = 25

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
        path = request.path_params["path"]
        body = await request.json()
        known = path in RESULTS and body.get("model") in load_models(path)
        for mistake in list_mistakes(path, body) if known else ():
            raise self.build_invalid_error(mistake)
        id_ = self.accept_create(known=known)
        self.paths[id_] = path
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
        cost = {"cost": {"credits": self.billed}}
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
                name = RESULTS[self.paths[request.path_params["id"]]]
                return {
                    "status": "SUCCEEDED",
                    "output": [f"{self.build_result_url(request, name)}?_jwt=e.y.z"],
                    **cost,
                }
