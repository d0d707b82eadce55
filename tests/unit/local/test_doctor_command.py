"""`taskreel doctor` says what the API's health says, also where that is unhealthy."""

from __future__ import annotations

from typing import Any, cast

from taskreel.client import ApiError
from taskreel_local.cli.api_command import Session
from taskreel_local.cli.doctor_command import _check_health


class UnhealthySession:
    """A session whose API answers every call with 503 and one body."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body

    def call(self, _method: str, _path: str) -> Any:
        raise ApiError(503, self.body)


def test_the_reasons_of_an_unhealthy_api_are_shown() -> None:
    body = {"status": "unhealthy", "reasons": ["store: ENCRYPTION_KEY is not set"]}
    check = _check_health(cast("Session", UnhealthySession(body)))
    assert not check.ok
    assert check.found == "unhealthy: store: ENCRYPTION_KEY is not set"
