"""The watch over the logs of the whole suite: no line of any test may hold a secret.

A line is searched for the secrets of the tests themselves, and for whatever has the form of one: a
JWT, an API key of a project, a key that signs webhooks.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable

#: The secrets of the tests' services, as `simulation.world` gives them.
SECRETS = (
    "the-internal-key-of-these-tests",
    "the-jwt-secret-of-these-tests-is-long",
    "the-files-secret",
)
#: The names of other secrets in what a test is told, and their forms.
FORMS = {
    "a JWT": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}"),
    "an API key of a project": re.compile(r"\btk_[\w.-]{1,128}_[a-z2-7]{52}\b"),
    "a key that signs webhooks": re.compile(r"\bwhs(?:ec|k)_[A-Za-z0-9+/]{24,}"),
}
_PLAIN_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime"}


def find_own_fields(record: logging.LogRecord) -> dict[str, object]:
    """The fields of a line beside those that each line has."""
    return {name: value for name, value in vars(record).items() if name not in _PLAIN_FIELDS}


def find_secrets(text: str, secrets: Iterable[str] = SECRETS) -> list[str]:
    """The names of the secrets that a text holds."""
    known = ["a secret of the tests" for secret in secrets if secret in text]
    return [*known, *(name for name, form in FORMS.items() if form.search(text))]


class SecretWatch(logging.Handler):
    """Notes each line that holds a secret, until `take` asks for them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Search a line with its fields and its traceback."""
        text = f"{record.getMessage()} {find_own_fields(record)}"
        if record.exc_info and record.exc_info[1] is not None:
            text += "".join(traceback.format_exception(record.exc_info[1]))
        for name in find_secrets(text):
            self._found.append(f"{name} is in a line of {record.name}: {record.msg}")

    def take(self) -> list[str]:
        """What was found since the last call."""
        found, self._found = self._found, []
        return found
