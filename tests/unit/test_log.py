from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from taskreel import log

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str], style: str) -> list[str]:
    """The lines that are printed of a warning with fields, and of an error with its exception."""
    log.configure_logging(level="INFO", style=style)
    logger = logging.getLogger("taskreel.test")
    logger.debug("too fine")
    logger.warning("careful, %s", "you", extra={"action": "care", "job_id": "job_1"})
    logger.error("broken", exc_info=ValueError("oh"))
    return capsys.readouterr().err.splitlines()


def test_json_is_a_line_an_event_as_cloud_logging_reads_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    warning, broken = map(json.loads, lines(capsys, "json"))
    assert (warning["severity"], warning["message"]) == ("WARNING", "careful, you")
    assert (warning["action"], warning["job_id"], warning["logger"]) == (
        "care",
        "job_1",
        "taskreel.test",
    )
    assert broken["severity"] == "ERROR"
    assert "ValueError: oh" in broken["exception"]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    warning, broken, *trace = lines(capsys, "text")
    assert warning.endswith("WARNING careful, you  action=care job_id=job_1")
    assert broken.endswith("ERROR   broken")
    assert trace[-1] == "ValueError: oh"


def test_what_json_cannot_say_is_said_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure_logging(level="INFO", style="json")
    logging.getLogger("x").info("odd", extra={"thing": ValueError("oh"), "several": {1}})
    line = json.loads(capsys.readouterr().err)
    assert (line["thing"], line["several"]) == ("oh", [1])


def test_a_text_that_is_not_valid_unicode_is_logged_with_escapes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure_logging(level="INFO", style="json")
    logging.getLogger("x").info("said %s", "\ud800", extra={"code": "odd"})
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["code"]) == ("said \ud800", "odd")


def test_a_number_of_more_than_64_bits_is_logged_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure_logging(level="INFO", style="json")
    logging.getLogger("x").info("counted", extra={"number": 2**70})
    assert json.loads(capsys.readouterr().err)["number"] == 2**70


#: Of those with an exponent one writes 1e16, the other 1e+16.
_FLOATS = st.floats(1e-4, 1e15) | st.sampled_from([0.0, -0.0, float("nan"), float("inf")])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.dictionaries(st.from_regex("own_[a-z]{1,6}", fullmatch=True), _VALUES, max_size=4)


@given(fields=_FIELDS, message=st.text())
def test_a_line_is_the_json_that_pydantic_writes(fields: dict[str, object], message: str) -> None:
    record = logging.makeLogRecord({"msg": message, "name": "x", "levelname": "INFO", **fields})
    line = log._JsonFormatter(None).format(record)
    time = json.loads(line)["time"]
    others = {"severity": "INFO", "time": time, "message": message, "logger": "x", **fields}
    assert line == to_json(others, inf_nan_mode="null").decode()


@given(times=st.lists(st.floats(min_value=0, max_value=1e11), min_size=1, max_size=4))
def test_the_time_of_a_line_is_that_of_its_record(times: list[float]) -> None:
    form = log._JsonFormatter(None)
    for at in times:
        line = form.format(logging.makeLogRecord({"msg": "done", "created": at}))
        text = json.loads(line)["time"]
        assert text.endswith("+00:00")
        assert abs(datetime.fromisoformat(text) - datetime.fromtimestamp(at, UTC)) <= MICROSECOND


class _Stream(io.StringIO):
    """A stream that lists what is written to it, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []

    def write(self, text: str, /) -> int:
        """Note the messages of a call."""
        self.calls.append([json.loads(line)["message"] for line in text.splitlines()])
        return len(text)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> _Stream:
    found = _Stream()
    monkeypatch.setattr("sys.stderr", found)
    log.configure_logging(level="INFO", style="json")
    return found


async def test_the_lines_of_one_turn_of_the_event_loop_are_one_write(
    stream: _Stream,
) -> None:
    logger = logging.getLogger("x")
    logger.info("one")
    logger.info("two")
    assert stream.calls == []
    await asyncio.sleep(0)
    assert stream.calls == [["one", "two"]]
    logger.info("three")
    await asyncio.sleep(0)
    assert stream.calls[1:] == [["three"]]


async def test_a_warning_is_written_at_once_with_the_lines_before_it(stream: _Stream) -> None:
    logger = logging.getLogger("x")
    logger.info("one")
    logger.warning("two")
    assert stream.calls == [["one", "two"]]


async def test_a_line_of_another_thread_is_written_at_once(stream: _Stream) -> None:
    logger = logging.getLogger("x")
    logger.info("one")
    await asyncio.to_thread(logger.info, "two")
    assert [name for names in stream.calls for name in names] == ["one", "two"]


def test_lines_of_an_event_loop_that_ended_are_not_lost(stream: _Stream) -> None:
    async def log_and_stop(text: str) -> None:
        logging.getLogger("x").info(text)
        asyncio.get_running_loop().stop()

    for text in ("one", "two"):
        loop = asyncio.new_event_loop()
        task = loop.create_task(log_and_stop(text))
        loop.run_forever()
        loop.close()
        assert task.done()
    # As the interpreter does at its end.
    logging.getLogger().handlers[0].flush()
    assert [name for names in stream.calls for name in names] == ["one", "two"]


_SERVER = """
import os, signal, logging, uvicorn
from taskreel.log import configure_logging

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        logging.getLogger("taskreel").info("the last of the application")
        await send({"type": "lifespan.shutdown.complete"})

class Server(uvicorn.Server):
    async def main_loop(self):
        os.kill(os.getpid(), signal.SIGTERM)
        await super().main_loop()

configure_logging(level="INFO", style="json")
Server(uvicorn.Config(app, port=0, log_config=None)).run()
"""


def test_the_last_lines_of_a_server_that_is_stopped_are_written() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _SERVER], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGTERM, ended.stderr  # as uvicorn ends by default
    messages = [json.loads(line)["message"] for line in ended.stderr.splitlines()]
    assert "the last of the application" in messages
    assert messages[-1].startswith("Finished server process")
