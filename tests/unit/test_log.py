from __future__ import annotations

import json
import logging
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
