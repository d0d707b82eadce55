"""A transport for tests whose answers come as streams, as they do from a real server.

`httpx.MockTransport` hands out answers that are read, and decoded, already.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx


class StreamedAnswers(httpx.MockTransport):
    """`httpx.MockTransport`, but the body of each answer is still to be read."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if not response.is_stream_consumed:
            return response
        content = response.content

        class Body(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield content

        return httpx.Response(response.status_code, headers=response.headers, stream=Body())
