"""Headers that keep browsers from guessing, framing, running or storing the API's answers."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NOSNIFF = (b"x-content-type-options", b"nosniff")
#: Answers are data: nothing in them is loaded, run or framed.
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
#: The documentation page runs its own scripts, from its own origin.
_PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; frame-ancestors 'none'"
)
_PAGES = "/api/docs"


class SecurityHeaders:
    """ASGI middleware: adds the headers, where the application has not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_page = scope["path"].startswith(_PAGES)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _add_headers(message["headers"], is_page=is_page)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add_headers(headers: list[tuple[bytes, bytes]], *, is_page: bool) -> list[tuple[bytes, bytes]]:
    added = [_NOSNIFF, (b"content-security-policy", _PAGE_POLICY if is_page else _DATA_POLICY)]
    if not is_page:
        added.append((b"cache-control", b"no-store"))
    present = {name for name, _ in headers}
    return [*headers, *(header for header in added if header[0] not in present)]
