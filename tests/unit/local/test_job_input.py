"""Requests from the words of a command line, and changes of a payload."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel_local.cli.job_change_commands import apply_patch, build_patch, parse_time
from taskreel_local.cli.job_filters import MOMENT
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
        # No JSON has such numbers: they ended in a traceback.
        (["seed=1e999", "x=NaN"], {"seed": "1e999", "x": "NaN"}),
        (["a.b.c=1", "a.b.d=2"], {"a": {"b": {"c": 1, "d": 2}}}),
        (["p=a", "p=b", "p=c"], {"p": ["a", "b", "c"]}),
        (["url=@~/cat.png"], {"url": "file:~/cat.png"}),
        (['{"a": {"b": 1}}', "a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["prompt=x", '{"prompt": "y"}'], {"prompt": "y"}),
        (
            ["s[0].url=@1.png", "s[0].text=a", "s[1].url=@2.png"],
            {"s": [{"url": "file:1.png", "text": "a"}, {"url": "file:2.png"}]},
        ),
        (["a.b[0][0]=1", "a.b[0][1]=2", "a.b[1]=3"], {"a": {"b": [[1, 2], 3]}}),
        (['{"s": [{"a": 1}]}', "s[0].b=2", "s[1]=x"], {"s": [{"a": 1, "b": 2}, "x"]}),
        (["s[0].p=a", "s[0].p=b"], {"s": [{"p": ["a", "b"]}]}),
        ([], {}),
    ],
)
def test_words_are_the_fields_of_a_request(words: list[str], request_: dict[str, Any]) -> None:
    assert parse_input(words) == request_


def test_an_entry_of_a_list_of_the_payload_is_changed_and_the_others_stay() -> None:
    payload = {"scenes": [{"url": "a", "text": "one"}, {"url": "b"}], "title": "The film"}
    patch = parse_input(["scenes[1].url=c", "scenes[2].url=d", "title=x"], payload)
    assert patch == {
        "scenes": [{"url": "a", "text": "one"}, {"url": "c"}, {"url": "d"}],
        "title": "x",
    }
    assert payload["scenes"][1] == {"url": "b"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["s[1].url=a"], "s has 0 entries so far, so the next is s[0]"),
        (["s=1", "s[0]=2"], "s has a value already, so it has no entries"),
        (["s[0]=1", "s.a=2"], "s has a value already, so it has no fields"),
        (["s[x]=1"], "written as in scenes[0].imageUrl"),
        (["s[-1]=1"], "written as in scenes[0].imageUrl"),
        (["s[0=1"], "written as in scenes[0].imageUrl"),
        (["a..b=1"], "written as in"),
    ],
)
def test_a_place_that_there_cannot_be_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        parse_input(words)
    assert message in raised.value.message


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


@pytest.mark.parametrize("text", ["99999999d", "999999999w", "0001-01-01T00:00:00+14:00", "-5h"])
def test_a_time_that_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        MOMENT.convert(text, None, None)
    with pytest.raises(click.UsageError):
        parse_time(text)


def test_a_number_that_json_cannot_have_is_refused() -> None:
    with pytest.raises(click.UsageError, match="1e999 is no number of JSON's"):
        parse_input(['{"options": {"seed": 1e999}}'])
