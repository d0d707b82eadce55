"""The options of jobs that providers of this deployment add to those of every job type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskreel.domain.value import Value

#: The model of each, by its name.
REGISTERED: dict[str, type[Value]] = {}


def register_options(models: Mapping[str, type[Value]]) -> None:
    """Let jobs carry `options.<name>` as the model says, in place of all registered before."""
    REGISTERED.clear()
    REGISTERED.update(models)


def registered_names() -> frozenset[str]:
    """The names of the registered options."""
    return frozenset(REGISTERED)
