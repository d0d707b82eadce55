"""The id of a request: the client's or a new one, in the answer and in each log line."""

from __future__ import annotations

import json
import logging

import httpx
import pytest

from functions.job_requests import IMAGE
from simulation.world import World
from taskreel.app.request_trace import request_id
from taskreel.log import configure_logging


@pytest.mark.parametrize("path", ["/api/jobs/job_none", "/api/jobs", "/api/nothing"])
async def test_an_answer_has_the_id_that_the_client_sent(ada: httpx.AsyncClient, path: str) -> None:
    answer = await ada.get(path, headers={"X-Request-Id": "order-7/a"})
    assert answer.headers.get_list("x-request-id") == ["order-7/a"]


async def test_a_request_without_an_id_gets_one_of_its_own(ada: httpx.AsyncClient) -> None:
    answers = [await ada.post(IMAGE, json={"prompt": "a kite"}) for _ in range(2)]
    first, second = (answer.headers["x-request-id"] for answer in answers)
    assert first != second
    assert len(first) == 32


@pytest.mark.parametrize("given", ["a b", "x" * 129, 'x","severity":"ERROR', ""])
async def test_an_id_that_is_not_fit_for_a_log_line_is_replaced(
    ada: httpx.AsyncClient, given: str
) -> None:
    answer = await ada.get("/api/jobs", headers={"X-Request-Id": given})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != given


async def test_an_answer_without_a_token_has_an_id_too(world: World) -> None:
    async with world.as_user("ada") as client:
        refused = await client.get("/api/jobs", headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert refused.headers["x-request-id"]


def test_a_log_line_names_the_request_that_it_was_written_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    token = request_id.set("order-7")
    try:
        configure_logging(level="INFO", style="json")
        logging.getLogger("taskreel.test").info("inside")
        request_id.set(None)
        logging.getLogger("taskreel.test").info("outside")
    finally:
        request_id.reset(token)
        root.handlers[:] = handlers
        root.setLevel(level)
    inside, outside = map(json.loads, capsys.readouterr().err.splitlines())
    assert inside["request_id"] == "order-7"
    assert "request_id" not in outside
