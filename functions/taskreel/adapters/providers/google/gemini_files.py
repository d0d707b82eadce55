"""Input files of Google's Developer API: within a request, or uploaded before it.

Source: google-genai 3.6. A request may have 20 MB in all. An upload is free and removed after two
days; Vertex has none, and takes files within the request alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.file_uploads import FileUploads
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.domain.errors import TemporaryError
from taskreel.ports import Input

#: The files of a request that go in it: less than 20 MB as base64, with room for the text.
MAX_INLINE_BYTES = 14_000_000


class GoogleFiles:
    """Uploads to the Files API."""

    def __init__(self, client: ProviderClient, uploads: FileUploads, base_url: str) -> None:
        self._client = client
        self._uploads = uploads
        url = httpx.URL(base_url)
        self._start_url = str(url.copy_with(path=f"/upload{url.path.rstrip('/')}/files"))

    async def upload_large(
        self, items: Sequence[Input], headers: Mapping[str, str]
    ) -> dict[str, str]:
        """The addresses of uploads by paths of the files; empty where all fit into a request."""
        if sum(item.path.stat().st_size for item in items) <= MAX_INLINE_BYTES:
            return {}
        return {str(item.path): await self._upload(item, headers) for item in items}

    async def _upload(self, item: Input, headers: Mapping[str, str]) -> str:
        content = payloads.read_input(item)
        started = await self._client.send(
            "POST",
            self._start_url,
            json={"file": {"mimeType": item.content_type, "sizeBytes": str(len(content))}},
            headers={
                **headers,
                "X-Goog-Upload-Protocol": "resumable",
                "X-Goog-Upload-Command": "start",
                "X-Goog-Upload-Header-Content-Length": str(len(content)),
                "X-Goog-Upload-Header-Content-Type": item.content_type,
            },
        )
        with self._client.parsing_reply():
            url = started.headers["x-goog-upload-url"]
        answer = await self._uploads.send(
            "POST",
            url,
            content=content,
            headers={"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"},
        )
        with self._client.parsing_reply():
            file = answer.json()["file"]
            if file.get("state") not in {None, "ACTIVE"}:
                raise TemporaryError("google is still reading an input file", provider="google")
            return str(file["uri"])
