from __future__ import annotations

import re
from collections import Counter
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from taskreel.domain.ids import find_wake_shard, keyed_job_id, random_id, random_job_id

texts = st.text(max_size=20) | st.sampled_from(["a\nb", "a", "b\nc", "c", "\n", ""])


@given(st.integers())
def test_ids_are_26_letters_and_digits(seed: int) -> None:
    assert re.fullmatch(r"[a-z2-7]{26}", random_id(Random(seed)))
    assert re.fullmatch(r"job_[a-z2-7]{26}", random_job_id(Random(seed)))


def test_ids_in_sequence_are_not_neighbours() -> None:
    random = Random(7)
    made = [random_id(random) for _ in range(1000)]
    assert len(set(made)) == 1000
    assert made != sorted(made)


@given(texts, texts)
def test_a_key_gives_its_user_the_same_id_each_time(user: str, key: str) -> None:
    assert keyed_job_id(user, key) == keyed_job_id(user, key)
    assert re.fullmatch(r"job_[a-z2-7]{26}", keyed_job_id(user, key))


@given(st.tuples(texts, texts), st.tuples(texts, texts))
def test_another_user_or_key_gives_another_id(one: tuple[str, str], other: tuple[str, str]) -> None:
    assume(one != other)
    assert keyed_job_id(*one) != keyed_job_id(*other)


def test_a_line_break_does_not_move_the_border_between_user_and_key() -> None:
    assert keyed_job_id("a\nb", "c") != keyed_job_id("a", "b\nc")


def test_random_ids_are_spread_evenly_over_wake_shards() -> None:
    random = Random(7)
    counts = Counter(find_wake_shard(random_job_id(random), 8) for _ in range(8000))
    assert sorted(counts) == [*range(8)]
    assert 0.85 <= min(counts.values()) / 1000 <= max(counts.values()) / 1000 <= 1.15
