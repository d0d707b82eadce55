"""One kept connection to a server under measurement: no client library's own time in the figures."""

from __future__ import annotations

import http.client
import json
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from taskreel_local.bench.processes import BenchError


class Connection:
    """`with Connection(url, token) as http:`."""

    def __init__(self, url: str, token: str = "") -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer; BenchError when it is not a 2xx."""
        text = None if body is None else json.dumps(body)
        headers = self._headers | ({"Content-Type": "application/json"} if text else {})
        self._http.request(method, path, body=text, headers=headers)
        response = self._http.getresponse()
        answer = response.read()
        if not 200 <= response.status < 300:
            raise BenchError(f"{method} {path} answered {response.status}: {answer[:300].decode(errors='replace')}")
        return json.loads(answer)

    def milliseconds(self, path: str) -> float:
        """How long one GET took."""
        began = time.perf_counter()
        self.call("GET", path)
        return (time.perf_counter() - began) * 1000


def answers(url: str, path: str) -> bool:
    """Whether the server gives 200 at `path` now."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
