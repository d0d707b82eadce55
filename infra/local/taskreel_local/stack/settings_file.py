"""A file of settings, `NAME=value` a line, as scripts/setup-local-auth.sh writes it."""

from __future__ import annotations

import shlex
from pathlib import Path

from taskreel_local.stack.stack_error import StackError


def read_settings(path: Path) -> dict[str, str]:
    """Read a file that a shell could source. Raises StackError if it does not exist."""
    try:
        words = shlex.split(path.read_text("utf-8"), comments=True)
    except FileNotFoundError:
        raise StackError(
            f"{path} does not exist. Run scripts/setup-local-auth.sh to write it."
        ) from None
    # A line may begin with `export`, which is a word without an equals sign.
    return dict(word.split("=", 1) for word in words if "=" in word)
