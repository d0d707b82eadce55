"""MiniMax: clips of H3 (Hailuo 3) by version 2 of its API, of Hailuo 2.3 and speech by version 1.

Source: the requests of the AI SDK's package for MiniMax, platform.minimax.io/docs on `t2a_v2`, and
public clients of `/v1/video_generation`, whose clips are files that are asked for apart. Speech
comes in the answer, every clip is polled. Input files go inline: the first frame, and the last one
where there are two; a clip between frames has their shape. Version 1 answers errors with status 200
and a `base_resp`; should version 2 do so too, a create without an id is read in that way. MiniMax
takes no idempotency key; no way to stop a clip is documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.model_body import build_model_body
from taskreel.adapters.providers.model_limits import find_row_for
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import (
    KEY_REFUSED,
    cancelled_error,
    moderation_error,
    no_credit_error,
    no_output_error,
    operation_failed_error,
    rejected_error,
    sanitise_text,
)
from taskreel.domain.errors import (
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    TemporaryError,
)
from taskreel.ports import Capability, Done, Generation, Pending

POLL_AFTER = timedelta(seconds=10)
#: The models of version 1.
HAILUO = frozenset({"MiniMax-Hailuo-2.3"})
RATE_LIMIT_WAIT = timedelta(seconds=60)
#: The codes of `base_resp` and of a task's error (platform.minimax.io/docs, "Error Codes").
TIMED_OUT, NO_CREDIT = "1001", "1008"
RATE_LIMITED = frozenset({"1002", "1039", "1041", "2045", "2056"})
BAD_KEY, MODERATED = frozenset({"1004", "2049"}), frozenset({"1026", "1027"})
FAULTY = frozenset({"1000", "1024", "1033"})
#: Refusals that the same request would meet again.
REJECTED = frozenset({"1042", "1043", "1044", "2013", "20132", "2037", "2039", "2042", "2048"})


class MiniMax:
    """The MiniMax API."""

    name = "minimax"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.minimax.io",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("api.minimax.io",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Make speech, or begin a clip."""
        del idempotency_key  # MiniMax takes none
        row = find_row_for(self.name, request)
        if request.capability is Capability.SPEECH:
            return await self._make_speech(row, request)
        is_hailuo = row.path in HAILUO
        body = _build_hailuo_body(row, request) if is_hailuo else _build_body(row, request)
        path = "/v1/video_generation" if is_hailuo else "/v2/video_generation"
        reply = await self._client.request_json("POST", path, creates=row.path, json=body)
        with self._client.parsing_reply(row.path):
            if not reply.get("task_id"):
                self._check_refusal(reply, row.path)
        id_ = self._client.require_text(reply, "task_id", row.path)
        version = {"version": 1} if is_hailuo else {}
        return Pending(operation={"id": id_, **version}, poll_after=POLL_AFTER)

    async def _make_speech(self, row: ModelRow, request: Generation) -> Done:
        body = {"model": row.path, **build_model_body(row, request, ())}
        body |= payloads.get_provider_options(row, request.params)
        reply = await self._client.request_json("POST", "/v1/t2a_v2", creates=row.path, json=body)
        with self._client.parsing_reply(row.path):
            self._check_refusal(reply, row.path)
            content = bytes.fromhex((reply.get("data") or {}).get("audio") or "")
            characters = (reply.get("extra_info") or {}).get("usage_characters")
            cost = payloads.parse_cost(characters, 1000 / row.usd) if row.usd else None
        if not content:
            raise no_output_error(self.name)
        output = await payloads.save_output(request, content)
        return Done(outputs=(output,), cost_usd=cost)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        del request  # the operation has all that is needed
        if operation.get("version") == 1:
            return await self._poll_hailuo(operation)
        reply = await self._client.request_json(
            "GET", f"/v2/query/video_generation/{operation['id']}"
        )
        with self._client.parsing_reply():
            task = reply["task"]
            match task.get("status"):
                case "succeeded":
                    url = (task.get("content") or {}).get("url")
                    if not url:
                        raise no_output_error(self.name)
                    return Done(outputs=(payloads.link_output(url),))
                case "failed" | "expired" as status:
                    error = task.get("error") or {}
                    code = str(error.get("code") or status)
                    reason = error.get("message") or status
                    if code in MODERATED or "sensitive" in str(reason).lower():
                        raise moderation_error(self.name, failure=code)
                    raise operation_failed_error(self.name, reason, failure=code)
                case "cancelled":
                    raise cancelled_error(self.name, "the clip")
                case _:
                    return Pending(operation=operation, poll_after=POLL_AFTER)

    async def _poll_hailuo(self, operation: Mapping[str, Any]) -> Done | Pending:
        """Read the state of a clip of version 1, and the address of its file when it is made."""
        reply = await self._client.request_json(
            "GET", "/v1/query/video_generation", params={"task_id": operation["id"]}
        )
        with self._client.parsing_reply():
            base = reply.get("base_resp") or {}
            code, reason = base.get("status_code"), base.get("status_msg")
            status = reply.get("status")
            if status == "Success":
                return await self._fetch_address(reply.get("file_id"))
            if status == "Fail" and str(code) in MODERATED:
                raise moderation_error(self.name, failure=str(code))
            if status == "Fail":
                raise operation_failed_error(self.name, reason, failure=str(code or ""))
            self._check_refusal(reply)
        return Pending(operation=operation, poll_after=POLL_AFTER)

    async def _fetch_address(self, file_id: Any) -> Done:
        if not file_id:
            raise no_output_error(self.name)
        reply = await self._client.request_json(
            "GET", "/v1/files/retrieve", params={"file_id": str(file_id)}
        )
        with self._client.parsing_reply():
            self._check_refusal(reply)
            return Done(outputs=(payloads.link_output(reply["file"]["download_url"]),))

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Do nothing: a clip runs on without being read."""

    async def close(self) -> None:
        await self._client.close()

    def _check_refusal(self, reply: Mapping[str, Any], creates: str | None = None) -> None:
        """Raise the error of a reply with status 200 whose `base_resp` is one."""
        base = reply.get("base_resp") or {}
        if base.get("status_code"):
            raise self._build_error(base["status_code"], base.get("status_msg"), creates)

    def _build_error(self, code: Any, reason: Any, creates: str | None) -> Exception:
        code = str(code)
        if code in MODERATED:
            return moderation_error(self.name, failure=code)
        if code in RATE_LIMITED:
            return RateLimitedError(
                "minimax reports that it is called too often",
                code="rate_limited",
                retry_after=RATE_LIMIT_WAIT,
                provider=self.name,
            )
        if code == NO_CREDIT or code in BAD_KEY or code in REJECTED:
            return self._build_permanent_error(code, reason)
        if code == TIMED_OUT:
            # As after a 504, the clip may be in the making: it must not be bought twice.
            return self._client.build_unclear_error(creates, "timed out")
        if code in FAULTY:
            return ProviderDownError(
                f"minimax answered with the server error {code}", provider=self.name, failure=code
            )
        # A definite refusal without a task, so nothing was bought; another try may succeed.
        text = sanitise_text(str(reason or "no reason given"))
        return TemporaryError(
            f"minimax cannot take the request now: {text}", provider=self.name, failure=code
        )

    def _build_permanent_error(self, code: str, reason: Any) -> PermanentError:
        if code == NO_CREDIT:
            return no_credit_error(self.name)
        if code in BAD_KEY:
            return PermanentError(f"minimax {KEY_REFUSED}", code="provider_auth")
        return rejected_error(self.name, reason, failure=code)


def _build_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    fields = build_model_body(row, request, ())
    ratio = fields.pop("aspect_ratio", None)
    content: list[dict[str, Any]] = [
        {"type": "text", "text": str(request.params.get("prompt") or "")}
    ]
    for role, item in zip(("first_frame", "last_frame"), request.inputs, strict=False):
        url = payloads.build_data_uri(item, payloads.MAX_INPUT_BYTES)
        content.append({"type": "image_url", "image_url": {"url": url}, "role": role})
    body = {"model": row.path, "content": content, "duration": row.durations[0], **fields}
    if not request.inputs:  # a text alone needs one
        body["ratio"] = ratio or "16:9"
    return body | payloads.get_provider_options(row, request.params)


def _build_hailuo_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    files = [payloads.build_data_uri(item, payloads.MAX_INPUT_BYTES) for item in request.inputs]
    body: dict[str, Any] = {"model": row.path, "duration": row.durations[0]}
    body |= build_model_body(row, request, files)
    return body | payloads.get_provider_options(row, request.params)
