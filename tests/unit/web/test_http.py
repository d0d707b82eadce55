from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.errors import InvalidError
from taskreel.web.http import parse_idempotency_key, parse_wait_seconds


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ("wait = 2.5", 2.5),
        ('Wait="7"', 7),
        ("respond-async, wait=5", 5),
        ("wait=3; strict", 3),
        ("wait=600", 60),
        ("wait=-1", 0),
        ("await=5", 0),
        ("wait=soon", 0),
        ("respond-async", 0),
    ],
)
def test_a_wait_is_at_most_a_minute(prefer: str, seconds: float) -> None:
    assert parse_wait_seconds(prefer) == seconds


def test_without_a_prefer_header_no_request_waits() -> None:
    assert parse_wait_seconds("") == 0


@pytest.mark.parametrize(
    ("header", "key"),
    [("abc", "abc"), (" abc ", "abc"), ('"abc"', "abc"), (r'"a\"b"', 'a"b'), ("ä b", "ä b")],
)
def test_a_key_is_quoted_or_bare(header: str, key: str) -> None:
    assert parse_idempotency_key(header) == key


def test_no_header_is_no_key() -> None:
    assert parse_idempotency_key(None) is None


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=300))
def test_any_header_is_a_key_or_refused(text: str) -> None:
    try:
        key = parse_idempotency_key(text)
    except InvalidError as error:
        (row,) = error.details["errors"]
        assert row["path"] == "Idempotency-Key"
    else:
        assert key
        assert len(key.encode()) <= 4 * 255
