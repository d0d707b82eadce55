"""A reused HTTP connection to a contender, without the cost of a client library."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from taskreel_local.bench.process_tree import BenchmarkError, NoAnswerError


class Connection:
    """A connection with a token: `with Connection(url, token) as http:`."""

    def __init__(self, url: str, token: str = "") -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Return the JSON response.

        Raises BenchmarkError unless it is 2xx; of that NoAnswerError, where another try may help.
        """
        text = None if body is None else json.dumps(body)
        try:
            status, answer = self._exchange(method, path, text, headers or {})
        except (OSError, http.client.HTTPException) as error:
            # A late answer must not be read as that of the next request.
            self._http.close()
            raise NoAnswerError(f"{method} {path}: no response ({error!r})") from None
        if not 200 <= status < 300:
            kind = NoAnswerError if status == HTTPStatus.SERVICE_UNAVAILABLE else BenchmarkError
            raise kind(
                f"{method} {path} answered {status}: {answer[:300].decode(errors='replace')}"
            )
        return json.loads(answer)

    def _exchange(
        self, method: str, path: str, text: str | None, more: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Send one request; repeat a GET on a new connection if the server closed this one.

        Node.js closes idle connections after five seconds.
        """
        headers = {**self._headers, **more}
        if text:
            headers["Content-Type"] = "application/json"
        for last in (method != "GET", True):
            try:
                self._http.request(method, path, body=text, headers=headers)
                response = self._http.getresponse()
                return response.status, response.read()
            except ConnectionError:
                self._http.close()
                if last:
                    raise
        raise AssertionError  # unreachable: the last try returns or raises


def responds_ok(url: str, path: str) -> bool:
    """Return True if the server responds 200 at `path` now."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
