"""Pipelines: steps in order, and fan-outs that may get their width from an earlier step. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from pydantic import Field, model_validator

from taskreel.domain.errors import PermanentError
from taskreel.domain.step_run import StepRun
from taskreel.domain.template import (
    LONGEST,
    MOST_REFERENCES,
    fill_template,
    find_references,
    find_roots,
    is_reference,
    parse_expression,
    quote_expression,
)
from taskreel.domain.validation_messages import suggest_name
from taskreel.domain.value import Location, Value, validation_error

MOST_CHILDREN = 1000
#: The job type whose payload holds steps itself.
PIPELINE = "pipeline"

_MOST_CHARACTERS = 50_000
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
#: The members of a step that later steps may refer to (`app.jobs.results.view_step`).
_MEMBERS = ("result", "results", "artifacts")

OnFailure = Literal["fail", "ignore", "continue"]


class Step(Value):
    """One step: a job of `type`, or with `forEach` one for each element of a list.

    `payload` may hold `{{…}}` (JMESPath over `steps`, `payload`, `item`, `index`); a step that is
    referred to comes before. `forEach` is a list, a reference to one, or `{name: list, …}`: lists
    that are walked in parallel, so that `item.name` is an element of each. `onFailure`: `fail` ends
    the pipeline, `ignore` goes on without the failed jobs once the step has ended, `continue` does
    so as soon as one has failed.
    """

    type: str
    payload: dict[str, Any] = Field(default_factory=dict)
    after: tuple[str, ...] = ()
    for_each: str | list[Any] | dict[str, Any] | None = None
    #: The most jobs of a fan-out of unknown width; the credits held at the start depend on it.
    max_items: int = Field(default=10, ge=1, le=MOST_CHILDREN)
    on_failure: OnFailure = "fail"
    #: Include its results in the pipeline's, under its name, though other steps use them too.
    keep: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """The steps before this one: those named, and those referred to."""
        referred = {
            root[1] for root in self._read_roots() if root[:1] == ("steps",) and len(root) > 1
        }
        return frozenset(self.after) | referred

    @property
    def reads_payload(self) -> bool:
        """True when it refers to the pipeline's own payload."""
        return self.reads("payload")

    @property
    def width(self) -> int:
        """The most jobs that it may make."""
        if self.for_each is None:
            return 1
        return len(self.for_each) if isinstance(self.for_each, list) else self.max_items

    @property
    def template(self) -> dict[str, Any]:
        """The part of the payload that is filled in here.

        The steps of an inner pipeline have references of their own.
        """
        inner = self.type == PIPELINE
        return {
            name: value for name, value in self.payload.items() if not (inner and name == "steps")
        }

    def reads(self, *members: str) -> bool:
        """True when it refers to one of these members of the context."""
        return any(root[:1] == (member,) for root in self._read_roots() for member in members)

    def fill_payload(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The payload of one of its jobs."""
        return {**self.payload, **fill_template(self.template, context)}

    def _read_roots(self) -> Iterator[tuple[str, ...]]:
        for _, text in find_references([self.template, self.for_each]):
            yield from find_roots(text)


class Pipeline(Value):
    """Steps by name. Invalid when a step depends on one that does not exist, or on itself."""

    steps: dict[str, Step] = Field(min_length=1, max_length=50)

    @model_validator(mode="after")
    def _check_steps(self) -> Pipeline:
        found = [(("steps", *at), message) for at, message in _find_faults(self.steps)]
        if found:
            raise validation_error("Pipeline", found)
        try:
            self.order()
        except CycleError as error:
            message = f"the steps form a cycle: {' → '.join(error.args[1])}"
            raise validation_error("Pipeline", [(("steps",), message)]) from None
        return self

    def order(self) -> list[str]:
        """The names of the steps, each after those that it needs."""
        return list(
            TopologicalSorter(
                {name: sorted(step.needs) for name, step in self.steps.items()}
            ).static_order()
        )

    def waiting_runs(self) -> dict[str, StepRun]:
        """A StepRun for every step, in order, as none has started."""
        return {
            name: StepRun(type=self.steps[name].type, place=place)
            for place, name in enumerate(self.order())
        }

    def with_dependants(self, first: str) -> frozenset[str]:
        """`first` and every step that needs it, directly or through others."""
        found = {first}
        for name in self.order():
            if self.steps[name].needs & found:
                found.add(name)
        return frozenset(found)

    def final_steps(self) -> list[str]:
        """The steps that no other step needs: their results are the pipeline's."""
        needed = frozenset().union(*(step.needs for step in self.steps.values()))
        return [name for name in self.order() if name not in needed]


def list_items(step: Step, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `item` and `index` of each of the step's jobs; one empty dict without a fan-out.

    Raises PermanentError for a fan-out over anything but lists of one length.
    """
    if step.for_each is None:
        return [{}]
    items = fill_template(step.for_each, context)
    if isinstance(items, dict):
        items = _zip_lists({name: _require_list(value, name) for name, value in items.items()})
    items = _require_list(items, "forEach")
    return [{"item": item, "index": index} for index, item in enumerate(items)]


def _zip_lists(lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    if len({len(value) for value in lists.values()}) != 1:
        lengths = _describe_lengths({name: len(value) for name, value in lists.items()})
        raise PermanentError(
            f"forEach needs lists of the same length: {lengths}.", code="bad_fan_out"
        )
    rows = zip(*lists.values(), strict=True)
    return [dict(zip(lists, row, strict=True)) for row in rows]


def _require_list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise PermanentError(
            f"{name} must be a list, not {type(value).__name__}.", code="bad_fan_out"
        )
    return value


# ── Validation ───────────────────────────────────────────────────────────────────────────────────


def _find_faults(steps: Mapping[str, Step]) -> Iterator[tuple[Location, str]]:
    """The faults that can be seen before anything has run, with their places below `steps`."""
    texts = {name: [*_find_texts(step)] for name, step in steps.items()}
    lengths = [min(len(text), LONGEST) for found in texts.values() for _, text in found]
    if len(lengths) > MOST_REFERENCES or sum(lengths) > _MOST_CHARACTERS:
        # Nothing else is checked: reading so many expressions would take too long.
        message = (
            f"they have {len(lengths):,} references of {sum(lengths):,} characters; at most "
            f"{MOST_REFERENCES} of {_MOST_CHARACTERS:,} characters in total are allowed"
        )
        yield (), message
        return
    for name, step in steps.items():
        if not re.fullmatch(_NAME, name):
            message = (
                f"step {name!r}: a name has letters, digits and _, does not start with a digit, "
                "and has at most 64 characters"
            )
            yield (), message
        for place, other in enumerate(step.after):
            if other not in steps:
                yield (name, "after", place), _explain_unknown_step(other, steps)
        for message in _find_fan_out_faults(step):
            yield (name, "forEach"), message
        for at, text in texts[name]:
            for fault in _find_reference_faults(text, at, step, steps):
                yield (name, *at), f"{quote_expression(text)} {fault}"


def _find_texts(step: Step) -> Iterator[tuple[Location, str]]:
    yield from find_references(step.template, ("payload",))
    yield from find_references(step.for_each, ("forEach",))


def _find_reference_faults(
    text: str, at: Location, step: Step, steps: Mapping[str, Step]
) -> Iterator[str]:
    try:
        roots = parse_expression(text).roots
    except ValueError as error:
        yield f"is not an expression: {error}"
        return
    for root in sorted(roots):
        match root:
            case ("item" | "index", *_) if step.for_each is None:
                yield f"is for a step with forEach: without it there is no {root[0]}"
            case ("item" | "index", *_) if at[0] == "forEach":
                yield f"cannot be here: {root[0]} is defined by forEach itself"
            case ("item" | "index" | "payload" | "jobs", *_):
                pass
            case ("steps", *path):
                yield from _find_path_faults(path, steps)
            case _:
                named = root[0] if root else "everything"
                yield f"names {named}: there are steps, payload, and with forEach item and index"


def _find_path_faults(path: Sequence[str], steps: Mapping[str, Step]) -> Iterator[str]:
    """The faults in the part of an expression that follows `steps`."""
    if not path:
        yield "must name one step, as in steps.story.result"
    elif path[0] not in steps:
        yield f"cannot be filled in: {_explain_unknown_step(path[0], steps)}"
    elif len(path) > 1 and path[1] not in _MEMBERS:
        yield f"names no part of a step: there are {', '.join(_MEMBERS)}"


def _explain_unknown_step(name: str, steps: Mapping[str, Step]) -> str:
    return f"there is no step {name!r}{suggest_name(name, list(steps))}"


def _find_fan_out_faults(step: Step) -> Iterator[str]:
    """The faults of a forEach that are there whatever the results of other steps are."""
    given = step.for_each
    lists = {"": given} if isinstance(given, list | str) else given or {}
    for name, value in lists.items():
        if not isinstance(value, list) and not is_reference(value):
            example = "{{steps.story.result.scenes}}"
            yield f"{name or 'it'} must be a list, or a reference to one: {example}"

    lengths = {name: len(value) for name, value in lists.items() if isinstance(value, list)}
    if given == {}:
        yield "it must have at least one list"
    if len(set(lengths.values())) > 1:
        yield f"its lists must have the same length: {_describe_lengths(lengths)}"

    most = MOST_CHILDREN if isinstance(given, list) else step.max_items
    if any(length > most for length in lengths.values()):
        yield f"it would make {max(lengths.values()):,} jobs; at most {most:,} are allowed here"


def _describe_lengths(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{name} has {length}" for name, length in lengths.items())
