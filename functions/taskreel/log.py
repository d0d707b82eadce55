"""Log formats: a JSON object per line for Cloud Logging, or a readable line for people."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from pydantic_core import PydanticSerializationError, to_json

from taskreel.app.request_trace import request_id, trace_id

#: The attributes of every record; all others are fields that the caller passed as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_SEVERITY = {"WARN": "WARNING", "FATAL": "CRITICAL"}


def configure_logging(*, level: str, style: str, project: str | None = None) -> None:
    """Write all records of at least `level` to standard error; `style` is `json` or `text`.

    In `project` the lines of a request are shown with it, by its trace.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter(project) if style == "json" else _TextFormatter())
    _leave_out_unused_facts()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _leave_out_unused_facts() -> None:
    """Have records made without facts that no format here writes; that takes half of their time.

    These are the switches of logging's own documentation ("Optimization").
    """
    # The caller's file and line, which are found by walking the stack.
    logging._srcfile = None  # noqa: SLF001 - the documented switch has this name
    logging.logThreads = False
    logging.logProcesses = False
    logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False


def _extra_fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class _JsonFormatter(logging.Formatter):
    """Cloud Logging's structured form: `severity`, `message`, `time` and the extra fields."""

    def __init__(self, project: str | None) -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "severity": _SEVERITY.get(record.levelname, record.levelname),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
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
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        try:
            return to_json(fields, fallback=str, inf_nan_mode="null").decode()
        except (PydanticSerializationError, UnicodeEncodeError):
            # A text that is not valid Unicode, perhaps a provider's: it is written with escapes.
            return json.dumps(fields, default=str)


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
