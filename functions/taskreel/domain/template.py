"""Templates: JSON in whose strings `{{…}}` (JMESPath) stands for what is known only later. Pure.

Whoever writes one is not trusted: a text is read in one pass, and what a template becomes has a limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.value import Location, format_path

LONGEST = 1000
_LARGEST = 1 << 20
MOST_REFERENCES = 500
_DEEPEST = 64
#: What an expression can make jmespath raise: ``contains('a', `1`)`` is a TypeError, `[::0]` a ValueError.
_BREAKS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_FUNCTIONS = Functions()
#: Nodes whose first child alone is read from the context; the others are read from what it gives.
_CHAINS = frozenset(
    {"pipe", "index_expression", "projection", "value_projection", "filter_projection", "flatten"}
)


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, read. `roots` is what it takes from its context: `(steps, story, result)`; `()` is all of it."""

    tree: Any
    roots: frozenset[tuple[str, ...]]


@lru_cache(maxsize=1024)
def read(text: str) -> Expression:
    """ValueError, with the reason, for what is no expression, or longer or deeper than anybody needs."""
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text):,} characters, and may have {LONGEST:,}")
    try:
        tree = jmespath.compile(text).parsed
        roots = frozenset(_roots(tree))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except JMESPathError as error:  # which repeats all of the expression
        raise ValueError(str(error).partition(", for expression:")[0][:200]) from None
    for root in roots:
        "".join(root).encode()  # a name may be written as "\ud800"
    return Expression(tree, roots)


def references(template: Any, at: Location = ()) -> Iterator[tuple[Location, str]]:
    """Where its expressions stand, and their texts, braces left out."""
    if isinstance(template, str):
        yield from ((at, template[start + 2 : end - 2].strip()) for start, end in _spans(template))
    elif isinstance(template, Mapping):
        for name, value in template.items():
            yield from references(value, (*at, name))
    elif isinstance(template, list | tuple):
        for place, value in enumerate(template):
            yield from references(value, (*at, place))


def is_reference(template: Any) -> bool:
    """Whether it is one expression and nothing else: such a one may become a value of any type."""
    return isinstance(template, str) and [*_spans(template.strip())] == [(0, len(template.strip()))]


def templated(value: Any) -> bool:
    """Whether anything in it is to be filled in."""
    return next(references(value), None) is not None


def job_references(template: Any) -> Iterator[tuple[Location, str]]:
    """Where it speaks of a job, as `{{jobs.<jobId>.…}}`, and the job's id. InvalidError for more than anybody needs."""
    spoken = (
        (at, text) for at, text in references(template) if "jobs" in text
    )  # other braces are seldom ours
    for count, (at, text) in enumerate(spoken):
        if count == MOST_REFERENCES:
            raise InvalidError.at(
                format_path(at), f"there may be {MOST_REFERENCES} references to jobs"
            )
        for root in sorted(roots_of(text)):
            if root[:1] == ("jobs",) and len(root) > 1:
                yield at, root[1]


def roots_of(text: str) -> frozenset[tuple[str, ...]]:
    """What an expression takes from its context; nothing when it is none."""
    try:
        return read(text).roots
    except ValueError:
        return frozenset()


def resolve(template: Any, context: Mapping[str, Any], *, only: Collection[str] = ()) -> Any:
    """The template with its references replaced: alone in a string a value of any type, among words its text.

    With `only`, a reference that takes anything else from the context stays as it is. Raises PermanentError for what
    names nothing, and for a template that would become larger than a request may be.
    """
    return _Filling(context, only).of(template)


class _Filling(TreeInterpreter):
    """Fills in one template. Whatever an expression makes is counted: a short one can double a list a hundred times."""

    def __init__(self, context: Mapping[str, Any], only: Collection[str]) -> None:
        super().__init__()
        self._context = context
        self._only = only
        self._left = _LARGEST

    def of(self, template: Any) -> Any:
        if isinstance(template, str):
            return self._text(template)
        if isinstance(template, Mapping):
            return {name: self.of(value) for name, value in template.items()}
        if isinstance(template, list | tuple):
            return [self.of(value) for value in template]
        return template

    def _text(self, text: str) -> Any:
        whole = is_reference(text)
        parts: list[str] = []
        done = 0
        for start, end in _spans(text):
            expression = text[start + 2 : end - 2].strip()
            if not self._meant(expression):
                continue
            value = self._value(expression)
            if whole:
                return value
            parts += [text[done:start], str(value)]
            done = end
        return "".join([*parts, text[done:]])

    def _meant(self, text: str) -> bool:
        if not self._only:
            return True
        roots = roots_of(text) if any(name in text for name in self._only) else ()
        return bool(roots) and all(root and root[0] in self._only for root in roots)

    def _value(self, text: str) -> Any:
        try:
            value = self.visit(read(text).tree, self._context)
        except _BREAKS as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise PermanentError(
                f"{quoted(text)} cannot be read: {reason}", code="bad_reference"
            ) from None
        if value is None:
            raise PermanentError(
                f"{quoted(text)} names nothing: there is no such value.", code="bad_reference"
            )
        return self._counted(value)

    def _counted(self, made: Any) -> Any:
        """What was made, once it fits into what is left."""
        self._spend(_size(made, self._left))
        return made

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            message = f"What the references stand for is nested too deeply, or larger than {_LARGEST >> 20} MiB."
            raise PermanentError(message, code="bad_reference")

    def visit_literal(self, node: Any, value: Any) -> Any:
        return self._counted(super().visit_literal(node, value))

    def visit_multi_select_list(self, node: Any, value: Any) -> Any:
        return self._counted(super().visit_multi_select_list(node, value))

    def visit_multi_select_dict(self, node: Any, value: Any) -> Any:
        return self._counted(super().visit_multi_select_dict(node, value))

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        arguments = [self.visit(child, value) for child in node["children"]]
        match node["value"], arguments:
            case "join", [str(words), list(parts)]:
                self._spend(len(words) * len(parts))
            case _:
                pass
        return self._counted(_FUNCTIONS.call_function(node["value"], arguments))


def quoted(text: str) -> str:
    """An expression as a message shows it."""
    return f"{{{{{text if len(text) <= 100 else f'{text[:100]}…'}}}}}"


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where its references begin and end, braces included."""
    end = 0
    while (start := text.find("{{", end)) >= 0 and (close := text.find("}}", start + 3)) >= 0:
        end = close + 2
        yield start, end


def _roots(node: Any) -> Iterator[tuple[str, ...]]:
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield (node["value"],)
    elif kind in {"current", "identity"}:
        yield ()
    elif kind == "subexpression" and children[0]["type"] == "field":
        yield tuple(
            child["value"] for child in takewhile(lambda child: child["type"] == "field", children)
        )
    elif kind == "subexpression" or kind in _CHAINS:
        yield from _roots(children[0])
    elif kind not in {"literal", "expref", "slice", "index"}:
        for child in children:
            yield from _roots(child)


def _size(value: Any, most: int) -> int:
    """About how many characters it takes as JSON; more than `most` when it takes more, or is too deep."""
    level, total = [value], 0
    for _ in range(_DEEPEST):
        total += len(level) + sum(len(one) for one in level if isinstance(one, str | list | dict))
        total += sum(len(name) for one in level if isinstance(one, dict) for name in one)
        if total > most or not level:
            return total
        inner = (
            one.values() if isinstance(one, dict) else one
            for one in level
            if isinstance(one, dict | list)
        )
        level = [member for one in inner for member in one]
    return most + 1
