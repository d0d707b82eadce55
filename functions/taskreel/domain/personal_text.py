"""Names replaced in a text: the part of personalization that needs no model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from typing import Any


def replace_names(
    text: str, names: Mapping[str, str], intensity: float
) -> tuple[str, list[str], dict[str, str]]:
    """Replace names in a text, the first occurrences first; `intensity` 0…1 is the share replaced.

    Returns the text, what was applied, and what was skipped with the reason.
    """
    applied: list[str] = []
    skipped: dict[str, str] = {}
    for old, new in names.items():
        pattern = re.compile(rf"(?<!\w){re.escape(old)}(?!\w)", re.IGNORECASE)
        found = len(pattern.findall(text))
        if count := math.ceil(intensity * found):
            text = pattern.sub(partial(_in_same_case, new), text, count=count)
            applied.append(f"names: {old} → {new} ({count}×)")
        else:
            skipped[f"names: {old}"] = (
                "the intensity is 0" if found else "the text does not contain it"
            )
    return text, applied, skipped


def personalize_text(params: Mapping[str, Any]) -> tuple[str, list[str], dict[str, str]]:
    """Apply to `params["text"]` the aspects that need no model.

    Returns the text, what was applied, and what was skipped with the reason.
    """
    names = params.get("names") or {}
    text, applied, skipped = replace_names(str(params["text"]), names, params["intensity"])
    if params.get("caption"):
        text = f"{text.rstrip()}\n\n{params['caption']}"
        applied.append("caption")
    for name in ("palette", "voice"):
        if params.get(name):
            skipped[name] = "a text has none"
    return text, applied, skipped


def _in_same_case(new: str, found: re.Match[str]) -> str:
    """The new name in capitals where the old one was."""
    return new.upper() if found[0].isupper() and len(found[0]) > 1 else new
