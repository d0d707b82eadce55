"""Queries as SQL over the tables of the SQLite store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskreel.adapters.local.sqlite_tables import DATA, Table, to_extracted
from taskreel.ports import Query

_SQL_OPERATORS = {"==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

#: A condition with a mark for each of its values, and the values.
_Clause = tuple[str, list[Any]]


def build_select(table: Table, query: Query[Any]) -> tuple[str, list[Any]]:
    """The SELECT statement of a query, and its values.

    Each value of an `in` on an index becomes a SELECT of its own, so that SQLite reads the index no
    further than the limit; their rows are then merged.
    """
    limit = "" if query.limit is None else f" LIMIT {int(query.limit)}"
    order = _full_order(query)
    columns = ", ".join(
        f"{table.expression(field)} AS o{position}" for position, (field, _) in enumerate(order)
    )
    by = ", ".join(f"o{position} {way}" for position, (_, way) in enumerate(order))
    names = table.names if query.fields is None else table.name_columns(query.fields)
    head = f"SELECT id, version, {DATA}{names}, {columns} FROM {table.name}"
    tail = f" ORDER BY {by}{limit}"
    clauses = _build_clauses(table, query)
    selects: list[str] = []
    values: list[Any] = []
    for split in _split_in_filter(table, query, clauses):
        where, added = _join_clauses(split)
        selects.append(f"{head}{where}{tail}")
        values += added
    if len(selects) == 1:
        return selects[0], values
    merged = " UNION ALL ".join(f"SELECT * FROM ({select})" for select in selects)
    return f"SELECT * FROM ({merged}) ORDER BY {by}{limit}", values


def build_aggregate(table: Table, query: Query[Any], total: Sequence[str]) -> tuple[str, list[Any]]:
    """The SELECT statement of a count and of sums over a query, and its values.

    With a limit no more rows than that are read, as on Firestore.
    """
    where, values = build_conditions(table, query)
    columns = "".join(f", {table.expression(field)} AS s{at}" for at, field in enumerate(total))
    sums = "".join(f", coalesce(sum(s{at}), 0)" for at in range(len(total)))
    limit = "" if query.limit is None else f" LIMIT {int(query.limit)}"
    return f"SELECT count(*){sums} FROM (SELECT 1{columns} FROM {table.name}{where}{limit})", values


def build_conditions(table: Table, query: Query[Any]) -> tuple[str, list[Any]]:
    """The WHERE clause of a query, and its values: the filters, then the cursor."""
    return _join_clauses(_build_clauses(table, query))


def _build_clauses(table: Table, query: Query[Any]) -> list[_Clause]:
    """The clauses of a query: one of each filter, in their order, and then the cursor's."""
    clauses = [_build_filter(table, *condition) for condition in query.where]
    if query.committed_from is not None:
        clauses.append(("version >= ?", [query.committed_from]))
    if query.after is not None:
        clauses.append(_build_cursor(table, query))
    return clauses


def _join_clauses(clauses: Sequence[_Clause]) -> tuple[str, list[Any]]:
    """The WHERE clause in which all of them hold, and its values."""
    if not clauses:
        return "", []
    text = " AND ".join([clause for clause, _ in clauses])
    return f" WHERE {text}", [value for _, values in clauses for value in values]


def _full_order(query: Query[Any]) -> list[tuple[str, str]]:
    """The query's order, then the id in the direction of the last field."""
    return [*query.order, ("__id__", query.order[-1][1] if query.order else "asc")]


def _split_in_filter(
    table: Table, query: Query[Any], clauses: list[_Clause]
) -> list[list[_Clause]]:
    """The clauses once for each value of an `in`, as an equality; else the clauses as they are.

    Of an `in` that no index with the query's order serves, one pass over the rows is the best.
    """
    if query.limit is None:
        return [clauses]
    ordered = {field for field, _ in query.order[:1]}
    for position, (field, operator, value) in enumerate(query.where):
        if operator != "in" or not value:
            continue
        if any({field, *ordered} <= set(names) for names in table.indexes):
            before, after = clauses[:position], clauses[position + 1 :]
            return [
                [*before, _build_filter(table, field, "==", one), *after]
                for one in dict.fromkeys(value)
            ]
    return [clauses]


def _build_filter(table: Table, field: str, operator: str, value: Any) -> _Clause:
    expression = table.expression(field)
    if operator == "==" and value is None:
        return f"{expression} IS NULL", []
    if operator == "in":
        marks = ", ".join("?" * len(value))
        return f"{expression} IN ({marks})", [table.to_sql(field, one) for one in value]
    if operator == "array-contains":
        clause = f"EXISTS (SELECT 1 FROM json_each(data, '$.{field}') WHERE value = ?)"
        return clause, [to_extracted(value)]
    return f"{expression} {_SQL_OPERATORS[operator]} ?", [table.to_sql(field, value)]


def _build_cursor(table: Table, query: Query[Any]) -> _Clause:
    """The clause for the rows after a cursor, and its values.

    Those are the rows with a greater first field, or an equal first and a greater second one, and
    so on to the id; "greater" means less where a field's order is descending.

    Raises ValueError for a cursor whose number of values does not fit the order.
    """
    order = _full_order(query)
    after = list(query.after or ())
    if len(after) != len(order):
        raise ValueError(f"the cursor needs {len(order)} values, not {len(after)}")
    alternatives: list[str] = []
    values: list[Any] = []
    for depth, (field, way) in enumerate(order):
        equal = [f"{table.expression(name)} IS ?" for name, _ in order[:depth]]
        for (name, _), value in zip(order[:depth], after, strict=False):
            values.append(table.to_sql(name, value))
        values.append(table.to_sql(field, after[depth]))
        greater = f"{table.expression(field)} {'>' if way == 'asc' else '<'} ?"
        alternatives.append(" AND ".join([*equal, greater]))
    clause = f"({' OR '.join(f'({alternative})' for alternative in alternatives)})"
    if after[0] is None:
        return clause, values
    # The bound of the first field is stated once more alone: from an OR, SQLite does not find out
    # at which place of the index to begin.
    field, way = order[0]
    bound = f"{table.expression(field)} {'>=' if way == 'asc' else '<='} ?"
    return f"{bound} AND {clause}", [table.to_sql(field, after[0]), *values]
