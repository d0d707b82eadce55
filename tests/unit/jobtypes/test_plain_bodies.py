"""The quick check of a body agrees with the walk of its values, which it spares."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskreel.jobtypes.submission import _find_control_characters, _find_unstorable, is_plain

TEXTS = st.one_of(
    st.text(),
    st.sampled_from(["__a__", "", "\x7f", "\ufdd0", "\uffff", "\x08", "a" * 1001, '"', "\\u0000"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXTS, inner)),
    max_leaves=20,  # the walk has no case that a larger body alone reaches; a hundred take seconds
)


@given(
    st.dictionaries(TEXTS, VALUES), st.sampled_from(["ascii", "utf-8"]), st.sampled_from([None, 1])
)
@example({"a" * 1001: 1}, "ascii", None)
@example({'"' * 600 + "a" * 600: 1}, "utf-8", None)
@example({"a": [[[[[[[[[[1]]]]]]]]]]}, "ascii", None)
@example({"a": 2**63}, "ascii", None)
@example({"a": 1e300}, "ascii", None)
@example({"a": "\ud800"}, "ascii", None)
def test_a_plain_body_has_no_value_that_the_walk_refuses(
    body: dict[str, Any], charset: str, indent: int | None
) -> None:
    text = json.dumps(body, ensure_ascii=charset == "ascii", indent=indent)
    raw = text.encode("utf-8", "surrogatepass")
    if is_plain(raw):
        assert not [*_find_unstorable(body), *_find_control_characters(body)]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "a red kite", "options": {"width": 1024, "guidance": 7.5}},
        {"prompt": "Ein Drachen über dem Fluß\n\tam Abend: 日本", "options": {"seed": 4294967295}},
    ],
)
def test_usual_bodies_are_plain(body: dict[str, Any]) -> None:
    assert is_plain(json.dumps(body, ensure_ascii=False).encode())
