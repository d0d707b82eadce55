"""Providers that work in this process: Taskreel's own, and those that EXTRA_PROVIDERS names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence

from msgspec import field

from taskreel.domain.record import Record
from taskreel.domain.value import Value
from taskreel.ports import Capability, Clock, MediaWorkers, Provider


class InProcessProvider(Record, kw_only=True):
    """A provider that calls no service: it needs no key, costs nothing and has no breaker."""

    name: str
    build: Callable[[MediaWorkers, Clock], Provider]
    #: Each capability that it serves, with the options that it takes; None takes every option.
    capabilities: Mapping[Capability, frozenset[str] | None]
    #: Other words by which callers name it, in lower case.
    aliases: frozenset[str] = frozenset()
    #: It only imitates services: STAND_IN_PROVIDER may name it.
    imitation: bool = False
    #: What it adds to every job's `options`, by field name.
    job_options: Mapping[str, type[Value]] = field(default_factory=dict)


def load_in_process_providers(path: str) -> Sequence[InProcessProvider]:
    """The providers at `module:ATTRIBUTE`. Raises ValueError, ImportError or AttributeError."""
    module, separator, attribute = path.partition(":")
    if not separator:
        raise ValueError(f"{path!r} is not of the form module:ATTRIBUTE")
    found: Sequence[InProcessProvider] = getattr(importlib.import_module(module), attribute)
    return found
