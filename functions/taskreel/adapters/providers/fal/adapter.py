"""fal: any model, through its queue. Source: fal-client 1.0.3's captures, fal.ai/docs.

The table's models get our parameters under their own names; any other gets the prompt, the seed and
`providerOptions`. A model that starts from pictures is often another endpoint. The status COMPLETED
is not a success: an error may stand beside it, or be the status of the result. A large file goes by
its address, or into fal's storage where no service can reach ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.error_replies import MODERATION
from taskreel.adapters.providers.file_uploads import FileUploads
from taskreel.adapters.providers.model_body import build_model_body, choose_path
from taskreel.adapters.providers.model_limits import find_row_for
from taskreel.adapters.providers.model_lookup import find_row
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import (
    moderation_error,
    no_output_error,
    operation_failed_error,
)
from taskreel.adapters.providers.provider_webhooks import WebhookTarget, choose_poll_after
from taskreel.adapters.providers.transcripts import read_scribe, save_transcript
from taskreel.ports import Capability, Done, Generation, Input, Pending

QUEUE_URL, REST_URL = "https://queue.fal.run", "https://rest.fal.ai"
POLL_AFTER = timedelta(seconds=3)
MAX_INLINE_BYTES = 5_000_000
#: The fields in which models return their files: a list, or one.
RESULT_FIELDS = ("images", "image", "video", "audio", "audio_file")


class Fal:
    """The fal queue API."""

    name = "fal"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = QUEUE_URL,
        transport: httpx.AsyncBaseTransport | None = None,
        webhook: WebhookTarget | None = None,
    ) -> None:
        # A fake at another address has both APIs there.
        self._rest_url = REST_URL if base_url == QUEUE_URL else base_url.rstrip("/")
        self._uploads = FileUploads(self.name, base_url=base_url, transport=transport)
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("queue.fal.run", "rest.fal.ai"),
            headers={"authorization": f"Key {key}"},
            transport=transport,
        )
        self._webhook = webhook
        self._poll_after = choose_poll_after(webhook, POLL_AFTER)

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        row = find_row_for(self.name, request)
        query = None
        if self._webhook:  # fal takes no idempotency key; here it names the unit in the address
            query = {"fal_webhook": self._webhook.build_url(idempotency_key)}
        files = [await self._link(item) for item in request.inputs]
        body = _build_body(row, request, files)
        reply = await self._client.request_json(
            "POST", f"/{choose_path(row, request)}", creates=row.name, json=body, params=query
        )
        # Its addresses are shorter than the model's path, so they cannot be built here.
        fields = ("request_id", "status_url", "response_url", "cancel_url")
        operation = {field: self._client.require_text(reply, field, row.name) for field in fields}
        return Pending(operation=operation, poll_after=self._poll_after)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the operation's state, and its result when it has ended."""
        status = await self._client.request_json(
            "GET", operation["status_url"], params={"logs": "0"}
        )
        if status.get("status") != "COMPLETED":
            return Pending(operation=operation, poll_after=self._poll_after)
        if status.get("error"):
            raise self._build_error(str(status["error"]), str(status.get("error_type") or ""))
        result = await self._client.request_json("GET", operation["response_url"])
        if request.capability is Capability.TRANSCRIPTION:
            return await self._build_transcript(result, request)
        with self._client.parsing_reply():
            return self._build_result(result, request)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Take the request off the queue, or ask its runner to stop."""
        await self._client.send("PUT", operation["cancel_url"], accepts=(400, 404))

    async def close(self) -> None:
        await self._client.close()

    async def _link(self, item: Input) -> str:
        """The address or the data of a file to start from; uploaded where fal cannot reach it."""
        if not payloads.needs_upload(item, MAX_INLINE_BYTES):
            return payloads.build_data_uri(item, MAX_INLINE_BYTES)
        name, content, kind = payloads.build_form_part(item)
        # Free, and repeated with the next attempt.
        reply = await self._client.request_json(
            "POST",
            f"{self._rest_url}/storage/upload/initiate",
            params={"storage_type": "gcs"},
            json={"file_name": name, "content_type": kind},
        )
        with self._client.parsing_reply():
            upload_url, file_url = str(reply["upload_url"]), str(reply["file_url"])
        await self._uploads.send("PUT", upload_url, content=content, headers={"content-type": kind})
        return file_url

    def _build_result(self, result: Mapping[str, Any], request: Generation) -> Done:
        if request.capability is Capability.TEXT:
            text = str(result.get("output") or "")
            return Done(data=payloads.parse_text_result(self.name, text, request))
        flagged = result.get("has_nsfw_concepts") or ()
        if flagged and all(flagged):  # the pictures come all the same, black
            raise moderation_error(self.name)
        files = [file for field in RESULT_FIELDS for file in _list_files(result.get(field))]
        outputs = tuple(payloads.link_output(file["url"]) for file in files if file.get("url"))
        if not outputs:
            raise no_output_error(self.name)
        return Done(outputs=outputs)

    async def _build_transcript(self, result: Mapping[str, Any], request: Generation) -> Done:
        with self._client.parsing_reply():
            made = read_scribe(result)
        # date.min: the model may have retired while it ran.
        row = find_row(self.name, request.model, request.capability, date.min)
        return await save_transcript(row, request, made)

    def _build_error(self, reason: str, kind: str) -> Exception:
        if kind in MODERATION or "content policy" in reason.lower():
            return moderation_error(self.name)
        return operation_failed_error(self.name, reason, failure=kind)


def _build_body(row: ModelRow, request: Generation, files: Sequence[str]) -> dict[str, Any]:
    params = request.params
    body = build_model_body(row, request, files)
    if request.capability is Capability.TRANSCRIPTION and params.get("language"):
        body["language_code"] = payloads.strip_region(params["language"])
    if files and not row.input_fields:
        body["image_url"] = files[0]
    if "outputFormat" in row.computed and params.get("outputFormat"):
        body["output_format"] = {"jpeg": "jpg"}.get(params["outputFormat"], params["outputFormat"])
    takes_size = request.capability is Capability.IMAGE and "width" in row.options
    if takes_size and not row.ratios:
        size = payloads.fit_size(
            params,
            multiple=row.size_multiple,
            least=64,
            most=4096,
            max_pixels=row.max_pixels or 2**24,
        )
        body |= {"image_size": {"width": size[0], "height": size[1]}} if size else {}
    return body | payloads.get_provider_options(row, params)


def _list_files(value: Any) -> list[dict[str, Any]]:
    files = value if isinstance(value, list) else [value]
    return [file for file in files if isinstance(file, dict)]
