"""The targets of the fuzzer with few examples: their seeds, and mutations by Hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing.targets import TARGETS


@st.composite
def mutate(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed of which a part is cut out, repeated, or replaced by other bytes."""
    seed = draw(st.sampled_from(seeds))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, len(seed)))
    middle = draw(st.one_of(st.binary(max_size=12), st.just(seed[start:end] * 3), st.just(b"")))
    return seed[:start] + middle + seed[end:]


@pytest.mark.parametrize("name", TARGETS)
def test_no_parser_raises_an_error_that_it_does_not_document(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds:
        target.feed(seed)

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutate(list(target.seeds)))
    def feed(data: bytes) -> None:
        target.feed(data)

    feed()
