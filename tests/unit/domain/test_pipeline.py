"""Pipelines as values: what is refused whole, what a step needs, what a template becomes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from taskreel.domain.errors import PermanentError
from taskreel.domain.pipeline import Pipeline, Step, list_items
from taskreel.domain.step_run import StepRun, StepState

CONTEXT: dict[str, Any] = {
    "steps": {
        "story": {"result": {"title": "The Boat", "scenes": [{"n": 1}, {"n": 2}]}, "results": []}
    },
    "payload": {"style": "ink"},
    "item": {"n": 7},
    "index": 3,
}


def pipeline(**after: str) -> Pipeline:
    """Each step, and those it comes after."""
    return Pipeline(
        steps={name: Step(type="x", after=tuple(before.split())) for name, before in after.items()}
    )


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"), st.frozensets(st.sampled_from("abcdefgh")), min_size=1
    )
)
def test_the_order_puts_every_step_behind_what_it_needs_or_names_the_cycle(
    needs: dict[str, frozenset[str]],
) -> None:
    steps = {
        name: {"type": "x", "after": [*(before & needs.keys())]} for name, before in needs.items()
    }
    try:
        made = Pipeline.model_validate({"steps": steps})
    except ValidationError as error:
        cycle = str(error).split("cycle: ")[1].split(" [")[0].split(" → ")
        assert cycle[0] == cycle[-1]
        assert all(one in steps[other]["after"] for one, other in itertools.pairwise(cycle))
        return
    order = made.order()
    assert sorted(order) == sorted(steps)
    for name, step in made.steps.items():
        assert all(order.index(need) < order.index(name) for need in step.needs)


def test_what_follows_a_step_is_all_that_needs_it_however_far_down() -> None:
    assert pipeline(a="", b="a", c="b", d="a", e="").with_dependants("b") == {"b", "c"}
    assert pipeline(a="", b="a", c="b", d="a", e="").with_dependants("a") == {"a", "b", "c", "d"}


def test_the_last_steps_are_those_that_no_step_needs() -> None:
    assert set(pipeline(a="", b="a", c="a").final_steps()) == {"b", "c"}


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ({"a": {"type": "x", "after": ["b"]}}, "there is no step 'b'"),
        ({"a": {"type": "x", "payload": {"p": "{{steps.b.result}}"}}}, "there is no step 'b'"),
        ({"a b": {"type": "x"}}, "a name has letters"),
        (
            {"a": {"type": "x", "payload": {"p": "{{" + "!" * 600 + "payload.x}}"}}},
            "nested too deeply",
        ),
        ({"a": {"type": "x", "payload": {"p": "{{" + "a" * 1001 + "}}"}}}, "1,001 characters"),
        (
            {"a": {"type": "x", "payload": {"p": ["{{index}}"] * 501}, "forEach": [1]}},
            "501 references",
        ),
        (
            {"a": {"type": "x", "payload": {"p": ["{{" + "a" * 999 + "}}"] * 51}}},
            "of 50,949 characters",
        ),
        (
            {"a": {"type": "x", "payload": {"p": '{{steps."\\ud800".result}}'}}},
            "is not an expression",
        ),
        (
            {"a": {"type": "x", "payload": {"p": "{{item}}"}}},
            "for a step with forEach: without it there is no item",
        ),
        ({"a": {"type": "x", "payload": {"p": "{{index}}"}}}, "without it there is no index"),
        ({"a": {"type": "x", "forEach": "{{item.parts}}"}}, "item is defined by forEach itself"),
        (
            {"a": {"type": "x", "payload": {"p": "{{nobody.x}}"}}},
            "names nobody: there are steps, payload",
        ),
        ({"a": {"type": "x", "payload": {"p": "{{@}}"}}}, "names everything"),
        ({"a": {"type": "x", "payload": {"p": "{{steps.*.result}}"}}}, "must name one step"),
        (
            {"b": {"type": "x"}, "a": {"type": "x", "payload": {"p": "{{steps.b.output}}"}}},
            "names no part of a step",
        ),
        ({"a": {"type": "x", "forEach": "hello"}}, "must be a list"),
        ({"a": {"type": "x", "forEach": "{{payload.a}} and {{payload.b}}"}}, "must be a list"),
        ({"a": {"type": "x", "forEach": {"word": "hello"}}}, "word must be a list"),
        ({"a": {"type": "x", "forEach": {}}}, "at least one list"),
        ({"a": {"type": "x", "forEach": {"n": [1], "m": [1, 2]}}}, "same length: n has 1, m has 2"),
        ({"a": {"type": "x", "forEach": [0] * 1001}}, "would make 1,001 jobs; at most 1,000"),
        ({"a": {"type": "x", "forEach": {"n": [0] * 11}}}, "would make 11 jobs; at most 10"),
        ({"a": {"type": "x", "payload": {"p": "{{steps.}}"}}}, "is not an expression"),
        ({"a": {"type": "x", "payload": {"p": "{{steps.a.result}}"}}}, "cycle: a → a"),
    ],
)
def test_a_pipeline_is_refused_whole_with_the_reason(steps: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Pipeline.model_validate({"steps": steps})


def test_what_is_wrong_is_named_where_it_stands() -> None:
    steps = {
        "a": {
            "type": "x",
            "after": ["b"],
            "payload": {"p": ["{{steps.c.result}}"]},
            "forEach": "{{payload..}}",
        }
    }
    with pytest.raises(ValidationError) as raised:
        Pipeline.model_validate({"steps": steps})
    found = {error["loc"] for error in raised.value.errors()}
    assert found == {
        ("steps", "a", "after", 0),
        ("steps", "a", "payload", "p", 0),
        ("steps", "a", "forEach"),
    }


def test_a_step_that_is_referred_to_comes_before() -> None:
    step = Step(
        type="x",
        payload={"a": ["{{steps.one.result}}"]},
        for_each='{{steps."two".results}}',
        after=("three",),
    )
    assert step.needs == {"one", "two", "three"}


def test_an_inner_pipeline_retains_its_references_and_takes_its_input_from_outside() -> None:
    payload = {
        "steps": {"b": {"type": "x", "payload": {"p": "{{steps.c.result}}"}}},
        "input": "{{steps.story.result.title}}",
    }
    step = Step(type="pipeline", payload=payload)
    assert step.needs == {"story"}
    assert step.fill_payload(CONTEXT) == {**payload, "input": "The Boat"}


def test_a_fan_out_walks_one_list_or_several_item_by_item() -> None:
    def items(for_each: Any) -> list[dict[str, Any]]:
        return list_items(Step(type="x", for_each=for_each), CONTEXT)

    assert items(None) == [{}]
    assert items(["a", "b"]) == [{"item": "a", "index": 0}, {"item": "b", "index": 1}]
    assert [row["item"] for row in items("{{steps.story.result.scenes}}")] == [{"n": 1}, {"n": 2}]
    together = items({"scene": "{{steps.story.result.scenes}}", "word": ["x", "y"]})
    assert together[1]["item"] == {"scene": {"n": 2}, "word": "y"}


@pytest.mark.parametrize("for_each", ["{{payload.style}}", {"a": [1], "b": [1, 2]}])
def test_a_fan_out_of_no_list_or_of_unlike_ones_fails(for_each: Any) -> None:
    with pytest.raises(PermanentError) as raised:
        list_items(Step(type="x", for_each=for_each), CONTEXT)
    assert raised.value.code == "bad_fan_out"


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_step_is_done_between_nothing_and_all(width: int, ended: int) -> None:
    run = StepRun(
        type="t", place=0, state=StepState.RUNNING, width=max(width, ended), ended=min(width, ended)
    )
    assert 0 <= run.fraction <= 1
    assert StepRun(type="t", place=0, state=StepState.DONE).fraction == 1
    assert StepRun(type="t", place=0).fraction == 0
