"""The design documents as data: their fenced blocks, inline code and statements with numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "data" / "documents"
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_ROUTE = re.compile(r"^(GET|POST|PUT|PATCH|DELETE) (/\S+)$")


@dataclass(frozen=True)
class Part:
    """A fenced block, a piece of inline code or a statement; `key` is unique in all documents."""

    key: str
    text: str


def number_of(path: Path) -> str:
    return path.name.partition("-")[0]


def _documents() -> list[tuple[str, str]]:
    return [(number_of(path), path.read_text("utf-8")) for path in sorted(FOLDER.glob("[0-9]*.md"))]


def _numbered(parts: list[tuple[str, str]]) -> Iterator[Part]:
    """Parts with the same name get a number."""
    seen: dict[str, int] = {}
    for name, text in parts:
        seen[name] = seen.get(name, 0) + 1
        yield Part(name if seen[name] == 1 else f"{name} #{seen[name]}", text)


def fences() -> dict[str, str]:
    """Every fenced block by document number and nearest heading."""
    found = []
    for number, text in _documents():
        for fence in _FENCE.finditer(text):
            headings = _HEADING.findall(_FENCE.sub("", text[: fence.start()]))
            found.append((f"{number} {headings[-1]}", fence[2]))
    return {part.key: part.text for part in _numbered(found)}


def inline_codes() -> dict[str, str]:
    """Every piece of inline code outside fences, by document number and text."""
    return {
        f"{number} {code}": code
        for number, text in _documents()
        for code in _CODE.findall(_FENCE.sub("", text))
    }


def routes() -> set[str]:
    """`METHOD /path` of the lists and of the HTTP blocks, with `{name}` for a parameter."""
    lines = [*inline_codes().values()]
    for text in fences().values():
        lines += text.splitlines()[:1]
        # A route file of Next.js: its path, and the method that it exports.
        if file := re.match(r"// app(/\S+)/route\.ts", text):
            path = re.sub(r"\[(\w+)\]", r"{\1}", file[1])
            lines += [f"{method} {path}" for method in re.findall(r"function ([A-Z]+)\(", text)]
    found = (_ROUTE.match(line) for line in lines)
    return {
        match[1] + " " + re.sub(r":(\w+)", r"{\1}", match[2].partition("?")[0])
        for match in found
        if match
    }


def list_items(number: str, heading: str) -> list[str]:
    """The items of the list under a heading of a document."""
    text = dict(_documents())[number]
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = _HEADING.split(section)[0]
    return re.findall(r"^\s*(?:-|\d+\.) (.+)$", section, re.MULTILINE)


def type_descriptions() -> dict[str, str]:
    """The sentences of document 2 on each of its job types, by `2 job-type: sentence`."""
    found: dict[str, str] = {}
    job_type = ""
    for item in list_items("2", "Job Types"):
        if named := _CODE.search(item):
            job_type = named[1]
        else:
            found[f"2 {job_type}: {item}"] = item
    return found


def numbered_statements() -> dict[str, str]:
    """Every line of a list that states a number."""
    return {
        f"{number} {line.strip(' -')}": line.strip(" -")
        for number, text in _documents()
        for line in _FENCE.sub("", text).splitlines()
        if re.match(r"\s*- .*\d", line)
    }


# ── Requests ──────────────────────────────────────────────────────────────────────────────────────


def http_request(text: str) -> tuple[str, str, Any]:
    """Method, path and JSON body of an `http` block."""
    head, _, body = text.partition("\n\n")
    method, path = head.splitlines()[0].split(" ", 1)
    return method, path, json.loads(body) if body.strip() else None


def fetch_request(text: str) -> tuple[str, Any]:
    """Path and body of a `fetch` call in JavaScript."""
    path = re.search(r"fetch\('([^']+)'", text)
    body = re.search(r"JSON\.stringify\((.*)\)\s*}\);", text, re.DOTALL)
    assert path, text
    assert body, text
    return path[1], read_literal(body[1])


def read_literal(text: str) -> Any:
    """An object literal of JavaScript: bare names, single quotes, comments, products of numbers."""
    text = re.sub(r"/\*.*?\*/|(?<![:'])//.*", "", text, flags=re.DOTALL if "/*" in text else 0)
    text = re.sub(r"([{,]\s*)(\w+):", r'\1"\2":', text)
    text = re.sub(r"'([^']*)'", r'"\1"', text)
    text = re.sub(r"(\d+) \* (\d+)", lambda found: str(int(found[1]) * int(found[2])), text)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", text))


# ── Shapes ────────────────────────────────────────────────────────────────────────────────────────


def interfaces(text: str) -> dict[str, dict[str, str]]:
    """The fields of each TypeScript interface, inherited ones first: name → type."""
    found: dict[str, dict[str, str]] = {}
    for name, base, body in re.findall(
        r"interface (\w+)(?: extends (\w+))? {\n(.*?)^}", text, re.MULTILINE | re.DOTALL
    ):
        fields = re.findall(r"^\s+(\w+\??): (.+?);?$", body, re.MULTILINE)
        found[name] = {**found.get(base, {}), **dict(fields)}
    return found


def shape_of(text: str, name: str) -> dict[str, str]:
    """The fields of `name: { … }` in a shape that is written like an object."""
    body = re.search(rf"\b{name}: {{(.*?)\n  }}", text, re.DOTALL)
    assert body, text
    return dict(re.findall(r"^\s+(\w+): (\w+),?$", body[1], re.MULTILINE))


def bodies_of(fields: Mapping[str, str], samples: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bodies of the shape, one for each choice of its unions; `samples` by name of a field.

    Optional fields are given too.
    """
    choices = [_values(name.rstrip("?"), kind, samples) for name, kind in fields.items()]
    names = [name.rstrip("?") for name in fields]
    return [dict(zip(names, values, strict=True)) for values in product(*choices)]


def _values(name: str, kind: str, samples: Mapping[str, Any]) -> list[Any]:
    if name in samples:
        return [samples[name]]
    words = re.findall(r"'([^']+)'", kind)
    if words:
        return [words] if kind.endswith("[]") else words
    simple: dict[str, Any] = {
        "Date": "2026-11-26T12:00:00.000Z",
        "string": f"a {name}",
        "number": 3,
        "object": {},
        "Record<string, any>": {},
    }
    return [simple[kind]]
