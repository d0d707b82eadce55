"""Requests from the words of a command line, and changes of a payload."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel_local.cli.job_actions import apply_patch, build_patch
from taskreel_local.cli.job_input import parse_input

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
NO_NULL = st.booleans() | st.integers() | st.text(max_size=3)
PAYLOADS = st.recursive(
    st.dictionaries(st.text(max_size=2), NO_NULL | st.lists(SCALARS, max_size=2), max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=2), NO_NULL | inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["prompt=A red kite"], {"prompt": "A red kite"}),
        (["prompt=a=b"], {"prompt": "a=b"}),
        (
            ["scale=2", "wide=true", "seed=null", "x=1.5"],
            {"scale": 2, "wide": True, "seed": None, "x": 1.5},
        ),
        (['prompt="42"'], {"prompt": "42"}),
        (["a.b.c=1", "a.b.d=2"], {"a": {"b": {"c": 1, "d": 2}}}),
        (["p=a", "p=b", "p=c"], {"p": ["a", "b", "c"]}),
        (["url=@~/cat.png"], {"url": "file:~/cat.png"}),
        (['{"a": {"b": 1}}', "a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["prompt=x", '{"prompt": "y"}'], {"prompt": "y"}),
        ([], {}),
    ],
)
def test_words_are_the_fields_of_a_request(words: list[str], request_: dict[str, Any]) -> None:
    assert parse_input(words) == request_


@given(PAYLOADS, PAYLOADS)
def test_the_patch_of_two_payloads_makes_one_of_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert apply_patch(before, build_patch(before, after)) == after
    assert build_patch(after, after) == {}


def test_the_examples_of_rfc_7396_hold() -> None:
    for before, patch, after in (
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ):
        assert apply_patch(before, patch) == after
