"""openrouter.ai as its API reference describes it (2026-11)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers import chat_fake
from providers.fake_provider import Check, FakeProvider

FIELDS: dict[str, Check] = chat_fake.FIELDS | {
    "provider": lambda value: value == {"require_parameters": True},
}
MODELS = {
    *("anthropic/claude-haiku-4.5", "anthropic/claude-sonnet-4.6"),
    *("openai/gpt-5.4-mini", "openai/gpt-5.4"),
}


class FakeOpenRouter(FakeProvider):
    name = "openrouter"
    base_url = "https://openrouter.ai/api/v1"
    key = "sk-or-v1-0123456789abcdefghijklmnop"
    answer = chat_fake.ANSWER
    #: An error that comes with status 200, with its code.
    late_error: int | None = None

    def build_routes(self) -> list[Route]:
        return [Route("/api/v1/chat/completions", self._handle_text, methods=["POST"])]

    def is_authorised(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        del word  # its errors have the status as their code
        status = {422: 400}.get(status, status)
        return JSONResponse({"error": {"code": status, "message": text}}, status_code=status)

    async def _handle_text(self, request: Request) -> Response:
        self.check_access(request)
        body = await self.read_json(request, FIELDS, ("model", "messages"))
        if ("response_format" in body) != ("provider" in body):
            raise self.build_invalid_error("a schema needs a host that applies it")
        self.accept_create(known=body["model"] in MODELS)
        if self.late_error:
            error = {"code": self.late_error, "message": "Provider returned error"}
            return JSONResponse({"error": error})
        usage = {"cost": 0.0012}
        return JSONResponse(chat_fake.build_answer(self.fault, body["model"], self.answer, usage))
