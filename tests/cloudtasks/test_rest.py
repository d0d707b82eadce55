"""REST only behaviour: BufferTask, JSON forms, v2beta3 statistics, control, OIDC, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from jwt import PyJWKClient
from jwt import decode as decode_token

from cloudtasks.remote import Remote
from cloudtasks.worker import LOCATION, QUEUE

TASK = {"httpRequest": {"url": "http://worker.test/run", "body": "e30="}}


def call(
    remote: Remote, verb: str, path: str, body: Any = None, status: int = 200, **query: str
) -> Any:
    answer = remote.control.request(verb, path, json=body, params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def queue(remote: Remote) -> str:
    call(remote, "POST", f"/v2/{LOCATION}/queues", {"name": QUEUE})
    call(remote, "POST", f"/v2/{QUEUE}:pause", {})
    return f"/v2/{QUEUE}"


def test_a_queue_is_shown_as_google_shows_it(remote: Remote, queue: str) -> None:
    assert call(remote, "GET", queue) == {
        "name": QUEUE,
        "rateLimits": {
            "maxDispatchesPerSecond": 500,
            "maxBurstSize": 100,
            "maxConcurrentDispatches": 1000,
        },
        "retryConfig": {
            "maxAttempts": 100,
            "minBackoff": "0.100s",
            "maxBackoff": "3600s",
            "maxDoublings": 16,
        },
        "state": "PAUSED",
    }


def test_enums_are_numbers_for_who_asks(remote: Remote, queue: str) -> None:
    shown = remote.control.get(queue, params={"$alt": "json;enum-encoding=int"})
    assert shown.json()["state"] == 2


def test_an_update_mask_may_be_in_camel_case(remote: Remote, queue: str) -> None:
    changed = call(
        remote,
        "PATCH",
        queue,
        {"retryConfig": {"maxAttempts": 5}},
        updateMask="retryConfig.maxAttempts",
    )
    assert changed["retryConfig"]["maxAttempts"] == 5
    cleared = call(remote, "PATCH", queue, {}, updateMask="retryConfig.maxAttempts")
    assert cleared["retryConfig"]["maxAttempts"] == 100


def test_an_error_has_googles_shape(remote: Remote, queue: str) -> None:
    error = call(remote, "POST", f"/v2/{LOCATION}/queues", {"name": QUEUE}, status=409)["error"]
    assert error == {"code": 409, "message": "Queue already exists", "status": "ALREADY_EXISTS"}
    assert queue


def test_tasks_come_in_pages(remote: Remote, queue: str) -> None:
    for _ in range(3):
        call(remote, "POST", f"{queue}/tasks", {"task": TASK})
    first = call(remote, "GET", f"{queue}/tasks", pageSize="2")
    rest = call(
        remote,
        "GET",
        f"{queue}/tasks",
        pageSize="2",
        pageToken=first["nextPageToken"],
        responseView="FULL",
    )
    assert (len(first["tasks"]), len(rest["tasks"]), "nextPageToken" in rest) == (2, 1, False)
    assert rest["tasks"][0]["httpRequest"]["body"] == "e30="
    remote.advance(7201)
    late = call(remote, "GET", f"{queue}/tasks", status=400, pageToken=first["nextPageToken"])
    assert late["error"]["message"] == "The page token has expired."


def test_a_page_token_is_good_for_its_own_list_only(remote: Remote, queue: str) -> None:
    call(remote, "POST", f"/v2/{LOCATION}/queues", {"name": f"{QUEUE}2"})
    first = call(remote, "GET", f"/v2/{LOCATION}/queues", pageSize="1")
    token = first["nextPageToken"]
    other = call(
        remote, "GET", f"/v2/{LOCATION}/queues", status=400, pageToken=token, filter="state:PAUSED"
    )
    assert "must stay the same" in other["error"]["message"]
    call(remote, "GET", f"{queue}/tasks", status=400, pageToken=token)


def test_buffered_bytes_become_a_tasks_body_for_the_queues_own_target(
    remote: Remote, queue: str
) -> None:
    refused = call(remote, "POST", f"{queue}/tasks:buffer", {"a": 1}, status=400)
    assert refused["error"]["status"] == "FAILED_PRECONDITION"
    target = {"uriOverride": {"scheme": "HTTP", "host": "worker.test"}, "httpMethod": "PUT"}
    call(remote, "PATCH", queue, {"httpTarget": target}, updateMask="httpTarget")
    answer = remote.control.post(
        f"{queue}/tasks/mine:buffer", content=b"\x00raw", headers={"Content-Type": "x/y"}
    )
    assert answer.json()["task"]["name"] == f"{QUEUE}/tasks/mine"
    stored = call(remote, "GET", f"{queue}/tasks/mine", responseView="FULL")["httpRequest"]
    assert (stored["body"], stored["httpMethod"], stored["headers"]["Content-Type"]) == (
        "AHJhdw==",
        "PUT",
        "x/y",
    )


def test_v2beta3_tells_how_much_waits(remote: Remote, queue: str) -> None:
    call(remote, "POST", f"{queue}/tasks", {"task": TASK})
    shown = call(remote, "GET", f"/v2beta3/{QUEUE}", readMask="state,stats")
    assert shown["stats"]["tasksCount"] == "1"
    assert (
        shown["stats"]["oldestEstimatedArrivalTime"] == call(remote, "GET", "/control/time")["now"]
    )
    assert "stats" not in call(remote, "GET", f"/v2beta3/{QUEUE}")


@pytest.mark.parametrize(
    ("verb", "path", "body", "message"),
    [
        ("POST", "/tasks", b"{", "Invalid JSON payload received."),
        ("POST", "/tasks", b"[1]", "The body must be an object."),
        ("POST", "/tasks", b'{"task": {"dispatchDeadline": NaN}}', "Unexpected token: NaN"),
        ("POST", "/tasks", b"\xff\xfe", "Invalid JSON payload received."),
        ("POST", "/tasks", b"[" * 100_000, "Invalid JSON payload received."),
        (
            "POST",
            "/tasks",
            b'{"task": {"httpRequest": {"url": "http://a/\\ud800"}}}',
            "not valid UTF-8",
        ),
        ("PATCH", "?updateMask=x.y", b"{}", "unknown path 'x.y'"),
        ("GET", "?colour=red", b"", 'Unknown name "colour"'),
        ("GET", "/tasks?pageSize=many", b"", "(TYPE_INT32)"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_words(
    remote: Remote, queue: str, verb: str, path: str, body: bytes, message: str
) -> None:
    answer = remote.control.request(verb, f"{queue}{path}", content=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_path_without_a_method_is_not_found(remote: Remote) -> None:
    assert call(remote, "GET", "/v1/projects", status=404)["error"]["status"] == "NOT_FOUND"
    assert (
        "The known calls are: POST /control/reset"
        in call(remote, "GET", "/control/nothing", status=404)["error"]["message"]
    )


def test_the_control_route_resets_and_may_retain_the_queues(remote: Remote, queue: str) -> None:
    call(remote, "POST", f"{queue}/tasks", {"task": {**TASK, "name": f"{QUEUE}/tasks/t"}})
    remote.ask("POST", "reset", {"keepQueues": True})
    (kept,) = remote.ask("GET", "queues")["queues"]
    assert (kept["state"], kept["stats"].get("tasksCount")) == ("RUNNING", None)
    call(remote, "POST", f"{queue}/tasks", {"task": {**TASK, "name": f"{QUEUE}/tasks/t"}})
    remote.ask("POST", "reset")
    assert remote.ask("GET", "queues")["queues"] == []


def test_the_control_api_shows_deliveries_and_events_and_waits_for_empty(
    remote: Remote, queue: str
) -> None:
    url = "http://127.0.0.1:1/nobody"
    settings = {"retryConfig": {"maxAttempts": 1}}
    call(remote, "PATCH", queue, settings, updateMask="retryConfig")
    call(
        remote,
        "POST",
        f"{queue}/tasks",
        {"task": {"name": f"{QUEUE}/tasks/t", "httpRequest": {"url": url}}},
    )
    late = call(
        remote, "POST", "/control/wait-empty", {"queue": QUEUE, "timeout": "0.01s"}, status=504
    )
    assert "Tasks still wait or run" in late["error"]["message"]
    call(remote, "POST", f"{queue}:resume", {})
    remote.advance(0)
    remote.ask("POST", "wait-empty")
    (delivery,) = remote.ask("GET", "deliveries", queue="jobs", task="t")["deliveries"]
    assert (delivery["request"]["url"], delivery["attempt"]) == (url, 0)
    assert "cannot connect" in delivery["error"]
    kinds = [event["kind"] for event in remote.ask("GET", "events", queue="jobs")["events"]]
    assert kinds == ["created", "dispatched", "failed", "exhausted"]


def test_faults_are_set_and_shown_and_nonsense_is_refused(remote: Remote) -> None:
    assert remote.ask("PUT", "faults", {"seed": 4, "duplicate": 0.5})["duplicate"] == 0.5
    assert remote.ask("GET", "faults")["seed"] == 4
    call(remote, "PUT", "/control/faults", {"explode": 1}, status=400)
    call(remote, "PUT", "/control/faults", {"duplicate": "often"}, status=400)
    call(remote, "PUT", "/control/faults", {"duplicate": 2}, status=400)
    call(remote, "POST", "/control/advance", {"by": "-1s"}, status=400)
    call(remote, "POST", "/control/advance", {}, status=400)
    call(remote, "POST", "/control/wait-empty", {"queue": 7}, status=400)


def test_an_oidc_token_verifies_against_the_servers_own_keys(remote: Remote) -> None:
    token = remote.service.engine.tokens.issue_oidc_token("api@demo.test", "https://service.test")
    discovery = call(remote, "GET", "/.well-known/openid-configuration")
    key = PyJWKClient(discovery["jwks_uri"]).get_signing_key_from_jwt(token)
    claims = decode_token(
        token, key.key, ["RS256"], audience="https://service.test", issuer=discovery["issuer"]
    )
    assert (claims["email"], claims["email_verified"]) == ("api@demo.test", True)
    assert {"sub", "iat", "exp", "azp"} <= claims.keys()
    assert discovery["issuer"] == remote.service.rest_url
