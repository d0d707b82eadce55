"""Templates: what a text refers to, what it becomes, and that no text is too much to read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain import template as templates
from taskreel.domain.errors import PermanentError
from taskreel.domain.template import (
    fill_template,
    find_job_references,
    find_references,
    is_reference,
    parse_expression,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:deprecated string literal syntax"
)  # jmespath, of what it is given

CONTEXT: dict[str, Any] = {
    "steps": {
        "story": {"result": {"title": "The Boat", "scenes": [{"n": 1}, {"n": 2}]}, "results": []}
    },
    "payload": {"style": "ink", "words": ["x" * 1000] * 1000, "far": "1e999"},
    "item": {"n": 7},
    "index": 3,
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{steps.story.result.title}}", "The Boat"),
        ("“{{ steps.story.result.title }}” in {{payload.style}}", "“The Boat” in ink"),
        ("{{steps.story.result.scenes[*].n}}", [1, 2]),
        ("{{steps.story.result.scenes[*].{number: n} }}", [{"number": 1}, {"number": 2}]),
        ("{{sum(steps.story.result.scenes[*].n)}}", 3),
        ({"a": ["{{index}}", {"b": "{{item.n}}"}]}, {"a": [3, {"b": 7}]}),
        ("{{steps.story.results[*].x}}", []),
        ("plain {braces}", "plain {braces}"),
        (5, 5),
        (None, None),
    ],
)
def test_a_template_becomes_what_it_refers_to(template: Any, value: Any) -> None:
    assert fill_template(template, CONTEXT) == value


@pytest.mark.parametrize(
    "template", ["{{steps.story.result.nothing}}", "{{item.n.m}}", "{{sum(payload.style)}}"]
)
def test_a_reference_to_nothing_is_named(template: str) -> None:
    with pytest.raises(PermanentError) as raised:
        fill_template(template, CONTEXT)
    assert raised.value.code == "bad_reference"
    assert template.strip("{}") in raised.value.message


def test_only_what_is_meant_is_filled_in() -> None:
    template = {
        "a": "{{jobs.j1.result.t}} and {{steps.x.result}}",
        "b": "{{item}}",
        "c": "{{jobs.j1.result.t}}",
    }
    context = {"jobs": {"j1": {"result": {"t": "T"}}}}
    assert fill_template(template, context, only={"jobs"}) == {
        "a": "T and {{steps.x.result}}",
        "b": "{{item}}",
        "c": "T",
    }
    assert {job for _, job in find_job_references(template)} == {"j1"}


@pytest.mark.parametrize(
    ("expression", "roots"),
    [
        ("steps.story.result.title", {("steps", "story", "result", "title")}),
        ('steps."a b".results[0].x', {("steps", "a b")}),
        ("steps.a.results[*].{n: index, url: artifacts[0].ref}", {("steps", "a")}),
        ("sum(steps.a.results[?n > `1`].n)", {("steps", "a", "results")}),
        ("[item.a, payload.b || index]", {("item", "a"), ("payload", "b"), ("index",)}),
        ("{x: steps}.x", {("steps",)}),
        ("map(&steps.b, item)", {("item",)}),
        ("steps.a | b", {("steps", "a")}),
        ("@", {()}),
        ("[*].a", {()}),
        ("'steps'", set()),
    ],
)
def test_an_expression_says_what_it_takes_from_its_context(
    expression: str, roots: set[tuple[str, ...]]
) -> None:
    assert parse_expression(expression).roots == roots


def test_references_are_found_where_they_stand() -> None:
    template = {
        "a": ["x {{ one }}{{two}}", {"b": "{{three}} }} {{"}],
        "c": "{{}} {{{four}}}",
        "d": 5,
    }
    assert [*find_references(template)] == [
        (("a", 0), "one"),
        (("a", 0), "two"),
        (("a", 1, "b"), "three"),
        (("c",), "}} {{{four"),
    ]


def test_a_reference_alone_may_become_anything() -> None:
    texts = ["{{a}}", " {{a}} ", "{{a}}{{b}}", "{{a}}.", "a", ""]
    assert [text for text in texts if is_reference(text)] == ["{{a}}", " {{a}} "]


class Counted(str):
    """A text that counts the characters that its searches pass over."""

    __slots__ = ()
    passed = 0

    def find(self, wanted: str, start: int = 0) -> int:  # type: ignore[override]
        found = super().find(wanted, start)
        Counted.passed += (len(self) if found < 0 else found) - start + len(wanted)
        return found


@pytest.mark.parametrize("again", ["{", "}", "{{a}}", "{{a", "}}{{", "{{{a}"])
def test_a_text_is_read_in_one_pass(again: str) -> None:
    text = Counted(again * 20_000)
    Counted.passed = 0
    assert sum(1 for _ in templates._find_spans(text)) <= len(text)
    assert Counted.passed <= 3 * len(text)


@given(st.text(alphabet="{}a.'", max_size=60))
def test_any_text_is_read_as_a_search_from_left_to_right_would(text: str) -> None:
    at = 0
    for start, end in templates._find_spans(text):
        assert text.index("{{", at) == start
        assert text.index("}}", start + 3) == end - 2
        at = end
    assert "{{" not in text[at:] or "}}" not in text[text.index("{{", at) + 3 :]


@pytest.mark.parametrize(
    "expression",
    [
        "@" + " | [@, @][]" * 90,
        "@" + " | [@, @]" * 100,
        "to_string(@" + " | [@, @]" * 60 + ")",
        "[" * 100 + "@" + "]" * 100,
        "to_string([" * 60 + "index" + "])" * 60,
        "join(payload.words[0], payload.words[*])",
        "map(&`" + json.dumps([0] * 300) + "`, payload.words[*] | [@, @, @, @] | [])",
        "[payload.words, payload.words]",
    ],
)
def test_a_short_expression_cannot_fill_the_memory(expression: str) -> None:
    with pytest.raises(PermanentError, match="larger than 1 MiB") as raised:
        fill_template(f"{{{{{expression}}}}}", CONTEXT)
    assert raised.value.code == "bad_reference"


def test_the_references_of_a_template_are_summed() -> None:
    once = "{{payload.words[:400]}}"
    assert len(fill_template([once, once], CONTEXT)[1]) == 400
    with pytest.raises(PermanentError, match="larger than 1 MiB"):
        fill_template([once, once, once], CONTEXT)


@pytest.mark.parametrize(
    "expression",
    [
        "contains('abc', `1`)",
        "payload.words[::0]",
        "ceil(to_number(payload.far))",
        "!" * 900 + "index",
        "nothing(index)",
        "join(',')",
        "a" * 1001,
    ],
)
def test_what_an_expression_breaks_is_its_own_fault(expression: str) -> None:
    with pytest.raises(PermanentError, match="cannot be evaluated") as raised:
        fill_template(f"{{{{{expression}}}}}", CONTEXT)
    assert len(raised.value.message) < 400


@given(st.text(alphabet="[]{}()*@&|!.,:`'\"abc01- ", max_size=40))
def test_any_expression_is_filled_in_or_refused(text: str) -> None:
    try:
        fill_template(f"{{{{{text}}}}}", {"a": {"b": [1, {"c": 2}]}, "b": ["c"], "c": "a"})
    except PermanentError as error:
        assert error.code == "bad_reference"  # noqa: PT017 - either outcome is fine
