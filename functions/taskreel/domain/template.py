"""Templates: JSON with references `{{…}}` (JMESPath) in its strings to later values. Pure.

Their authors are not trusted: a text is read in one pass, and the size of the filled-in template
has a limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from taskreel.domain.errors import InvalidError, PermanentError
from taskreel.domain.record import Record
from taskreel.domain.value import Location, format_path

LONGEST = 1000
_LARGEST = 1 << 20
MOST_REFERENCES = 500
_DEEPEST = 64
#: Evaluating runs on the event loop, where everybody waits: this takes about a tenth of a second.
_MOST_VISITS = 30_000
#: The errors that jmespath raises for an expression: ``contains('a', `1`)`` is a TypeError, `[::0]`
#: a ValueError.
_BREAKS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_FUNCTIONS = Functions()
#: Nodes of which only the first child reads the context; the others read its result.
_CHAINS = frozenset(
    {"pipe", "index_expression", "projection", "value_projection", "filter_projection", "flatten"}
)


class Expression(Record):
    """A parsed expression.

    `roots` are the paths that it reads from its context: `(steps, story, result)`; `()` is all.
    """

    tree: Any
    roots: frozenset[tuple[str, ...]]


@lru_cache(maxsize=1024)
def parse_expression(text: str) -> Expression:
    """Parse an expression. Raises ValueError, with the reason, for an invalid or too long one."""
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text):,} characters; at most {LONGEST:,} are allowed")
    try:
        tree = jmespath.compile(text).parsed
        roots = frozenset(_walk_roots(tree))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except JMESPathError as error:  # which repeats all of the expression
        raise ValueError(str(error).partition(", for expression:")[0][:200]) from None
    for root in roots:
        "".join(root).encode()  # a name may be written as "\ud800"
    return Expression(tree, roots)


def find_references(template: Any, at: Location = ()) -> Iterator[tuple[Location, str]]:
    """The places of a template's expressions, and their texts without the braces."""
    if isinstance(template, str):
        yield from (
            (at, template[start + 2 : end - 2].strip()) for start, end in _find_spans(template)
        )
    elif isinstance(template, Mapping):
        for name, value in template.items():
            yield from find_references(value, (*at, name))
    elif isinstance(template, list | tuple):
        for place, value in enumerate(template):
            yield from find_references(value, (*at, place))


def is_reference(template: Any) -> bool:
    """True for one expression and nothing else, which may become a value of any type."""
    return isinstance(template, str) and [*_find_spans(template.strip())] == [
        (0, len(template.strip()))
    ]


def has_references(value: Any) -> bool:
    """True when it has any reference to fill in."""
    return next(find_references(value), None) is not None


def find_job_references(template: Any) -> Iterator[tuple[Location, str]]:
    """The places of references to jobs, `{{jobs.<jobId>.…}}`, and the jobs' ids.

    Raises InvalidError for too many of them.
    """
    # Braces without "jobs" are mostly the user's own text: they are not parsed.
    candidates = ((at, text) for at, text in find_references(template) if "jobs" in text)
    for count, (at, text) in enumerate(candidates):
        if count == MOST_REFERENCES:
            raise InvalidError.at(
                format_path(at), f"at most {MOST_REFERENCES} references to jobs are allowed"
            )
        for root in sorted(find_roots(text)):
            if root[:1] == ("jobs",) and len(root) > 1:
                yield at, root[1]


def find_roots(text: str) -> frozenset[tuple[str, ...]]:
    """The paths that an expression reads from its context; none when it is invalid."""
    try:
        return parse_expression(text).roots
    except ValueError:
        return frozenset()


def fill_template(template: Any, context: Mapping[str, Any], *, only: Collection[str] = ()) -> Any:
    """Replace the references of a template by their values.

    A string that is one reference becomes a value of any type; within other text the value becomes
    text. With `only`, a reference that reads any other member of the context stays. Raises
    PermanentError for a reference to nothing, and for a result larger than a request may be.
    """
    return _TemplateFiller(context, only).fill(template)


