"""Files of earlier releases: brought to the present layout when they are opened.

Layout 1 has each time as a text, in columns and in `data`, and all fields in `data`. Layout 2 has
times as integers and a field that has a column in one place (`sqlite_tables`). What is in `data`
is read in either form and stays until its document is written; the columns are converted, since
their indexes compare them.

A migration that is interrupted goes on when the file is opened again: the number of the layout is
written last, and a value that is converted is not a text any more.
"""

from __future__ import annotations

import logging
import sqlite3

from taskreel.adapters.local.sqlite_tables import TIME, to_microseconds

log = logging.getLogger(__name__)

LAYOUT = 2
#: The rows of one commit.
_BATCH = 10_000


def migrate_file(connection: sqlite3.Connection) -> None:
    """Bring the file to the present layout. Raises sqlite3.Error; nothing is lost then."""
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if layout == LAYOUT:
        return
    if layout > LAYOUT:
        raise sqlite3.DatabaseError(
            f"the file has layout {layout}, of a newer release; this one reads up to {LAYOUT}"
        )
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    rows = sum(_migrate_table(connection, name) for (name,) in tables)
    connection.execute(f"PRAGMA user_version = {LAYOUT}")
    if rows:
        log.info(
            "the store of an earlier release was converted",
            extra={"action": "store_converted", "rows": rows},
        )


def _migrate_table(connection: sqlite3.Connection, table: str) -> int:
    """Convert the times in the columns of a table; return the number of its rows."""
    named = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    columns = [name for (name,) in named if name.startswith("f_")]
    (last,) = connection.execute(f'SELECT coalesce(max(rowid), 0) FROM "{table}"').fetchone()
    if not columns or not last:
        return 0
    # They are created anew when the table is opened, which is faster than updating them.
    indexes = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (table,),
    ).fetchall()
    for (index,) in indexes:
        connection.execute(f'DROP INDEX "{index}"')
    sets = ", ".join(f'"{column}" = {_convert_column(column)}' for column in columns)
    rows = 0
    for first in range(1, last + 1, _BATCH):
        within = (first, first + _BATCH - 1)
        sql = f'UPDATE "{table}" SET {sets} WHERE rowid BETWEEN ? AND ?'
        rows += connection.execute(sql, within).rowcount
    return rows


def _convert_column(column: str) -> str:
    """The column as layout 2 has it: a text that is the text of a time in `data` is a time."""
    time = f"json_extract(data, '$.{column.removeprefix('f_')}.\"{TIME}\"')"
    is_time = f'typeof("{column}") = \'text\' AND {time} = "{column}"'
    converted = to_microseconds(f'"{column}"')
    return f'CASE WHEN {is_time} THEN {converted} ELSE "{column}" END'
