"""Log formats: a JSON object per line for Cloud Logging, or a readable line for people."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TextIO

import msgspec

from taskreel.app.request_trace import request_id, trace_id, trace_parent

#: A record of which nothing is known.
_EMPTY = vars(logging.makeLogRecord({}))
#: The attributes of every record; all others are fields that the caller passed as `extra`.
_STANDARD = frozenset(_EMPTY) | {"message", "asctime", "taskName", "color_message"}
_SEVERITY = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_LEVEL_NAMES = {level: logging.getLevelName(level) for level in range(10, 60, 10)}
#: The loggers of the server.
_SERVER = "uvicorn"
#: A line's JSON, by C; of what JSON has no form for, its text.
_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure_logging(*, level: str, style: str, project: str | None = None) -> None:
    """Write all records of at least `level` to standard error; `style` is `json` or `text`.

    In `project` the lines of a request are shown with it, by its trace.
    """
    handler = _LineHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(project) if style == "json" else _TextFormatter())
    # Records of the places in the code where they were made are not written: the stack need not be
    # walked. Logging's documentation names this switch ("Optimization").
    logging._srcfile = None  # noqa: SLF001 - it is documented under this name
    logging.setLogRecordFactory(_PlainRecord)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes the lines of one turn of the event loop by one system call.

    A line of at least WARNING is written at once, with those before it, and so is any line outside
    of an event loop, and each of the server's own: it ends by the signal that stopped it, in the
    turn of its last line. At another end of the process `logging` writes the last lines. A
    process that is killed loses the lines of its present turn.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        #: Threads without an event loop write lines too.
        self._gathering = threading.RLock()
        #: The event loop that is to write them at the end of its turn.
        self._writer: asyncio.AbstractEventLoop | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Take the record. The filters of the class above are passed over: there are none."""
        try:
            line = f"{self.format(record)}\n"
        except Exception:  # noqa: BLE001 - as the class above: a log line never stops the work
            self.handleError(record)
            return True
        with self._gathering:
            self._lines.append(line)
            is_last = record.levelno >= logging.WARNING or record.name.startswith(_SERVER)
            if not is_last and self._is_written_soon():
                return True
        self.flush()
        return True

    def _is_written_soon(self) -> bool:
        """True if there is an event loop, which then writes the lines at the end of its turn."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        # A loop that ended before its turn did has not written its lines.
        if self._writer is not loop:
            self._writer = loop
            loop.call_soon(self.flush)
        return True

    def flush(self) -> None:
        """Write what has been gathered."""
        with self._gathering:
            lines, self._lines, self._writer = self._lines, [], None
            try:
                # The stream sends on what ends a line: it needs no flush.
                self.stream.write("".join(lines))
            except Exception:  # noqa: BLE001 - a log line never stops the work
                self.handleError(_PlainRecord(__name__, logging.ERROR, "", 0, "", (), None))


class _PlainRecord(logging.LogRecord):
    """A record without the facts that no format here writes: they take half of its time."""

    def __init__(
        self,
        name: str,
        level: int,
        _pathname: str,
        _lineno: int,
        msg: object,
        args: tuple[object, ...],
        exc_info: Any,
        *_unused: object,
    ) -> None:
        created = time.time()
        facts = self.__dict__ = _EMPTY.copy()  # a copy by C, of which eight are replaced
        facts["name"] = name
        facts["msg"] = msg
        facts["args"] = args[0] if len(args) == 1 and isinstance(args[0], dict) else args
        facts["levelname"] = _LEVEL_NAMES.get(level) or logging.getLevelName(level)
        facts["levelno"] = level
        facts["exc_info"] = exc_info
        facts["created"] = created
        facts["msecs"] = created % 1 * 1000


def _extra_fields(record: logging.LogRecord) -> dict[str, object]:
    # Those that every record has come first.
    others = islice(vars(record).items(), len(_EMPTY), None)
    return {name: value for name, value in others if name not in _STANDARD}


class _JsonFormatter(logging.Formatter):
    """Cloud Logging's structured form: `severity`, `message`, `time` and the extra fields."""

    def __init__(self, project: str | None) -> None:
        super().__init__()
        self._project = project
        #: The second of the last line, since 1970 and as text.
        self._second = -1.0, ""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "severity": _SEVERITY.get(record.levelname, record.levelname),
            "time": self._format_time(record.created),
            "message": record.getMessage(),
            "logger": record.name,
            **_extra_fields(record),
        }
        request = request_id.get()
        if request is not None:
            fields["request_id"] = request
        trace = trace_id.get()
        if trace and self._project:
            fields["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace}"
            recorded = trace_parent.get()
            if recorded:
                fields["logging.googleapis.com/spanId"] = recorded.split("-")[2]
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        try:
            return _encode(fields).decode()
        except (UnicodeEncodeError, TypeError, OverflowError):
            # A text that is not valid Unicode, perhaps a provider's, is written with escapes; a
            # number of more than 64 bits whole.
            return json.dumps(fields, default=str)

    def _format_time(self, at: float) -> str:
        """ISO 8601 with microseconds, in UTC. Of the lines of a second most is formatted once."""
        second, fraction = divmod(at, 1)
        last, text = self._second
        if last != second:
            text = datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()
            self._second = second, text
        return f"{text}.{int(fraction * 1_000_000):06d}+00:00"


class _TextFormatter(logging.Formatter):
    """`12:30:05 WARNING message  job_id=… code=…`."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{time} {record.levelname:<7} {record.getMessage()}"
        extra = " ".join(f"{name}={value}" for name, value in _extra_fields(record).items())
        if extra:
            line += f"  {extra}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line
