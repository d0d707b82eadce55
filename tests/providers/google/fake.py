"""Google's Gemini and Veo, by both ways of access, as google-genai 3.4 uses them."""

from __future__ import annotations

import base64
import io
import wave
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.fake_provider import Check, FakeProvider, Fault, OperationState, between, one_of

#: Four of them by Nano Banana 2.1 alone.
RATIOS = one_of("21:9", "16:9", "3:2", "4:3", "5:4", "1:1", "4:5", "3:4", "2:3", "9:16")
WIDE_RATIOS = one_of("8:1", "4:1", "1:4", "1:8")
CONTENT: dict[str, Check] = {
    "contents": list,
    "systemInstruction": dict,
    "generationConfig": dict,
    "safetySettings": list,
}
CONFIG: dict[str, Check] = {
    "seed": between(0, 2**31 - 1),
    "responseModalities": list,
    "imageConfig": dict,
    "responseMimeType": one_of("application/json"),
    "responseSchema": dict,
    "temperature": between(0, 2),
    "maxOutputTokens": int,
    "speechConfig": dict,
}
IMAGE_CONFIG: dict[str, Check] = {"aspectRatio": RATIOS, "imageSize": one_of("1K", "2K", "4K")}
INSTANCE: dict[str, Check] = {
    "prompt": str,
    "image": dict,
    "lastFrame": dict,
    "referenceImages": list,
    "video": dict,
}
PARAMETERS: dict[str, Check] = {
    "sampleCount": int,
    "durationSeconds": one_of(4, 6, 8),
    "aspectRatio": one_of("16:9", "9:16"),
    "resolution": one_of("720p", "1080p", "4k"),
    "generateAudio": bool,
    "seed": between(0, 2**32 - 1),
    "negativePrompt": str,
    "personGeneration": str,
}
SPEAKERS = {"gemini-3.8-flash-tts", "gemini-3.8-flash-lite-tts"}
#: `gemini-3.1-flash-image` was shut down on 2026-10-29.
MODELS = {
    "gemini-nano-banana-2.1",
    "gemini-3-pro-image",
    "gemini-3.8-flash",
    "gemini-3.7-flash",
    "gemini-3.5-flash",
    "gemini-3.5-flash-lite",
    *SPEAKERS,
    "veo-3.1-generate-001",
    "veo-3.1-fast-generate-001",
    "veo-3.1-lite-generate-001",
}
#: By the types of google-genai 3.6: model → the type of its output.
INTERACTIVE = {"gemini-omni-1.2-flash": "video", "lyria-3.5": "audio"}
INTERACTION: dict[str, Check] = {
    "model": str,
    "input": list,
    "background": bool,
    "store": bool,
    "response_format": dict,
    "generation_config": dict,
}
VIDEO_FORMAT: dict[str, Check] = {
    "type": one_of("video"),
    "aspect_ratio": one_of("16:9", "9:16"),
    "duration": one_of(*(f"{seconds}s" for seconds in range(3, 16))),
    "resolution": one_of("360p", "720p", "1080p", "4k"),
}
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}
VERTEX = "/v1beta1/projects/p1/locations/us-central1"