class _TemplateFiller(TreeInterpreter):
    """Fills in one template, and counts all that its expressions make.

    A short expression can double a list a hundred times, so intermediate values count too.
    """

    def __init__(self, context: Mapping[str, Any], only: Collection[str]) -> None:
        super().__init__()
        self._context = context
        self._only = only
        self._remaining = _LARGEST
        self._visits = 0

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """Evaluate a node of an expression, once for each element that it applies to."""
        self._visits += 1
        if self._visits > _MOST_VISITS:
            raise PermanentError(
                f"The references take more than {_MOST_VISITS:,} steps to evaluate: "
                "filter shorter lists, or use fewer references.",
                code="bad_reference",
            )
        return super().visit(node, *args, **kwargs)

    def fill(self, template: Any) -> Any:
        if isinstance(template, str):
            return self._fill_text(template)
        if isinstance(template, Mapping):
            return {name: self.fill(value) for name, value in template.items()}
        if isinstance(template, list | tuple):
            return [self.fill(value) for value in template]
        return template

    def _fill_text(self, text: str) -> Any:
        whole = is_reference(text)
        parts: list[str] = []
        done = 0
        for start, end in _find_spans(text):
            expression = text[start + 2 : end - 2].strip()
            if not self._is_selected(expression):
                continue
            value = self._evaluate(expression)
            if whole:
                return value
            parts += [text[done:start], str(value)]
            done = end
        return "".join([*parts, text[done:]])

    def _is_selected(self, text: str) -> bool:
        if not self._only:
            return True
        roots = find_roots(text) if any(name in text for name in self._only) else ()
        return bool(roots) and all(root and root[0] in self._only for root in roots)

    def _evaluate(self, text: str) -> Any:
        try:
            value = self.visit(parse_expression(text).tree, self._context)
        except _BREAKS as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise PermanentError(
                f"{quote_expression(text)} cannot be evaluated: {reason}", code="bad_reference"
            ) from None
        if value is None:
            raise PermanentError(
                f"{quote_expression(text)} names nothing: there is no such value.",
                code="bad_reference",
            )
        return self._count(value)

    def _count(self, value: Any) -> Any:
        """Return the value after counting its size. Raises PermanentError over the limit."""
        self._spend(_measure(value, self._remaining))
        return value

    def _spend(self, characters: int) -> None:
        self._remaining -= characters
        if self._remaining < 0:
            message = (
                f"The values of the references are larger than {_LARGEST >> 20} MiB in total, "
                "or nested too deeply."
            )
            raise PermanentError(message, code="bad_reference")

    def visit_literal(self, node: Any, value: Any) -> Any:
        return self._count(super().visit_literal(node, value))

    def visit_multi_select_list(self, node: Any, value: Any) -> Any:
        return self._count(super().visit_multi_select_list(node, value))

    def visit_multi_select_dict(self, node: Any, value: Any) -> Any:
        return self._count(super().visit_multi_select_dict(node, value))

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        arguments = [self.visit(child, value) for child in node["children"]]
        match node["value"], arguments:
            case "join", [str(words), list(parts)]:
                self._spend(len(words) * len(parts))
            case _:
                pass
        return self._count(_FUNCTIONS.call_function(node["value"], arguments))


def quote_expression(text: str) -> str:
    """An expression in braces for a message, shortened when it is long."""
    return f"{{{{{text if len(text) <= 100 else f'{text[:100]}…'}}}}}"


def _find_spans(text: str) -> Iterator[tuple[int, int]]:
    """The start and end of each reference in a text, braces included."""
    end = 0
    while (start := text.find("{{", end)) >= 0 and (close := text.find("}}", start + 3)) >= 0:
        end = close + 2
        yield start, end


def _walk_roots(node: Any) -> Iterator[tuple[str, ...]]:
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
        yield from _walk_roots(children[0])
    elif kind not in {"literal", "expref", "slice", "index"}:
        for child in children:
            yield from _walk_roots(child)


def _measure(value: Any, most: int) -> int:
    """Its approximate size as JSON in characters; more than `most` also when it is too deep."""
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
