"""The layout of documents in SQLite.

A collection is a table with the columns `id`, `version` and `data`, and a column `f_{field}` for
each field that an index needs. Such a field is stored once: a text and a time are in their column
alone, the time as an integer, the microseconds since 1970. Any other value of it is in `data` too.
What a table has a column for it has for ever: the column is read although no index needs it now.

`data` is the rest of the document as JSON, in which a time is an object with one reserved key and
the same integer; a document's own key that begins with that character is written with the
character doubled. The document's id is not repeated in its first field, which has a mark instead.
Earlier releases wrote each time as a text (`sqlite_migration`), and fields with
a column into `data` as well: what is in `data` counts. Here it is bytes, and a text in SQLite:
Python's own texts would be made of them, and they of those, for nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

import msgspec
import orjson

#: The key that marks a time in the JSON: a private-use character. Callers may use it as well.
TIME = "\ue000"
_ESCAPED = TIME * 2
_TIME_BYTES, _ESCAPED_BYTES = TIME.encode(), _ESCAPED.encode()
#: The value of a document's first field that stands for its id. A text of its own that begins so is
#: written with one more.
_ID = "\ue001"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

#: The SQL expressions of `data` as bytes, and of bytes as it has them.
DATA = "CAST(data AS BLOB)"
_TO_TEXT = "CAST(? AS TEXT)"

#: A collection's name and an id.
Key = tuple[str, str]

#: Times are for `mark_time`. A key may be an enum member of a string type, such as a status.
_JSON_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS

_CONTAINERS: frozenset[type[Any]] = frozenset({dict, list})
#: Classes whose instances are texts: enums are added when they are met.
_TEXTS: set[type[Any]] = set()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoredDocument(msgspec.Struct, eq=False):
    """A document in memory: as it is in the file, or as the next commit writes it."""

    id: str
    #: The JSON in UTF-8; none of a deleted one, and of one that is still to be encoded.
    text: bytes
    #: The values of the indexed fields' own columns,
    columns: tuple[Any, ...]
    version: int
    #: and those that the file has; None if it has no such row.
    stored: tuple[Any, ...] | None = None
    #: What the text is decoded to, if that may be shared.
    value: Any = None
    #: The codec of a value that is still to be encoded, by `Table.complete`.
    encode: Callable[[Any], Mapping[str, Any]] | None = None
    #: True if the document does not exist any more.
    is_deleted: bool = False
    #: False where it was created here and nothing that follows it (`Collection.follows`) has been
    #: since: then there is none, in the file neither. True of what was read from the file.
    has_followers: bool = False


class Table:
    """A collection's table. `fields` are those with a column of their own; `indexes` have some.

    Raises ValueError for a name that is not plain, so that names can be put into SQL.
    """

    def __init__(
        self, collection: str, fields: Sequence[str], indexes: Sequence[Sequence[str]] = ()
    ) -> None:
        if not _NAME.fullmatch(collection):
            raise ValueError(f"not a collection name: {collection!r}")
        self.name = f'"{collection}"'
        self.fields = tuple(fields)
        self.indexes = [tuple(names) for names in indexes]
        self._columns = {field: f'"f_{field}"' for field in fields}
        #: The columns of the fields, for a statement that reads `data` and these.
        self.names = "".join(f", {column}" for column in self._columns.values())
        self._empty: tuple[Any, ...] = (None,) * len(self.fields)
        #: The statements that write a document: if the row is new, and which columns change.
        self._writes: dict[tuple[bool, tuple[int, ...]], str] = {}
        #: Reads one document by its id, for `restore`.
        self.select = f"SELECT version, {DATA}{self.names} FROM {self.name} WHERE id = ?"

    def expression(self, field: str) -> str:
        """The SQL expression that reads a field."""
        if field == "__id__":
            return "id"
        if field in self._columns:
            return self._columns[field]
        if not all(_NAME.fullmatch(part) for part in field.split(".")):
            raise ValueError(f"not a field name: {field!r}")
        return read_field(field)

    def to_sql(self, field: str, value: Any) -> Any:
        """Convert a value for a comparison with `expression(field)`."""
        return _to_column(value) if field in self._columns else to_extracted(value)

    def encode(self, id_: str, data: Mapping[str, Any], version: int) -> StoredDocument:
        """Encode a document. Raises TypeError for a value that cannot be stored."""
        rest, columns = self._divide(id_, data)
        return StoredDocument(id_, _dump_json(rest), columns, version)

    def complete(self, document: StoredDocument) -> None:
        """Encode a document that was written as a value."""
        if document.encode is None:
            return
        data = document.encode(document.value)
        try:
            rest, document.columns = self._divide(document.id, data)
            document.text = _dump_json(rest)
        except TypeError:
            # Its transaction has ended and cannot fail any more: store the nearest that a store can
            # have.
            rest, document.columns = self._divide(document.id, _make_storable(data))
            document.text = _dump_json(rest)
        document.encode = None

    def load(self, id_: str, text: bytes, columns: Sequence[Any]) -> dict[str, Any]:
        """Read a stored document."""
        document: dict[str, Any] = load_json(text)
        _restore_id(document, id_)
        for field, value in zip(self.fields, columns, strict=True):
            if value is not None and field not in document:
                document[field] = _to_time(value) if value.__class__ is int else value
        return document

    def name_columns(self, fields: Sequence[str]) -> str:
        """The columns of the fields, as `names`: of those that have one."""
        return "".join(f", {self._columns[one]}" for one in fields if one in self._columns)

    def build_reader(
        self, fields: Sequence[str] | None
    ) -> Callable[[Sequence[Any]], dict[str, Any]]:
        """The reader of rows: an id, a version, `data`, `name_columns(fields)`, perhaps more.

        Without `fields` the columns are `names`. With them a document is these fields alone, in
        which times are restored: of the whole that takes longer than the JSON itself.
        """
        if fields is None:
            end = 3 + len(self.fields)
            return lambda row: self.load(row[0], row[2], row[3:end])
        with_column = [name for name in fields if name in self._columns]
        columns = [(name, 3 + at) for at, name in enumerate(with_column)]
        others = [(name, name.split(".")) for name in fields if name not in self._columns]
        return partial(_read_fields, frozenset(fields), columns, others)

    def load_document(self, document: StoredDocument) -> dict[str, Any]:
        """The data of a document, which must exist."""
        self.complete(document)
        return self.load(document.id, document.text, document.columns)

    def _divide(self, id_: str, data: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Any, ...]]:
        """The part of a document that is stored as JSON, and the values of the columns."""
        rest = {**data}
        columns: list[Any] = [None] * len(self.fields)
        for position, field in enumerate(self.fields):
            if field not in rest:
                continue
            value = rest[field]
            kind = value.__class__
            if kind is str or kind in _TEXTS:
                columns[position] = value if value.isascii() else _check_text(value)
                del rest[field]
            elif kind is datetime:
                columns[position] = _to_integer(value)
                del rest[field]
            elif kind is int:
                columns[position] = value
            elif value is not None:
                columns[position] = _to_column(value)
                if isinstance(value, str):
                    _TEXTS.add(kind)
        _mark_id(rest, id_)
        return rest, tuple(columns)

    def restore(self, id_: str, version: int, text: bytes, *columns: Any) -> StoredDocument:
        """The document of a row that `select` has found."""
        document = StoredDocument(id_, text, columns, version)
        document.stored, document.has_followers = columns, True
        return document

    def build_write(self, document: StoredDocument) -> tuple[str, tuple[Any, ...]] | None:
        """The statement that brings a document into the file, and its values; None if none is due.

        It writes only the columns that change: an update then leaves the other indexes alone, and
        an insert has no empty values, of which Python's module looks for an adapter each time.
        """
        stored = document.stored
        if document.is_deleted:
            return (
                None
                if stored is None
                else (f"DELETE FROM {self.name} WHERE id = ?", (document.id,))
            )
        self.complete(document)
        columns, before = document.columns, self._empty if stored is None else stored
        changed = tuple([at for at, value in enumerate(columns) if value != before[at]])
        values = [columns[at] for at in changed]
        sql = self._writes.get((stored is None, changed))
        if sql is None:
            sql = self._build_statement(changed, is_new=stored is None)
        if stored is None:
            return sql, (document.id, document.version, document.text, *values)
        return sql, (document.version, document.text, *values, document.id)

    def _build_statement(self, changed: tuple[int, ...], *, is_new: bool) -> str:
        names = [self._columns[self.fields[at]] for at in changed]
        if is_new:
            into, marks = ", ".join(["id, version, data", *names]), ", ?" * len(names)
            sql = f"INSERT INTO {self.name} ({into}) VALUES (?, ?, {_TO_TEXT}{marks})"
        else:
            sets = "".join(f", {name} = ?" for name in names)
            sql = f"UPDATE {self.name} SET version = ?, data = {_TO_TEXT}{sets} WHERE id = ?"
        self._writes[is_new, changed] = sql
        return sql


def _read_fields(
    fields: frozenset[str],
    columns: Sequence[tuple[str, int]],
    others: Sequence[tuple[str, Sequence[str]]],
    row: Sequence[Any],
) -> dict[str, Any]:
    """Some fields of a row: those with a column, and its place in the row; the paths of others.

    A start reads 100,000 rows so: most of them without a call of another function of Python.
    """
    document: dict[str, Any] = orjson.loads(row[2])
    for first in document:
        if first in fields:
            _restore_id(document, row[0])
        break
    found: dict[str, Any] = {}
    for name, place in columns:
        value = document.get(name)
        if value is None:
            value = row[place]
            if value.__class__ is int:
                value = _EPOCH + timedelta(0, 0, value)
        found[name] = value
    for name, path in others:
        value = document
        for part in path:
            value = value.get(part) if value.__class__ is dict else None
        found[name] = value
    for name, value in found.items():
        if value.__class__ in _CONTAINERS:
            found[name] = _restore_json(value, row[2])
    return found


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def load_json(text: bytes) -> Any:
    """Read the JSON of a document."""
    return _restore_json(orjson.loads(text), text)


def _restore_json(value: Any, text: bytes) -> Any:
    """Restore the times and keys of a JSON value, which the text contains."""
    restored = _restore_times(value)
    return _unescape_keys(restored) if _ESCAPED_BYTES in text else restored


def _mark_id(document: dict[str, Any], id_: str) -> None:
    """Put the mark that stands for the id in the first field, if that has it."""
    for name, value in document.items():
        if value == id_:
            document[name] = _ID
        elif value.__class__ is str and value.startswith(_ID):
            document[name] = _ID + value
        break


def _restore_id(document: dict[str, Any], id_: str) -> None:
    """Put the id back for the mark that may stand for it in the first field."""
    for name, value in document.items():
        if value.__class__ is str and value.startswith(_ID):
            document[name] = id_ if value == _ID else value[1:]
        break


def _dump_json(value: Any) -> bytes:
    times = 0

    def mark_time(value: Any) -> dict[str, int]:
        """Encode a time, for which JSON has no type. Raises TypeError for any other value."""
        nonlocal times
        if not isinstance(value, datetime):
            raise TypeError(f"a document field cannot be of type {type(value).__name__}")
        times += 1
        return {TIME: _to_integer(value)}

    try:
        text = orjson.dumps(value, mark_time, _JSON_OPTIONS)
        if text.count(_TIME_BYTES) != times:
            # A caller's text or key has the character as well, which is rare: search for keys.
            text = orjson.dumps(_escape_keys(value), mark_time, _JSON_OPTIONS)
    except TypeError as error:
        raise (error.__cause__ or error) from None
    return text


def _make_storable(value: Any) -> Any:
    """Copy a value without half surrogate pairs and without integers of more than 64 bits.

    They become replacement characters and floats.
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    if isinstance(value, Mapping):
        return {_make_storable(name): _make_storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_make_storable(inner) for inner in value]
    return value


