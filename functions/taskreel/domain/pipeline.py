"""Pipelines: steps in order, and fan-outs whose width is known only when a step has run. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from pydantic import Field, model_validator

from taskreel.domain.errors import PermanentError
from taskreel.domain.template import (
    LONGEST,
    MOST_REFERENCES,
    is_reference,
    quoted,
    read,
    references,
    resolve,
    roots_of,
)
from taskreel.domain.value import Location, Value, validation_error

MOST_CHILDREN = 1000
#: The job type whose payload holds steps itself.
PIPELINE = "pipeline"

_MOST_CHARACTERS = 50_000
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
#: What a step has for those behind it (`app.results.step_view`).
_MEMBERS = ("result", "results", "artifacts")

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
        referred = {root[1] for root in self._roots() if root[:1] == ("steps",) and len(root) > 1}
        return frozenset(self.after) | referred

    @property
    def reads_payload(self) -> bool:
        """Whether it refers to the pipeline's own payload."""
        return self.reads("payload")

    @property
    def width(self) -> int:
        """The most jobs that it may make."""
        if self.for_each is None:
            return 1
        return len(self.for_each) if isinstance(self.for_each, list) else self.max_items

    @property
    def template(self) -> dict[str, Any]:
        """What of the payload is filled in here: the steps of a pipeline within have references of their own."""
        inner = self.type == PIPELINE
        return {
            name: value for name, value in self.payload.items() if not (inner and name == "steps")
        }

    def reads(self, *members: str) -> bool:
        """Whether it refers to one of these members of the context."""
        return any(root[:1] == (member,) for root in self._roots() for member in members)

    def filled(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The payload of one of its jobs."""
        return {**self.payload, **resolve(self.template, context)}

    def _roots(self) -> Iterator[tuple[str, ...]]:
        for _, text in references([self.template, self.for_each]):
            yield from roots_of(text)


class Pipeline(Value):
    """Steps by name. Refused whole when one depends on a step that is not there, or on itself."""

    steps: dict[str, Step] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _sound(self) -> Pipeline:
        found = [(("steps", *at), message) for at, message in _faults(self.steps)]
        if found:
            raise validation_error("Pipeline", found)
        try:
            self.order()
        except CycleError as error:
            message = f"the steps form a cycle: {' → '.join(error.args[1])}"
            raise validation_error("Pipeline", [(("steps",), message)]) from None
        return self

    def order(self) -> list[str]:
        """The steps so that each comes after what it needs."""
        return list(
            TopologicalSorter(
                {name: sorted(step.needs) for name, step in self.steps.items()}
            ).static_order()
        )

    def unbegun(self) -> dict[str, StepRun]:
        """Every step before anything has happened, in order."""
        return {
            name: StepRun(type=self.steps[name].type, place=place)
            for place, name in enumerate(self.order())
        }

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
    """How far the step at `place` (from 0) is.

    `width` and `cost` are known when it starts; `spent` is the credits of what succeeded. `adopted` counts the jobs
    that an earlier round, or the pipeline that this one replays, had done already.
    """

    type: str
    place: int
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
            widths = _of_widths({name: len(value) for name, value in lists.items()})
            raise PermanentError(
                f"forEach walks lists of the same length together: {widths}.", code="bad_fan_out"
            )
        given = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return [{"item": item, "index": index} for index, item in enumerate(_list(given, "forEach"))]


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise PermanentError(
            f"{name} must be a list, not {type(value).__name__}.", code="bad_fan_out"
        )
    return value


# ── What is refused ──────────────────────────────────────────────────────────────────────────────


def _faults(steps: Mapping[str, Step]) -> Iterator[tuple[Location, str]]:
    """What can be seen to be wrong before anything has run, and in which step."""
    written = {name: [*_written(step)] for name, step in steps.items()}
    lengths = [min(len(text), LONGEST) for found in written.values() for _, text in found]
    if len(lengths) > MOST_REFERENCES or sum(lengths) > _MOST_CHARACTERS:
        most = f"{MOST_REFERENCES} of {_MOST_CHARACTERS:,} characters together"
        yield (
            (),
            f"they have {len(lengths):,} references of {sum(lengths):,} characters, and may have {most}",
        )
        return
    for name, step in steps.items():
        if not re.fullmatch(_NAME, name):
            yield (), f"step {name!r}: a name has letters, digits and _, and starts with no digit"
        for place, other in enumerate(step.after):
            if other not in steps:
                yield (name, "after", place), f"step {name!r} needs {other}, which is not there"
        yield from (((name, "forEach"), message) for message in _fan_out_faults(step))
        for at, text in written[name]:
            yield from (
                ((name, *at), f"{quoted(text)} {fault}")
                for fault in _reference_faults(text, at, step, steps)
            )


def _written(step: Step) -> Iterator[tuple[Location, str]]:
    yield from references(step.template, ("payload",))
    yield from references(step.for_each, ("forEach",))


def _reference_faults(
    text: str, at: Location, step: Step, steps: Mapping[str, Step]
) -> Iterator[str]:
    try:
        roots = read(text).roots
    except ValueError as error:
        yield f"is not an expression: {error}"
        return
    for root in sorted(roots):
        match root:
            case ("item" | "index", *_) if step.for_each is None:
                yield f"is for a step with forEach: without it there is no {root[0]}"
            case ("item" | "index", *_) if at[0] == "forEach":
                yield f"cannot be here: forEach says what {root[0]} is"
            case ("item" | "index" | "payload" | "jobs", *_):
                pass
            case ("steps", *path):
                yield from _path_faults(path, steps)
            case _:
                named = root[0] if root else "everything"
                yield f"names {named}: there are steps, payload, and with forEach item and index"


def _path_faults(path: Sequence[str], steps: Mapping[str, Step]) -> Iterator[str]:
    """Of what follows `steps`."""
    if not path:
        yield "must name one step, as in steps.story.result"
    elif path[0] not in steps:
        yield f"needs {path[0]}, which is not there"
    elif len(path) > 1 and path[1] not in _MEMBERS:
        yield f"names no part of a step: there are {', '.join(_MEMBERS)}"


def _fan_out_faults(step: Step) -> Iterator[str]:
    """Of forEach, what no step's result can mend."""
    given = step.for_each
    lists = {"": given} if isinstance(given, list | str) else given or {}
    for name, value in lists.items():
        if not isinstance(value, list) and not is_reference(value):
            yield f"{name or 'it'} must be a list, or a reference to one: {{{{steps.story.result.scenes}}}}"
    widths = {name: len(value) for name, value in lists.items() if isinstance(value, list)}
    if given == {}:
        yield "it names no list"
    if len(set(widths.values())) > 1:
        yield f"lists that are walked together have the same length: {_of_widths(widths)}"
    most = MOST_CHILDREN if isinstance(given, list) else step.max_items
    if any(width > most for width in widths.values()):
        yield f"it would make {max(widths.values()):,} jobs; at most {most:,} are allowed here"


def _of_widths(widths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} has {width}" for name, width in widths.items())
