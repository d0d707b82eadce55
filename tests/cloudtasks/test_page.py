"""The page at `/`: one file under a strict policy, drawn by Chromium."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from cloudtasks.remote import Remote
from cloudtasks.worker import LOCATION, QUEUE
from installed_programs import find_program

CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom"),
)
HOSTILE = "<img src=x onerror=alert(1)>"


def test_the_page_is_one_file_that_asks_no_other_host(remote: Remote) -> None:
    answer = remote.control.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert not re.findall(r"https?://|//[a-z]+\.", answer.text)
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\son\w+=", answer.text)
    assert remote.control.head("/").headers["content-length"] == str(len(answer.content))
    assert remote.control.post("/").status_code == 404


def test_a_page_that_rebinds_its_name_does_not_get_it(remote: Remote) -> None:
    assert remote.control.get("/", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.browser
def test_chromium_draws_queues_tasks_and_the_contents_of_a_delivery(
    remote: Remote, tmp_path: Path
) -> None:
    program = find_program("chromium", "apt-get install chromium")
    for name in ("jobs", "busy"):
        remote.control.post(f"/v2/{LOCATION}/queues", json={"name": f"{LOCATION}/queues/{name}"})
    remote.control.post(f"/v2/{QUEUE}:pause")
    task = {"httpRequest": {"url": f"http://127.0.0.1:1/{HOSTILE}", "headers": {"X-Kind": "mail"}}}
    named = {**task, "name": f"{QUEUE}/tasks/waiting"}
    remote.control.post(f"/v2/{QUEUE}/tasks", json={"task": named})
    remote.control.post(f"/v2/{LOCATION}/queues/busy/tasks", json={"task": task})
    remote.advance(0)
    (done, *_) = remote.ask("GET", "deliveries", brief="true", limit="1")["deliveries"]
    address = f"{remote.service.rest_url}/#{QUEUE}&{done['number']}"
    drawn = subprocess.run(
        [program, *CHROMIUM, f"--user-data-dir={tmp_path}", address],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    text = html.unescape(
        re.sub(r"<(?:script|style)>.*?</(?:script|style)>", "", drawn.stdout, flags=re.DOTALL)
    )
    assert "Content Security Policy" not in drawn.stderr
    for expected in ("PAUSED", "busy", "waiting", "Run now", "X-Kind: mail", "virtual clock"):
        assert expected in text, expected
    assert "cannot connect to 127.0.0.1:1" in text
    assert "&lt;img" in drawn.stdout  # a task's text is text
    assert "<img" not in drawn.stdout.partition("<script>")[0]


def test_deliveries_are_numbered_limited_and_shown_one_by_one(remote: Remote) -> None:
    remote.control.post(f"/v2/{LOCATION}/queues", json={"name": QUEUE})
    for number in range(3):
        task = {"task": {"httpRequest": {"url": f"http://127.0.0.1:1/{number}", "body": "eA=="}}}
        remote.control.post(f"/v2/{QUEUE}/tasks", json=task)
    remote.advance(0)
    listed = remote.ask("GET", "deliveries", brief="true", limit="2", queue="jobs")["deliveries"]
    assert len(listed) == 2
    assert "request" not in listed[0]
    one = remote.ask("GET", "delivery", number=str(listed[1]["number"]))
    assert (one["request"]["url"], one["request"]["text"]) == (listed[1]["url"], "x")
    assert remote.control.get("/control/delivery", params={"number": "99999"}).status_code == 404
    assert remote.control.get("/control/deliveries", params={"limit": "0"}).status_code == 400
