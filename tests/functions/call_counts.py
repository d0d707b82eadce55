"""The calls and the instructions that work takes: they do not depend on the machine."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import taskreel

_PRODUCT = str(Path(taskreel.__file__).parent)
#: From Python 3.12 on these are no calls.
_COMPREHENSIONS = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>"})


@contextmanager
def count_calls() -> Iterator[Counter[str]]:
    """Count the calls of the product's functions, and its calls of functions written in C."""
    counts: Counter[str] = Counter()
    is_product: dict[str, bool] = {}

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event not in {"call", "c_call"}:
            return
        code = frame.f_code
        known = is_product.get(code.co_filename)
        if known is None:
            known = is_product[code.co_filename] = code.co_filename.startswith(_PRODUCT)
        if known and not (event == "call" and code.co_name in _COMPREHENSIONS):
            counts[event] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield counts
    finally:
        sys.setprofile(before)


@contextmanager
def count_instructions() -> Iterator[Counter[str]]:
    """Count the bytecode instructions that functions of the product run, by their file.

    They are the interpreter's own: another version of Python has others for the same code.
    """
    counts: Counter[str] = Counter()
    if sys.version_info >= (3, 12):
        with _monitor_instructions(counts):
            yield counts
        return

    def start(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if not file.startswith(_PRODUCT):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False

        def note(_frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
            if event == "opcode":
                counts[file] += 1
            return note

        return note

    before = sys.gettrace()
    sys.settrace(start)
    try:
        yield counts
    finally:
        sys.settrace(before)


if sys.version_info >= (3, 12):

    @contextmanager
    def _monitor_instructions(counts: Counter[str]) -> Iterator[None]:
        """By PEP 669: the first releases of Python 3.12 trace no instructions."""
        monitoring = sys.monitoring
        tool, event = monitoring.PROFILER_ID, monitoring.events.INSTRUCTION

        def note(code: CodeType, _offset: int) -> Any:
            if not code.co_filename.startswith(_PRODUCT):
                return monitoring.DISABLE
            counts[code.co_filename] += 1
            return None

        monitoring.use_tool_id(tool, "taskreel")
        monitoring.register_callback(tool, event, note)
        monitoring.set_events(tool, event)
        try:
            yield
        finally:
            monitoring.set_events(tool, monitoring.events.NO_EVENTS)
            monitoring.free_tool_id(tool)
