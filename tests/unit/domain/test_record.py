"""Records compare, hash and show themselves as dataclasses do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from taskreel.domain.record import record


@record()
class Point:
    """A place."""

    x: int
    y: int = 0
    note: str = field(default="", compare=False)
    tags: list[str] = field(default_factory=list, hash=False)
    secret: str = field(default="", repr=False)


@dataclass(slots=True, unsafe_hash=True)
class PlainPoint:
    """The same as a dataclass."""

    x: int
    y: int = 0
    note: str = field(default="", compare=False)
    tags: list[str] = field(default_factory=list, hash=False)
    secret: str = field(default="", repr=False)


@record(kw_only=True)
class Empty:
    pass


@record()
class Named:
    name: str

    def __repr__(self) -> str:
        return self.name


POINTS: list[dict[str, Any]] = [
    {"x": 1},
    {"x": 1, "y": 2},
    {"x": 1, "note": "other"},
    {"x": 1, "tags": ["a"]},
    {"x": 1, "secret": "s"},
    {"x": "1"},
]


@pytest.mark.parametrize("one", POINTS)
@pytest.mark.parametrize("other", POINTS)
def test_records_are_equal_where_dataclasses_are(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    plain = PlainPoint(**one) == PlainPoint(**other)
    assert (Point(**one) == Point(**other)) is plain
    if plain:
        assert hash(Point(**one)) == hash(Point(**other))


@pytest.mark.parametrize("one", POINTS)
def test_a_record_is_shown_as_a_dataclass_is(one: dict[str, Any]) -> None:
    assert repr(Point(**one)) == repr(PlainPoint(**one)).removeprefix("Plain")


def test_records_of_other_classes_are_not_equal() -> None:
    others: list[object] = [PlainPoint(1), 1]
    assert Point(1) not in others
    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())


def test_a_record_may_be_replaced_and_has_no_other_fields() -> None:
    assert replace(Point(1), y=3) == Point(1, 3)
    with pytest.raises(AttributeError):
        Point(1).z = 1  # type: ignore[attr-defined]


def test_a_method_of_its_own_stays() -> None:
    assert repr(Named("ada")) == "ada"
