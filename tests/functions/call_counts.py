"""The number of function calls that work takes: it does not depend on the machine."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
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
