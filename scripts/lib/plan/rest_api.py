"""Google's REST APIs for which gcloud has no command. The access token is in $TOKEN."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any


class RefusedError(Exception):
    """Google's refusal of a request: the HTTP status, and its message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code


def call_api(
    method: str, url: str, project: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """Send one request; return None if the resource does not exist.

    Any other refusal ends the program with Google's message.
    """
    try:
        return send_request(method, url, project, body)
    except RefusedError as refused:
        sys.exit(str(refused))


def send_request(
    method: str, url: str, project: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """Send one request; return None if the resource does not exist. Raises RefusedError."""
    request = urllib.request.Request(  # noqa: S310 - the URL is Google's or a test's
        url,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {os.environ['TOKEN']}",
            "Content-Type": "application/json",
            # Without it a person's calls count for gcloud's own project, where this API is off.
            "X-Goog-User-Project": project,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        message = json.loads(error.read() or b"{}").get("error", {}).get("message", error.reason)
        raise RefusedError(error.code, message) from None
    except urllib.error.URLError as error:
        sys.exit(f"{url} cannot be reached: {error.reason}")
