"""Records are values: equal by their fields, which are never assigned."""

from __future__ import annotations

import pytest
from msgspec import field
from msgspec.structs import replace

from taskreel.domain.record import Record


class Point(Record):
    """A place."""

    x: int
    y: int = 0
    tags: tuple[str, ...] = field(default_factory=tuple)


class Place(Record):
    """Of the same fields, and another class."""

    x: int
    y: int = 0
    tags: tuple[str, ...] = ()


def test_records_of_a_class_are_equal_by_their_fields() -> None:
    others: list[object] = [Point(2), Point(1, 2), Place(1), 1]
    assert Point(1) not in others
    assert Point(1, tags=("a",)) == Point(1, 0, ("a",))
    assert len({Point(1), Point(1), Point(2)}) == 2


def test_a_field_is_replaced_in_a_copy_and_never_assigned() -> None:
    point = Point(1)
    assert replace(point, y=3) == Point(1, 3)
    with pytest.raises(AttributeError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        point.z = 1  # type: ignore[attr-defined]
    assert point == Point(1)


def test_a_record_shows_its_fields() -> None:
    assert repr(Point(1)) == "Point(x=1, y=0, tags=())"
