"""The log events of the functions, read from their source: each `action` and its fields.

`python tests/log_events.py` prints the table of infra/README.md.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "functions" / "taskreel"


def find_events() -> dict[str, set[str]]:
    """Each event and its fields; `*` stands for the part of a name that varies."""
    events: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                for name, fields in _read_event(node):
                    events.setdefault(name, set()).update(fields)
    return events


def _read_event(node: ast.Dict) -> Iterator[tuple[str, set[str]]]:
    fields: Mapping[str, ast.expr] = {
        key.value: value
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    match fields.get("action"):
        case ast.Constant(value=str(name)):
            yield name, fields.keys() - {"action"}
        case ast.JoinedStr(values=parts):
            texts = [part.value if isinstance(part, ast.Constant) else "*" for part in parts]
            yield "".join(map(str, texts)), fields.keys() - {"action"}
        case _:
            pass  # no event, or one whose name is a variable


def write_table() -> str:
    """The events as a table."""
    rows = [
        f"| `{name}` | {', '.join(f'`{field}`' for field in sorted(fields)) or '–'} |"
        for name, fields in sorted(find_events().items())
    ]
    return "\n".join(["| `action` | fields |", "|---|---|", *rows])


if __name__ == "__main__":
    sys.stdout.write(write_table() + "\n")