def _escape_keys(value: Any) -> Any:
    """Copy a value with the mark doubled in each key that begins with it."""
    if isinstance(value, Mapping):
        return {
            (TIME + name if str(name).startswith(TIME) else name): _escape_keys(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_escape_keys(inner) for inner in value]
    return value


@lru_cache(maxsize=1024)
def _to_integer(value: datetime) -> int:
    """The microseconds since 1970.

    Remembered: one change of a job stores the same time in several places, and the next again.
    """
    if value.tzinfo is None:
        raise TypeError(f"a stored time needs a time zone: {value!r}")
    since = value - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _to_time(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


def _check_text(text: str) -> str:
    """The text. Raises TypeError for half a surrogate pair, as JSON does."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TypeError(f"a text cannot be stored: {error}") from None
    return text


def _restore_times(value: Any) -> Any:
    """Replace the marked times in a JSON value by datetimes, in place where possible."""
    if isinstance(value, dict):
        if TIME in value:
            time = _parse_time(value)
            if time is not None:
                return time
        for name, inner in value.items():
            kind = inner.__class__
            if kind is dict and len(inner) == 1 and TIME in inner:
                time = _parse_time(inner)
                value[name] = inner if time is None else time
            elif kind in _CONTAINERS:
                value[name] = _restore_times(inner)
    elif isinstance(value, list):
        value[:] = [
            _restore_times(inner) if inner.__class__ in _CONTAINERS else inner for inner in value
        ]
    return value


def _parse_time(value: Mapping[str, Any]) -> datetime | None:
    """The marked time; None for an object that only resembles one, which older versions wrote."""
    if len(value) != 1:
        return None
    if value[TIME].__class__ is int:
        return _to_time(value[TIME])
    with contextlib.suppress(ValueError, TypeError):
        time = datetime.fromisoformat(value[TIME])
        return None if time.tzinfo is None else time
    return None


def _unescape_keys(value: Any) -> Any:
    """Undo `_escape_keys`."""
    if isinstance(value, dict):
        return {
            name[1:] if name.startswith(_ESCAPED) else name: _unescape_keys(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_unescape_keys(inner) for inner in value]
    return value


def _to_column(value: Any) -> Any:
    """Convert a value for a comparison with a field's own column."""
    if isinstance(value, datetime):
        return _to_integer(value)
    return value if isinstance(value, str | int | float | None) else _dump_json(value).decode()


def read_field(field: str) -> str:
    """The SQL expression of a field that has no column, or of what its column is to have.

    Times of both layouts (see sqlite_migration) become integers, so that they compare.
    """
    time = f"json_extract(data, '$.{field}.\"{TIME}\"')"
    value = f"json_extract(data, '$.{field}')"
    return (
        f"CASE typeof({time}) WHEN 'text' THEN {to_microseconds(time)} "
        f"WHEN 'integer' THEN {time} ELSE {value} END"
    )


def to_microseconds(text: str) -> str:
    """The SQL expression of a time from its text of layout 1, `2026-01-01T00:00:00.000000+00:00`.

    SQLite's own fractions are milliseconds, so it gets the seconds alone.
    """
    seconds = f"CAST(strftime('%s', substr({text}, 1, 19)) AS INTEGER)"
    return f"{seconds} * 1000000 + CAST(substr({text}, 21, 6) AS INTEGER)"


def to_extracted(value: Any) -> Any:
    """Convert a field's value to what `json_extract` gives for it."""
    if isinstance(value, datetime):
        return _to_integer(value)
    return _dump_json(value).decode() if isinstance(value, dict | list) else value
