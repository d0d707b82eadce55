"""Pipelines: steps in order, fan-outs whose width is known only when a step has run, and their templates. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from pydantic import Field, model_validator

from taskreel.domain.errors import PermanentError
from taskreel.domain.value import Value

MOST_CHILDREN = 1000
#: The job type whose payload holds steps itself.
PIPELINE = "pipeline"

_REFERENCE = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)
_STEP = re.compile(r"\bsteps\.(?:\"([^\"]+)\"|([A-Za-z_][A-Za-z0-9_]*))")
_JOB = re.compile(r"\bjobs\.([A-Za-z0-9_]+)")
_PAYLOAD = re.compile(r"\bpayload\b")
_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"

OnFailure = Literal["fail", "ignore", "continue"]


class Step(Value):
    """One step: a job of `type`, or with `forEach` one for each element of a list.

    `payload` may hold `{{…}}` (JMESPath over `steps`, `payload`, `item`, `index`); a step that is referred to comes
    before. `forEach` is a list, a reference to one, or `{name: list, …}` walked together, so that `item.name` is each.
    `onFailure`: `fail` ends the pipeline, `ignore` goes on without what failed once the step has ended, `continue`
    does so as soon as anything has failed.
    """

    type: str
    payload: dict[str, Any] = Field(default_factory=dict)
    after: tuple[str, ...] = ()
    for_each: str | list[Any] | dict[str, Any] | None = None
    #: The widest a fan-out of unknown width may be; what is held at the start depends on it.
    max_items: int = Field(default=10, ge=1, le=MOST_CHILDREN)
    on_failure: OnFailure = "fail"
    #: Its results are part of the pipeline's, under its name, though other steps use them too.
    keep: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """The steps before this one: those named, and those referred to."""
        return frozenset(self.after) | _referred(self.template) | _referred(self.for_each)

    @property
    def reads_payload(self) -> bool:
        """Whether it refers to the pipeline's own payload."""
        return any(_PAYLOAD.search(found) for found in _expressions([self.template, self.for_each]))

    @property
    def template(self) -> dict[str, Any]:
        """What of the payload is filled in here: the steps of a pipeline within have references of their own."""
        inner = self.type == PIPELINE
        return {name: value for name, value in self.payload.items() if not (inner and name == "steps")}

    def filled(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The payload of one of its jobs."""
        return {**self.payload, **resolve(self.template, context)}


class Pipeline(Value):
    """Steps by name. Refused whole when one depends on a step that is not there, or on itself."""

    steps: dict[str, Step] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _sound(self) -> Pipeline:
        for name, step in self.steps.items():
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"step {name!r}: a name has letters, digits and _, and starts with no digit")
            missing = sorted(step.needs - self.steps.keys())
            if missing:
                raise ValueError(f"step {name!r} needs {', '.join(missing)}, which is not there")
            _check_references(name, step)
        try:
            self.order()
        except CycleError as error:
            raise ValueError(f"the steps form a cycle: {' → '.join(error.args[1])}") from None
        return self

    def order(self) -> list[str]:
        """The steps so that each comes after what it needs."""
        return list(TopologicalSorter({name: step.needs for name, step in self.steps.items()}).static_order())

    def following(self, first: str) -> frozenset[str]:
        """`first` and every step that needs it, however far down."""
        found = {first}
        for name in self.order():
            if self.steps[name].needs & found:
                found.add(name)
        return frozenset(found)

    def last(self) -> list[str]:
        """The steps that no other needs: their results are the pipeline's."""
        needed = frozenset().union(*(step.needs for step in self.steps.values()))
        return [name for name in self.order() if name not in needed]


class StepState(StrEnum):
    """Where a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class StepRun(Value):
    """How far a step is. `width` and `cost` are known when it starts; `spent` is the credits of what succeeded.

    `adopted` counts the jobs that an earlier round, or the pipeline that this one replays, had done already.
    """

    state: StepState = StepState.WAITING
    width: int | None = None
    adopted: int = 0
    ended: int = 0
    failed: int = 0
    cost: int = 0
    spent: int = 0
    #: What its jobs' providers took in US dollars; None where nothing was bought.
    cost_usd: float | None = None
    cost_estimated: bool = False
    #: What of the pipeline's price cap its jobs have taken, or may take while they run.
    usd: float = 0
    #: Who serves its jobs, each name once.
    served_by: str | None = None
    #: The first of its jobs that failed.
    failed_job: str | None = None

    @property
    def fraction(self) -> float:
        """How much of the step is done."""
        if self.state is StepState.DONE:
            return 1.0
        return self.ended / self.width if self.width else 0.0


def items_of(step: Step, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each of the step's jobs sees as its own: `item` and `index`. PermanentError for a fan-out of no list."""
    if step.for_each is None:
        return [{}]
    given = resolve(step.for_each, context)
    if isinstance(given, dict):
        lists = {name: _list(value, name) for name, value in given.items()}
        if len({len(value) for value in lists.values()}) != 1:
            widths = ", ".join(f"{name} has {len(value)}" for name, value in lists.items())
            raise PermanentError(f"forEach walks lists of the same length together: {widths}.", code="bad_fan_out")
        given = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return [{"item": item, "index": index} for index, item in enumerate(_list(given, "forEach"))]


def resolve(template: Any, context: Mapping[str, Any], *, only: str = "") -> Any:
    """The template with its references replaced: alone in a string a value of any type, among words its text.

    With `only`, a reference that does not speak of that member of the context stays as it is.
    """
    if isinstance(template, str):
        return _resolve_text(template, context, only)
    if isinstance(template, Mapping):
        return {name: resolve(value, context, only=only) for name, value in template.items()}
    if isinstance(template, Sequence):
        return [resolve(value, context, only=only) for value in template]
    return template


def job_references(template: Any) -> frozenset[str]:
    """The jobs that a payload speaks of, as `{{jobs.<jobId>.…}}`."""
    return frozenset(found for expression in _expressions(template) for found in _JOB.findall(expression))


def _resolve_text(text: str, context: Mapping[str, Any], only: str) -> Any:
    def meant(expression: str) -> bool:
        return re.search(rf"\b{only}\.", expression) is not None if only else True

    whole = _REFERENCE.fullmatch(text.strip())
    if whole and "{{" not in whole[1]:
        return _value(whole[1], context) if meant(whole[1]) else text
    return _REFERENCE.sub(lambda found: str(_value(found[1], context)) if meant(found[1]) else found[0], text)


def _value(expression: str, context: Mapping[str, Any]) -> Any:
    try:
        value = _compiled(expression.strip()).search(context)
    except JMESPathError as error:
        raise PermanentError(f"{{{{{expression}}}}} cannot be read: {error}", code="bad_reference") from None
    if value is None:
        raise PermanentError(
            f"{{{{{expression}}}}} names nothing: the step before has no such result.", code="bad_reference"
        )
    return value


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> ParsedResult:
    return jmespath.compile(expression)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise PermanentError(f"{name} must be a list, not {type(value).__name__}.", code="bad_fan_out")
    return value


def _expressions(template: Any) -> list[str]:
    if isinstance(template, str):
        return _REFERENCE.findall(template)
    if isinstance(template, Mapping):
        return [found for value in template.values() for found in _expressions(value)]
    if isinstance(template, list | tuple):
        return [found for value in template for found in _expressions(value)]
    return []


def _referred(template: Any) -> frozenset[str]:
    found = [match for expression in _expressions(template) for match in _STEP.findall(expression)]
    return frozenset(quoted or plain for quoted, plain in found)


def _check_references(name: str, step: Step) -> None:
    for expression in [*_expressions(step.template), *_expressions(step.for_each)]:
        try:
            _compiled(expression.strip())
        except JMESPathError as error:
            raise ValueError(f"step {name!r}: {{{{{expression}}}}} is not an expression: {error}") from None
