"""The contract of the Store port for queries, aggregates and pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from taskreel.app.query_pages import read_pages
from taskreel.ports import MOST_IN, Query, Row, Store, Transaction

from .rows import NOON, ROWS, create_row, delete_row

CONTENT: dict[str, dict[str, Any]] = {
    "a": {
        "owner": "ann",
        "kind": "image",
        "n": 1,
        "at": NOON,
        "tags": ["x", "y"],
        "gone": None,
        "in": {"side": 1},
    },
    "b": {
        "owner": "ann",
        "kind": "video",
        "n": 2,
        "at": NOON + timedelta(seconds=1),
        "tags": [],
        "gone": None,
        "in": {"side": 2},
    },
    "c": {
        "owner": "bob",
        "kind": "image",
        "n": 2,
        "at": NOON + timedelta(microseconds=1),
        "tags": ["y"],
        "gone": NOON,
        "in": {"side": 2},
    },
    "d": {
        "owner": "ann",
        "kind": "audio",
        "n": 3,
        "at": None,
        "tags": ["x"],
        "gone": None,
        "in": {"side": 3},
    },
    "e": {
        "owner": "cat",
        "kind": "image",
        "n": -1,
        "at": NOON - timedelta(days=400),
        "tags": ["y", "x"],
        "gone": NOON,
        "in": {"side": 3},
    },
}


@pytest.fixture
async def rows(store: Store) -> Store:
    async def write(tx: Transaction) -> None:
        for id_, data in CONTENT.items():
            tx.create(ROWS, id_, data)

    await store.transaction(write)
    return store


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ([], "abcde"),
        ([("owner", "==", "ann")], "abd"),
        ([("owner", "==", "nobody")], ""),
        ([("gone", "==", None)], "abd"),
        ([("at", "==", NOON)], "a"),
        ([("n", "==", 2), ("owner", "==", "bob")], "c"),
        ([("kind", "in", ["video", "audio", "never"])], "bd"),
        ([("at", "in", [NOON])], "a"),
        ([("kind", "in", [])], ""),
        ([("n", "in", list(range(MOST_IN)))], "abcd"),
        ([("n", "<", 2)], "ae"),
        ([("n", "<=", 2)], "abce"),
        ([("n", ">", 2)], "d"),
        ([("n", ">=", 2)], "bcd"),
        ([("n", ">=", 1), ("n", "<", 3)], "abc"),
        ([("at", "<=", NOON)], "ae"),
        ([("at", ">", NOON)], "bc"),
        ([("at", ">=", NOON), ("at", "<", NOON + timedelta(seconds=1))], "ac"),
        ([("owner", "==", "ann"), ("at", ">", NOON)], "b"),
        ([("tags", "array-contains", "x")], "ade"),
        ([("tags", "array-contains", "y"), ("owner", "==", "bob")], "c"),
        ([("in.side", "==", 2)], "bc"),
        ([("kind", "==", "image"), ("owner", "in", ["bob", "cat"]), ("n", "<", 5)], "ce"),
    ],
    ids=str,
)
async def test_filters_find_the_rows_that_match_all_of_them(
    rows: Store, where: Any, found: str
) -> None:
    documents = await rows.query(Query(collection=ROWS, where=tuple(where)))
    assert "".join(sorted(document.id for document in documents)) == found
    assert {document.id: document.data for document in documents} == {
        id_: CONTENT[id_] for id_ in found
    }


def test_a_query_for_more_values_than_firestore_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 30"):
        Query(collection=ROWS, where=(("n", "in", list(range(MOST_IN + 1))),))


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ([("n", "asc")], "eabcd"),
        ([("n", "desc")], "dcbae"),
        ([("kind", "asc"), ("n", "asc")], "deacb"),
        ([("kind", "asc"), ("n", "desc")], "dcaeb"),
        ([("kind", "desc")], "becad"),
        ([("at", "desc")], "bcaed"),
        ([("at", "asc")], "deacb"),
    ],
    ids=str,
)
async def test_rows_come_in_order_and_ties_by_id_in_the_last_direction(
    rows: Store, order: Any, found: str
) -> None:
    documents = await rows.query(Query(collection=ROWS, order=tuple(order)))
    assert "".join(document.id for document in documents) == found


@pytest.mark.parametrize(
    "order",
    [
        (),
        (("n", "asc"),),
        (("n", "desc"),),
        (("kind", "asc"), ("n", "desc")),
        (("kind", "desc"), ("n", "asc")),
    ],
    ids=str,
)
async def test_pages_of_one_row_show_each_row_once_in_order(rows: Store, order: Any) -> None:
    whole = await rows.query(Query(collection=ROWS, order=order))
    paged: list[Row[Mapping[str, Any]]] = []
    after: tuple[Any, ...] | None = None
    while page := await rows.query(Query(collection=ROWS, order=order, limit=1, after=after)):
        paged += page
        after = (*(page[-1].data[field] for field, _ in order), page[-1].id)
    assert [row.id for row in paged] == [row.id for row in whole]


async def test_a_limit_bounds_the_rows(rows: Store) -> None:
    documents = await rows.query(
        Query(collection=ROWS, where=(("owner", "==", "ann"),), order=(("n", "desc"),), limit=2)
    )
    assert [document.id for document in documents] == ["d", "b"]


@pytest.mark.parametrize(
    ("fields", "of_a", "of_d"),
    [
        (
            ("owner", "at", "n", "tags", "in", "missing"),
            ("ann", NOON, 1, ["x", "y"], {"side": 1}, None),
            ("ann", None, 3, ["x"], {"side": 3}, None),
        ),
        (("n", "in.side", "owner.side", "in.other"), (1, 1, None, None), (3, 3, None, None)),
    ],
)
async def test_rows_have_the_named_fields_alone(
    rows: Store, fields: tuple[str, ...], of_a: tuple[Any, ...], of_d: tuple[Any, ...]
) -> None:
    query = Query(collection=ROWS, where=(("owner", "in", ["ann"]),), fields=fields)
    documents = {row.id: row.data for row in await rows.query(query)}
    assert set(documents) == {"a", "b", "d"}
    assert documents["a"] == dict(zip(fields, of_a, strict=True))
    assert documents["d"] == dict(zip(fields, of_d, strict=True))


async def test_pages_of_named_fields_go_on_behind_their_rows(rows: Store) -> None:
    query = Query(
        collection=ROWS,
        where=(("owner", "in", ["ann", "bob", "cat"]),),
        order=(("at", "asc"),),
        limit=2,
        fields=("kind", "at"),
    )
    found = [row async for page in read_pages(rows, query) for row in page]
    assert [row.id for row in found] == ["d", "e", "a", "c", "b"]
    assert {row.id: row.data["kind"] for row in found} == {
        id_: data["kind"] for id_, data in CONTENT.items()
    }


async def test_names_and_times_within_a_named_field_are_as_they_were_written(store: Store) -> None:
    inner = {"\ue000": 1, "\ue000\ue000": [NOON, {"at": NOON}], "~": "\ue001", "__x__": None}
    await create_row(store, "a", {"first": "a", "inner": inner, "text": "\ue001"})
    await create_row(store, "b", {"first": "\ue001b", "inner": {}, "text": "b"})
    query = Query(collection=ROWS, fields=("first", "inner", "text"))
    assert [row.data for row in await store.query(query)] == [
        {"first": "a", "inner": inner, "text": "\ue001"},
        {"first": "\ue001b", "inner": {}, "text": "b"},
    ]


async def test_a_cursor_stands_where_it_is_while_rows_are_added_around_it(store: Store) -> None:
    for n in range(10):
        await create_row(store, f"old{n}", {"owner": "ann", "at": NOON + timedelta(seconds=n)})
    seen: list[str] = []
    after: tuple[Any, ...] | None = None
    newest = Query(
        collection=ROWS, where=(("owner", "==", "ann"),), order=(("at", "desc"),), limit=3
    )
    while page := await store.query(replace(newest, after=after)):
        seen += [row.id for row in page]
        after = (page[-1].data["at"], page[-1].id)
        await create_row(
            store, f"new{len(seen)}", {"owner": "ann", "at": NOON + timedelta(minutes=len(seen))}
        )
        await create_row(store, f"tie{len(seen)}", {"owner": "bob", "at": page[-1].data["at"]})
    assert seen == [f"old{n}" for n in reversed(range(10))]


async def test_a_cursor_survives_the_row_it_was_taken_from(rows: Store) -> None:
    (first,) = await rows.query(Query(collection=ROWS, order=(("n", "asc"),), limit=1))
    await delete_row(rows, first.id)
    rest = await rows.query(
        Query(collection=ROWS, order=(("n", "asc"),), after=(first.data["n"], first.id))
    )
    assert [row.id for row in rest] == ["a", "b", "c", "d"]


async def test_a_query_sees_what_was_committed_before_it(store: Store) -> None:
    for n in range(20):
        await create_row(store, f"{n:02}", {"owner": "ann"})
        assert (
            len(await store.query(Query(collection=ROWS, where=(("owner", "==", "ann"),)))) == n + 1
        )


async def test_aggregates_count_and_add_without_reading_rows(rows: Store) -> None:
    assert await rows.aggregate(Query(collection=ROWS)) == {"count": 5}
    images = Query(collection=ROWS, where=(("kind", "==", "image"),))
    assert await rows.aggregate(images, total=["n"]) == {"count": 3, "n": 2}
    assert await rows.aggregate(Query(collection=ROWS, where=(("n", ">", 1),)), total=["n"]) == {
        "count": 3,
        "n": 7,
    }


async def test_aggregates_over_nothing_are_zero(rows: Store) -> None:
    nobody = Query(collection=ROWS, where=(("owner", "==", "nobody"),))
    assert await rows.aggregate(nobody, total=["n", "missing"]) == {
        "count": 0,
        "n": 0,
        "missing": 0,
    }
    nothing = Query(collection=ROWS, where=(("kind", "in", []),))
    assert await rows.aggregate(nothing, total=["n"]) == {"count": 0, "n": 0}


async def test_pages_over_several_values_follow_one_another(store: Store) -> None:
    """The sweep reads its shards so: page after page, each row once."""
    for number in range(7):
        at = NOON + timedelta(seconds=number % 3)
        await create_row(store, f"r{number}", {"shard": number % 4, "at": at})
    query = Query(
        collection=ROWS,
        where=(("shard", "in", [0, 1, 2, 3]), ("at", "<=", NOON + timedelta(hours=1))),
        order=(("at", "asc"),),
        limit=3,
    )
    found: list[str] = []
    while True:
        page = await store.query(query)
        found += [row.id for row in page]
        if len(page) < 3:
            break
        query = replace(query, after=(page[-1].data["at"], page[-1].id))
    assert found == ["r0", "r3", "r6", "r1", "r4", "r2", "r5"]


async def test_what_was_committed_later_is_found_by_the_number_of_a_commit(store: Store) -> None:
    await create_row(store, "a", {"n": 1})
    await create_row(store, "b", {"n": 1})
    every: Query[Mapping[str, Any]] = Query(collection=ROWS, where=(("n", "==", 1),))
    first, second = await store.query(every)
    later = replace(every, committed_from=second.commit_number)
    assert first.commit_number < second.commit_number
    assert [row.id for row in await store.query(later)][-1] == "b"
