"""The directions of a line's letters, and the order in which they are seen from left to right.

These are the rules of the Unicode Bidirectional Algorithm (UAX #9) for a line without explicit
embeddings and isolates, which captions do not have.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Direction = Literal["ltr", "rtl"]
_RIGHT_TO_LEFT = frozenset({"R", "AL"})
_NUMBERS = frozenset({"EN", "AN"})
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def find_direction(text: str) -> Direction:
    """Return the direction of a text: that of its first letter that has one."""
    classes = map(unicodedata.bidirectional, text)
    strong = (one for one in classes if one == "L" or one in _RIGHT_TO_LEFT)
    return "ltr" if next(strong, "L") == "L" else "rtl"


def find_levels(clusters: Sequence[str], direction: Direction) -> list[int]:
    """Return the embedding level of each cluster of a line; odd ones run from right to left."""
    # The first letter of a cluster decides: its marks follow it (rule W1).
    classes = [unicodedata.bidirectional(cluster[0]) or "L" for cluster in clusters]
    base = "L" if direction == "ltr" else "R"
    if base == "L" and _RIGHT_TO_LEFT.isdisjoint(classes):
        return [0] * len(clusters)
    kinds = _read_arabic_numbers(classes, base)
    _join_numbers(kinds)
    _resolve_numbers(kinds, base)
    _resolve_brackets(kinds, clusters, base)
    _resolve_neutrals(kinds, base)
    return [1 if kind == "R" else 2 if base == "R" or kind in _NUMBERS else 0 for kind in kinds]


def reorder_levels(levels: Sequence[int]) -> list[int]:
    """Return the places in the order in which they are seen, leftmost first (rule L2)."""
    order = list(range(len(levels)))
    for level in range(max(levels, default=0), 0, -1):
        place = 0
        for turned, group in groupby(list(order), key=lambda one: levels[one] >= level):
            part = list(group)
            if turned:
                order[place : place + len(part)] = reversed(part)
            place += len(part)
    return order


def _read_arabic_numbers(classes: Sequence[str], base: str) -> list[str]:
    """Rules W2 and W3: digits after an Arabic letter are Arabic numbers."""
    kinds, strong = list(classes), base
    for place, kind in enumerate(classes):
        if kind == "L" or kind in _RIGHT_TO_LEFT:
            strong = kind
        elif kind == "EN" and strong == "AL":
            kinds[place] = "AN"
    return ["R" if kind == "AL" else kind for kind in kinds]


def _join_numbers(kinds: list[str]) -> None:
    """Rules W4 and W5: a sign within a number, and signs beside one as of money, belong to it."""
    for place in range(1, len(kinds) - 1):
        before, after = kinds[place - 1], kinds[place + 1]
        signs = {"EN": {"ES", "CS"}, "AN": {"CS"}}.get(before, set())
        if before == after and kinds[place] in signs:
            kinds[place] = before
    for kind, start, end in _list_spans(kinds):
        around = {*kinds[max(start - 1, 0) : start], *kinds[end : end + 1]}
        if kind == "ET" and "EN" in around:
            kinds[start:end] = ["EN"] * (end - start)


def _resolve_numbers(kinds: list[str], base: str) -> None:
    """Rules W6 and W7: other signs are neutral; digits after a Latin letter are as it."""
    strong = base
    for place, kind in enumerate(kinds):
        if kind in {"L", "R"}:
            strong = kind
        elif kind == "EN" and strong == "L":
            kinds[place] = "L"
        elif kind not in _NUMBERS:
            kinds[place] = "ON"


def _resolve_brackets(kinds: list[str], clusters: Sequence[str], base: str) -> None:
    """Rule N0: both brackets of a pair have the direction of the line, or of what is in them."""
    for start, end in _list_pairs(kinds, clusters):
        within = {_take_side(kind) for kind in kinds[start + 1 : end]} - {"ON"}
        if not within:
            continue
        before = [_take_side(kind) for kind in kinds[:start] if kind != "ON"]
        context = before[-1] if before else base
        kinds[start] = kinds[end] = base if base in within else context


def _list_pairs(kinds: Sequence[str], clusters: Sequence[str]) -> list[tuple[int, int]]:
    """The places of brackets that are pairs, in the order of the opening ones."""
    pairs, opened = [], []
    for place, cluster in enumerate(clusters):
        if kinds[place] != "ON":
            continue
        if cluster in _BRACKETS:
            opened.append((_BRACKETS[cluster], place))
        closing = [number for number, (sign, _) in enumerate(opened) if sign == cluster]
        if closing:
            pairs.append((opened[closing[-1]][1], place))
            del opened[closing[-1] :]
    return sorted(pairs)


def _resolve_neutrals(kinds: list[str], base: str) -> None:
    """Rules N1 and N2: what stands between letters of one direction has it, else the line's."""
    for kind, start, end in _list_spans(kinds):
        if kind == "ON":
            before = _take_side(kinds[start - 1]) if start else base
            after = _take_side(kinds[end]) if end < len(kinds) else base
            kinds[start:end] = [before if before == after else base] * (end - start)


def _list_spans(kinds: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Each sequence of one kind, with its first place and the one after its last."""
    start = 0
    for kind, group in groupby(list(kinds)):
        end = start + len(list(group))
        yield kind, start, end
        start = end


def _take_side(kind: str) -> str:
    """The direction of a kind for the neutrals beside it: numbers count as right to left."""
    return "R" if kind in _NUMBERS else kind
