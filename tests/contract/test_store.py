"""The contract of the Store port for documents, over SQLite and over Firestore."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskreel.domain.errors import (
    StoreAbsentError,
    StoreConflictError,
    UnreadableDocumentError,
)
from taskreel.ports import Collection, Increment, Query, Store, Transaction

from .conftest import StoreMaker
from .rows import NOON, ROWS, create_row, delete_row, put_row, read_row, update_row

#: The same rows as values.
COUNTS: Collection[int] = Collection(
    ROWS.name, lambda count: {"count": count}, lambda data: int(data["count"])
)
OTHERS: Collection[Mapping[str, Any]] = Collection("others", dict, dict)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**63 - 1,
        0.1,
        1e300,
        "",
        "grüße 👋 \U0001f1fa\U0001f1e6 \n\t\x00 \\ \" '",
        "2026-11-22T12:00:00+00:00",
        NOON,
        {},
        [],
        [None, True, 1, 1.5, "x", NOON, {"a": []}],
        [[1, [2, [], {}]], [[{"x": [[3]]}]]],
        {"deep": {"er": {"est": [{"at": NOON}]}}},
        {
            "a.b": 1,
            "with `tick`": 2,
            "ключ": 3,
            "0": 4,
            "back\\slash": 5,
            "~": 6,
            "~[]": 7,
            "[]": 8,
        },
        {"": 1, "__name__": 2, "__time__": "not a time", "__x__": {"__y__": None}},
        # The mark of a time in SQLite's JSON, as a caller's own key.
        {"\ue000": "2026-01-01"},
        {"\ue000": "2026-01-01T00:00:00+00:00"},
        {"\ue000": 1, "\ue000\ue000": {"\ue000x": NOON}, "a": "\ue000"},
    ],
    ids=repr,
)
async def test_a_value_reads_back_as_it_was_written(store: Store, value: object) -> None:
    await create_row(store, "a", {"value": value, "other": [value]})
    data = await read_row(store)
    assert data == {"value": value, "other": [value]}
    assert type(data["value"]) is type(value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.datetimes(
        timezones=st.just(UTC),
        min_value=datetime(1, 1, 2),  # noqa: DTZ001 - Hypothesis wants naive bounds
        max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - Hypothesis wants naive bounds
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=JSON)
async def test_any_json_with_times_reads_back_as_it_was_written(
    store: Store, value: object
) -> None:
    await put_row(store, "a", {"value": value})
    assert await read_row(store) == {"value": value}


async def test_a_value_is_stored_by_its_codec_and_read_back_as_a_value(store: Store) -> None:
    async def write(tx: Transaction) -> None:
        tx.create(COUNTS, "a", 7)
        tx.set(COUNTS, "b", 8)

    await store.transaction(write)
    assert await read_row(store, "a") == {"count": 7}
    assert await store.get(COUNTS, "a") == 7
    assert [(row.id, row.value) for row in await store.query(Query(collection=COUNTS))] == [
        ("a", 7),
        ("b", 8),
    ]

    async def read(tx: Transaction) -> int | None:
        return await tx.get(COUNTS, "b")

    assert await store.transaction(read) == 8


async def test_a_document_that_cannot_be_decoded_has_an_error_and_stops_no_query(
    store: Store,
) -> None:
    await create_row(store, "a", {"count": 1})
    await create_row(store, "b", {"count": "many"})
    with pytest.raises(UnreadableDocumentError, match="rows/b"):
        await store.get(COUNTS, "b")

    async def read(tx: Transaction) -> int | None:
        return await tx.get(COUNTS, "b")

    with pytest.raises(UnreadableDocumentError, match="rows/b"):
        await store.transaction(read)
    first, second = await store.query(Query(collection=COUNTS))
    assert (first.value, second.id, second.data) == (1, "b", {"count": "many"})
    with pytest.raises(UnreadableDocumentError, match="rows/b"):
        _ = second.value


async def test_a_document_that_cannot_be_decoded_can_be_changed_and_deleted(store: Store) -> None:
    await create_row(store, "a", {"count": "many", "x": 1})

    async def repair(tx: Transaction) -> None:
        tx.update(COUNTS, "a", {"count": 3})

    await store.transaction(repair)
    assert await store.get(COUNTS, "a") == 3
    assert await read_row(store) == {"count": 3, "x": 1}


async def test_what_is_written_is_safe_after_durable_returns(store: Store) -> None:
    await create_row(store, "a", {"n": 1})
    await store.durable()
    assert await read_row(store) == {"n": 1}


async def test_a_document_that_was_never_written_is_none(store: Store) -> None:
    assert await store.get(ROWS, "nobody") is None


async def test_a_time_in_another_zone_reads_back_as_the_same_moment_in_utc(store: Store) -> None:
    await create_row(store, "a", {"at": NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))})
    at = (await read_row(store))["at"]
    assert (at, at.tzinfo) == (NOON, UTC)


async def test_a_naive_time_is_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="time zone"):
        await create_row(store, "a", {"at": datetime(2026, 1, 1)})  # noqa: DTZ001 - on purpose
    assert await store.get(ROWS, "a") is None


async def test_tuples_and_string_enums_are_stored_as_json(store: Store) -> None:
    class Colour(StrEnum):
        RED = "red"

    await create_row(store, "a", {"of": (Colour.RED, ()), "by": {Colour.RED: 1}})
    assert await read_row(store) == {"of": ["red", []], "by": {"red": 1}}


async def test_a_document_of_most_of_a_megabyte_reads_back(store: Store) -> None:
    data = {"text": "é" * 200_000, "items": [{"n": n, "at": NOON} for n in range(5_000)]}
    await create_row(store, "a", data)
    assert await read_row(store) == data


@pytest.mark.parametrize(
    "id_",
    [
        "a/b",
        ".",
        "..",
        "__x__",
        "100%",
        "a%2Fb",
        "auth0|7",
        "ключ 🔑",
        "https://id.example/u/1",
        "A",
        "a",
    ],
)
async def test_any_id_can_be_written_read_and_found(store: Store, id_: str) -> None:
    await create_row(store, id_, {"n": 1})
    assert await store.get(ROWS, id_) == {"n": 1}
    assert [row.id for row in await store.query(Query(collection=ROWS))] == [id_]


async def test_documents_of_two_collections_are_separate(store: Store) -> None:
    await create_row(store, "a", {"n": 1})
    await create_row(store, "a", {"n": 2}, collection=OTHERS)
    assert await read_row(store) == {"n": 1}


# ── Writes ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_transaction_returns_what_its_function_returns(store: Store) -> None:
    async def nothing_written(tx: Transaction) -> str:
        return str(await tx.get(ROWS, "a"))

    assert await store.transaction(nothing_written) == "None"


async def test_set_replaces_the_document_and_update_changes_what_it_names(store: Store) -> None:
    await put_row(store, "a", {"x": 1, "y": 1})
    await update_row(store, "a", {"y": 2, "z": None})
    assert await read_row(store) == {"x": 1, "y": 2, "z": None}
    await put_row(store, "a", {"only": 1})
    assert await read_row(store) == {"only": 1}


async def test_update_replaces_a_nested_value_whole(store: Store) -> None:
    await create_row(store, "a", {"nested": {"x": 1, "y": 1}, "a.b": 1})
    await update_row(store, "a", {"nested": {"z": 1}, "a.b": 2})
    assert await read_row(store) == {"nested": {"z": 1}, "a.b": 2}


async def test_creating_what_exists_is_a_conflict_and_writes_nothing(store: Store) -> None:
    await create_row(store, "a", {"n": 1})

    async def both(tx: Transaction) -> None:
        tx.set(ROWS, "b", {"n": 2})
        tx.create(ROWS, "a", {"n": 2})

    with pytest.raises(StoreConflictError, match="rows/a"):
        await store.transaction(both)
    assert await read_row(store) == {"n": 1}
    assert await store.get(ROWS, "b") is None


async def test_updating_what_is_absent_writes_nothing(store: Store) -> None:
    async def both(tx: Transaction) -> None:
        tx.create(ROWS, "b", {"n": 2})
        tx.update(ROWS, "a", {"n": Increment(1)})

    with pytest.raises(StoreAbsentError, match="rows/a"):
        await store.transaction(both)
    assert await store.query(Query(collection=ROWS)) == []


async def test_updating_a_document_that_was_read_as_absent_is_refused(store: Store) -> None:
    async def change(tx: Transaction) -> None:
        assert await tx.get(ROWS, "a") is None
        tx.update(ROWS, "a", {"n": 1})

    with pytest.raises(StoreAbsentError, match="rows/a"):
        await store.transaction(change)


async def test_its_own_exception_passes_and_nothing_is_written(store: Store) -> None:
    async def fail(tx: Transaction) -> None:
        tx.create(ROWS, "a", {"n": 1})
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await store.transaction(fail)
    assert await store.get(ROWS, "a") is None


async def test_delete_removes_and_deleting_nothing_is_fine(store: Store) -> None:
    await create_row(store, "a", {"n": 1})
    await delete_row(store, "a")
    await delete_row(store, "a")
    assert await store.get(ROWS, "a") is None


async def test_deleting_what_was_read_as_absent_is_fine(store: Store) -> None:
    async def forget(tx: Transaction) -> None:
        await tx.get(ROWS, "a")
        tx.delete(ROWS, "a")
        tx.create(ROWS, "b", {"n": 1})

    await store.transaction(forget)
    assert await read_row(store, "b") == {"n": 1}


async def test_an_increment_adds_to_what_is_there_and_absent_counts_as_nothing(
    store: Store,
) -> None:
    await create_row(store, "a", {"n": 5, "f": 0.5, "keep": "x"})
    await update_row(
        store,
        "a",
        {"n": Increment(-2), "f": Increment(0.25), "new": Increment(7), "odd.name": Increment(1)},
    )
    assert await read_row(store) == {"n": 3, "f": 0.75, "new": 7, "odd.name": 1, "keep": "x"}


async def test_several_writes_of_one_document_are_one_after_the_other(store: Store) -> None:
    async def many(tx: Transaction) -> None:
        tx.create(ROWS, "a", {"n": 1, "x": 1})
        tx.update(ROWS, "a", {"n": Increment(1), "y": 2, "new": Increment(3)})
        tx.update(ROWS, "a", {"n": Increment(1), "y": Increment(1)})
        tx.set(ROWS, "b", {"n": 1})
        tx.delete(ROWS, "b")

    await store.transaction(many)
    assert await read_row(store) == {"n": 3, "x": 1, "y": 3, "new": 3}
    assert await store.get(ROWS, "b") is None


async def test_two_unread_increments_in_one_transaction_add_up(store: Store) -> None:
    await create_row(store, "a", {"n": 1})

    async def twice(tx: Transaction) -> None:
        tx.update(ROWS, "a", {"n": Increment(2)})
        tx.update(ROWS, "a", {"n": Increment(3), "x": 1})

    await store.transaction(twice)
    assert await read_row(store) == {"n": 6, "x": 1}


async def test_a_transaction_of_several_hundred_documents_is_one_commit(store: Store) -> None:
    async def many(tx: Transaction) -> None:
        for n in range(400):
            tx.create(ROWS, f"{n:03}", {"n": n})

    await store.transaction(many)
    assert await store.aggregate(Query(collection=ROWS), total=["n"]) == {
        "count": 400,
        "n": sum(range(400)),
    }


async def test_several_values_are_read_in_the_order_of_their_ids(store: Store) -> None:
    await create_row(store, "a", {"count": 1})
    await create_row(store, "c", {"count": 3})
    assert await store.get_all(COUNTS, ["c", "b", "a"]) == [3, None, 1]
    assert await store.get_all(COUNTS, []) == []


async def test_several_values_are_of_one_moment(store_maker: StoreMaker) -> None:
    """What a transaction moves from one document to another is in exactly one of them.

    Google's emulator shows half of a commit: both documents come with one read time, one of
    them as it was before the commit. Firestore itself does not. So one move may be torn on the
    emulator, and none on a store of ours.
    """
    torn = 0 if store_maker.emulator is None else 1
    writer, reader = store_maker.open(), store_maker.open()
    await create_row(writer, "a", {"count": 50})
    await create_row(writer, "b", {"count": 50})
    is_over = False

    async def move(tx: Transaction) -> None:
        a, b = await tx.get(COUNTS, "a"), await tx.get(COUNTS, "b")
        assert a is not None
        assert b is not None
        amount = 1 if a else -b
        tx.set(COUNTS, "a", a - amount)
        tx.set(COUNTS, "b", b + amount)

    async def write() -> None:
        nonlocal is_over
        for _ in range(60):
            await writer.transaction(move)
            await asyncio.sleep(0)
        is_over = True

    writing = asyncio.create_task(write())
    seen = set()
    while not is_over:
        counts = await reader.get_all(COUNTS, ["a", "b"])
        assert abs(sum(count or 0 for count in counts) - 100) <= torn
        seen.add(tuple(counts))
        await asyncio.sleep(0)
    await writing
    assert len(seen) > 1
