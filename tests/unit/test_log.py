from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from taskreel import log


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
