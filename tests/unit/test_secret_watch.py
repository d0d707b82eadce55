"""The watch over the suite's logs finds each kind of secret, in each part of a line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from secret_watch import FORMS, SecretWatch, find_secrets
from simulation.world import JWT_SECRET, KEY, settings, token
from taskreel.domain.client_webhook import SigningKey
from taskreel.domain.project_key import make_token
from taskreel.domain.webhook_events import Signature

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HMAC, ED25519 = (SigningKey.create(kind, Random(1), NOW).secret for kind in Signature)


@pytest.mark.parametrize("secret", [token("ada"), make_token(Random(1), "film"), HMAC, ED25519])
def test_each_form_of_a_secret_is_found(secret: str) -> None:
    (name,) = find_secrets(f"refused {secret}, in full")
    assert name in FORMS


def test_the_secrets_of_the_tests_are_found(tmp_path: Any) -> None:
    for secret in (KEY, JWT_SECRET, settings(tmp_path).files_secret.get_secret_value()):
        assert find_secrets(f"x{secret}y")
    assert find_secrets("job_01 of ada COMPLETED, traceparent 00-4bf92f3577b34da6-01") == []


@pytest.mark.parametrize(
    "write",
    [
        lambda log: log.warning("the key is %s", KEY),
        lambda log: log.warning("refused", extra={"authorization": f"Bearer {KEY}"}),
        lambda log: log.warning("refused", exc_info=ValueError(KEY)),
    ],
    ids=["text", "field", "exception"],
)
def test_a_line_with_a_secret_is_noted_once(write: Callable[[logging.Logger], None]) -> None:
    watch = SecretWatch()
    logger = logging.getLogger("of this test")
    logger.addHandler(watch)
    logger.propagate = False  # the suite's own watch would fail this test
    write(logger)
    logger.warning("nothing to hide", extra={"job_id": "job_1"})
    (found,) = watch.take()
    assert KEY not in found
    assert watch.take() == []