class FakeGoogle(FakeProvider):
    name = "google"
    base_url = "https://generativelanguage.googleapis.com/v1beta"
    vertex_url = f"https://us-central1-aiplatform.googleapis.com{VERTEX}"
    key = "AIzaSy0123456789abcdefghijklmnop"
    answer: str = '{"title": "The lamp"}'
    finish: str = "STOP"
    more_usage: dict[str, int] = {}  # noqa: RUF012 - a test sets its own

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        #: The type of output of each interaction.
        self.interactions: dict[str, str] = {}
        self.uploads: list[bytes] = []

    def build_routes(self) -> list[Route]:
        return [
            Route("/v1beta/models/{model}:{verb}", self._handle_call, methods=["POST"]),
            # The default of google-genai 3.6.
            Route("/v1/models/{model}:{verb}", self._handle_call, methods=["POST"]),
            *(
                Route(f"/upload/{version}/files", self._handle_upload, methods=["POST"])
                for version in ("v1", "v1beta")
            ),
            *(
                route
                for parent in ("/v1", "/v1beta", VERTEX)
                for route in self._build_interaction_routes(f"{parent}/interactions")
            ),
            Route(
                f"{VERTEX}/publishers/google/models/{{model}}:{{verb}}",
                self._handle_call,
                methods=["POST"],
            ),
        ]

    def _build_interaction_routes(self, path: str) -> list[Route]:
        return [
            Route(path, self._handle_interaction, methods=["POST"]),
            Route(f"{path}/{{id}}", self._handle_interaction_state),
            Route(f"{path}/{{id}}/cancel", self._handle_cancel, methods=["POST"]),
        ]

    def is_authorised(self, request: Request) -> bool:
        headers = request.headers
        if "/projects/" in request.url.path:
            return (
                headers.get("authorization") == f"Bearer {self.key}"
                and "x-goog-api-key" not in headers
            )
        return headers.get("x-goog-api-key") == self.key and "authorization" not in headers

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        if status == 401 and "/projects/" not in self.calls[-1].path:  # the Developer API's way
            status, text = 400, "API key not valid. Please pass a valid API key."
        status = {422: 400}.get(status, status)
        error = {
            "code": status,
            "message": text,
            "status": STATUS.get(status, word.upper()),
            "details": [],
        }
        return JSONResponse(
            [{"error": error}] if status == 429 else {"error": error}, status_code=status
        )

    async def _handle_call(self, request: Request) -> Response:
        self.check_access(request)
        match request.path_params["verb"]:
            case "generateContent":
                return await self._handle_content(request)
            case "predictLongRunning":
                return await self._handle_video(request)
            case "fetchPredictOperation":
                body = await self.read_json(request, {"operationName": str}, ("operationName",))
                return self._build_operation(body["operationName"])
            case _:
                return self.build_refusal(404, "not_found", "no such verb")

    async def _handle_content(self, request: Request) -> Response:
        body = await self.read_json(request, CONTENT, ("contents",))
        config = body.get("generationConfig", {})
        self.check_fields(config, CONFIG)
        wide = {"aspectRatio": RATIOS | WIDE_RATIOS}
        takes_wide = request.path_params["model"] == "gemini-nano-banana-2.1"
        image = IMAGE_CONFIG | (wide if takes_wide else {})
        self.check_fields(config.get("imageConfig", {}), image)
        if "additionalProperties" in str(config.get("responseSchema")):
            raise self.build_invalid_error(
                'Unknown name "additionalProperties" at generation_config.response_schema'
            )
        self.accept_create(known=request.path_params["model"] in MODELS)
        if self.fault is Fault.MODERATION:
            return JSONResponse({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})
        modalities = config.get("responseModalities", ())
        speaks = request.path_params["model"] in SPEAKERS
        if speaks != ("AUDIO" in modalities) or speaks != ("speechConfig" in config):
            raise self.build_invalid_error("The model does not support the response modalities.")
        if speaks:
            parts = self._build_speech_parts(config["speechConfig"])
        else:
            pictures = "IMAGE" in modalities
            parts = self._build_picture_parts() if pictures else [{"text": self.answer}]
        parts = [] if self.fault is Fault.NO_RESULT else parts
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": self.finish}
        usage = {"promptTokenCount": 100, "candidatesTokenCount": 200, **self.more_usage}
        return JSONResponse({"candidates": [candidate], "usageMetadata": usage})

    def _build_speech_parts(self, config: dict[str, Any]) -> list[dict[str, Any]]:
        # Google takes names in both spellings, and its client sends these in snake case.
        config = config.get("voiceConfig") or config["voice_config"]
        config = config.get("prebuiltVoiceConfig") or config["prebuilt_voice_config"]
        voice = config.get("voiceName") or config.get("voice_name")
        if not isinstance(voice, str) or not voice:
            raise self.build_invalid_error("voiceName is required")
        with wave.open(io.BytesIO(self.files["wav"])) as file:
            rate, samples = file.getframerate(), file.readframes(file.getnframes())
        data = base64.b64encode(samples).decode()
        return [{"inlineData": {"mimeType": f"audio/L16;codec=pcm;rate={rate}", "data": data}}]

    async def _handle_upload(self, request: Request) -> Response:
        """Both steps of a resumable upload, as google-genai 3.6 makes them."""
        headers = request.headers
        if headers.get("x-goog-upload-command") == "start":
            self.check_access(request)
            if headers.get("x-goog-upload-protocol") != "resumable":
                raise self.build_invalid_error("the upload must be resumable")
            size = int(headers["x-goog-upload-header-content-length"])
            url = f"{request.url.scheme}://{request.url.netloc}{request.url.path}"
            query = f"upload_id=u&upload_protocol=resumable&size={size}"
            return JSONResponse({}, headers={"x-goog-upload-url": f"{url}?{query}"})
        content = await request.body()
        if (
            headers.get("x-goog-upload-command") != "upload, finalize"
            or headers.get("x-goog-upload-offset") != "0"
            or len(content) != int(request.query_params["size"])
        ):
            raise self.build_invalid_error("the upload is not complete")
        self.uploads.append(content)
        name = f"files/f{len(self.uploads)}"
        file = {
            "name": name,
            "uri": f"https://generativelanguage.googleapis.com/v1beta/{name}",
            "mimeType": "image/png",
            "state": "ACTIVE",
        }
        return JSONResponse({"file": file}, headers={"x-goog-upload-status": "final"})

    async def _handle_interaction(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, INTERACTION, ("model", "input"))
        kind = INTERACTIVE.get(body["model"])
        if kind == "video":
            self.check_fields(body.get("response_format", {}), VIDEO_FORMAT, ("type",))
            tasks = one_of("text_to_video", "image_to_video")
            config = body.get("generation_config", {}).get("video_config", {})
            self.check_fields(config, {"task": tasks})
        elif "response_format" in body:
            raise self.build_invalid_error("response_format is not supported by the model")
        # A list of contents, or of steps with contents.
        contents = [one for step in body["input"] for one in step.get("content", [step])]
        for content in contents:
            fields: dict[str, Check] = {"type": str, "mime_type": str}
            self.check_fields(content, fields | dict.fromkeys(("text", "data", "uri"), str))
        if body.get("background") and not body.get("store"):
            raise self.build_invalid_error("background requires store")
        id_ = self.accept_create(known=kind is not None)
        self.interactions[id_] = kind or ""
        named = {} if self.fault is Fault.NO_ID else {"id": id_}
        return JSONResponse({**named, "model": body["model"], "status": "in_progress"})

    async def _handle_interaction_state(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        status, steps = "in_progress", []
        match self.advance(id_):
            case OperationState.MISSING:
                return self.build_refusal(404, "not_found", "Interaction not found")
            case OperationState.WAITING:
                pass
            case OperationState.UNKNOWN_STATUS:
                status = "simmering"
            case OperationState.FAILED:
                return self._build_failure(id_, "Internal error.")
            case OperationState.MODERATED:
                return self._build_failure(id_, "Blocked by the safety filters.")
            case OperationState.CANCELLED:
                status = "cancelled"
            case OperationState.NO_RESULT:
                status = "completed"
            case OperationState.READY:
                status, steps = "completed", self._build_steps(self.interactions[id_])
        return JSONResponse({"id": id_, "status": status, "steps": steps})

    def _build_steps(self, kind: str) -> list[dict[str, Any]]:
        suffix, mime = {"video": ("mp4", "video/mp4"), "audio": ("wav", "audio/mpeg")}[kind]
        data = base64.b64encode(self.files[suffix]).decode()
        words = [{"type": "text", "text": "Here it is."}]
        return [
            {"type": "thought", "summary": words},
            {"type": "user_input", "content": words},
            {
                "type": "model_output",
                "content": [*words, {"type": kind, "mime_type": mime, "data": data}],
            },
        ]

    def _build_failure(self, id_: str, text: str) -> Response:
        error = {"code": "internal", "message": text}
        return JSONResponse({"id": id_, "status": "failed", "errors": [error], "steps": []})

    async def _handle_cancel(self, request: Request) -> Response:
        self.check_access(request)
        id_ = request.path_params["id"]
        if id_ not in self.operations:
            return self.build_refusal(404, "not_found", "Interaction not found")
        self.cancelled.add(id_)
        return JSONResponse({"id": id_, "status": "cancelled"})

    def _build_picture_parts(self) -> list[dict[str, Any]]:
        content = base64.b64encode(self.files["png"]).decode()
        return [{"text": "Here it is."}, {"inlineData": {"mimeType": "image/png", "data": content}}]

    async def _handle_video(self, request: Request) -> Response:
        body = await self.read_json(
            request, {"instances": list, "parameters": dict}, ("instances",)
        )
        self.check_fields(body["instances"][0], INSTANCE)
        self.check_fields(body.get("parameters", {}), PARAMETERS)
        model = request.path_params["model"]
        # The Developer API no longer has Veo.
        id_ = self.accept_create(known=model in MODELS and "/projects/" in request.url.path)
        prefix = f"{VERTEX[9:]}/publishers/google/"
        return JSONResponse(
            {}
            if self.fault is Fault.NO_ID
            else {"name": f"{prefix}models/{model}/operations/{id_}"}
        )

    def _build_operation(self, name: str) -> Response:
        match self.advance(name.rpartition("/")[2]):
            case OperationState.MISSING:
                return self.build_refusal(404, "not_found", "Operation not found")
            case OperationState.WAITING:
                return JSONResponse({"name": name})
            case OperationState.UNKNOWN_STATUS:
                return JSONResponse({"name": name, "metadata": {"state": "SIMMERING"}})
            case OperationState.FAILED:
                return JSONResponse(
                    {
                        "name": name,
                        "done": True,
                        "error": {"code": 13, "message": "Internal error."},
                    }
                )
            case OperationState.MODERATED:
                response: dict[str, Any] = {
                    "raiMediaFilteredCount": 1,
                    "raiMediaFilteredReasons": ["…"],
                }
            case OperationState.NO_RESULT:
                response = {}
            case _:
                response = self._build_videos()
        return JSONResponse({"name": name, "done": True, "response": response})

    def _build_videos(self) -> dict[str, Any]:
        content = base64.b64encode(self.files["mp4"]).decode()
        return {"videos": [{"bytesBase64Encoded": content, "mimeType": "video/mp4"}]}
