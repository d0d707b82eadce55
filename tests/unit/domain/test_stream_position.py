"""Positions in a stream of changes, as clients send them back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskreel.domain.stream_position import StreamPosition

AT = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize("job_id", ["", "job_1-a"])
def test_a_position_is_read_back_from_its_text(job_id: str) -> None:
    position = StreamPosition(7, job_id, AT)
    assert StreamPosition.parse(str(position)) == position


@pytest.mark.parametrize("text", ["", "7", "7.x", "-1.5", "7.5.", "7.5.a b", "٧.٥"])
def test_a_text_of_another_form_is_no_position(text: str) -> None:
    assert StreamPosition.parse(text) is None
