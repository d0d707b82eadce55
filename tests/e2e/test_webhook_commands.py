"""`taskreel webhooks` on a running stack, with a receiver on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from e2e.commands import Commands
from e2e.processes import stack
from http_handlers import serve_handler


@dataclass
class Receiver:
    """Answers webhooks, and retains them as they came."""

    url: str
    #: The status of its answers.
    status: int = 200
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def find_newest(self, endpoint: str) -> tuple[dict[str, str], bytes]:
        """The newest request for the endpoint, once there is one: others may be tried again."""
        found: list[tuple[dict[str, str], bytes]] = []
        for _ in range(600):
            found = [one for one in self.received if endpoint.encode() in one[1]]
            if found:
                break
            time.sleep(0.1)
        return found[-1]

    def write_newest(self, path: Path, endpoint: str) -> Path:
        """Write the newest request for the endpoint as it was on the wire."""
        headers, body = self.find_newest(endpoint)
        lines = ["POST /hooks HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
        path.write_bytes("\r\n".join([*lines, "", ""]).encode() + body)
        return path


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.received.append((dict(self.headers), body))
            self.send_response(found.status)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"taken")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with serve_handler(Handler) as origin:
        found = Receiver(origin)
        yield found


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Commands]:
    settings = {"WEBHOOK_PRIVATE_ORIGINS": receiver.url}
    with stack(tmp_path_factory.mktemp("data"), settings=settings) as running:
        yield Commands(running, tmp_path_factory.mktemp("config"))


@pytest.fixture
def endpoint(commands: Commands, receiver: Receiver) -> str:
    receiver.status = 200
    made = commands.json("webhooks", "create", f"{receiver.url}/hooks", "--event", "job.*")
    name: str = made["endpointId"]
    return name


def test_a_test_event_is_sent_and_its_answer_shown(
    commands: Commands, receiver: Receiver, endpoint: str
) -> None:
    found = commands.json("webhooks", "test", endpoint)
    assert (found["state"], found["tries"][0]["status"]) == ("succeeded", 200)
    assert "200 in" in commands.text("webhooks", "delivery", found["deliveryId"])
    receiver.status = 500
    commands.json("webhooks", "test", endpoint, exit_code=1)
    assert endpoint in commands.text("webhooks")
    states = [
        one["state"] for one in commands.json("webhooks", "deliveries", endpoint)["deliveries"]
    ]
    assert states == ["pending", "succeeded"]


def test_show_has_the_webhooks_of_a_job_in_its_timeline(
    commands: Commands, receiver: Receiver, endpoint: str
) -> None:
    assert endpoint
    job = commands.submit("image-generation", "prompt=x", "options.studio.mode=noop")
    for _ in range(300):
        tries = [one["tries"] for one in commands.json("show", job)["webhooks"]]
        if tries and all(tries):
            break
        time.sleep(0.1)
    line = f"job.completed to {receiver.url}/hooks: 200"
    assert line in commands.text("show", job)


def test_a_genuine_request_is_told_from_a_changed_one(
    commands: Commands, receiver: Receiver, endpoint: str, tmp_path: Path
) -> None:
    commands.json("webhooks", "test", endpoint)
    request = receiver.write_newest(tmp_path / "request.txt", endpoint)
    key = commands.json("webhooks", "keys", endpoint)["keys"][0]["secret"]
    headers, body = receiver.find_newest(endpoint)
    Webhook(key).verify(body, headers)
    assert commands.json("webhooks", "verify", "--key", key, str(request))["valid"] is True
    assert "genuine" in commands.text("webhooks", "verify", "--endpoint", endpoint, str(request))
    changed = tmp_path / "changed.txt"
    changed.write_bytes(request.read_bytes().replace(b"webhook.test", b"webhook.tess"))
    refused = commands.json("webhooks", "verify", "--key", key, str(changed), exit_code=1)
    assert "body is not as it was sent" in refused["reason"]
    other = commands.json("webhooks", "keys", "default")["keys"][0]["secret"]
    commands.json("webhooks", "verify", "--key", other, str(request), exit_code=1)
    assert commands.run("webhooks", "verify", "--key", "whsec_?", str(request)).exit_code == 2
    assert commands.run("webhooks", "verify", str(request)).exit_code == 2


def test_an_old_request_is_refused_unless_any_age_is_allowed(
    commands: Commands, tmp_path: Path
) -> None:
    """The example of the specification of Standard Webhooks."""
    body = tmp_path / "body.json"
    body.write_text('{"test": 2432232314}')
    words = (
        "webhooks",
        "verify",
        str(body),
        "--key",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "--header",
        "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
        "--header",
        "webhook-timestamp: 1614265330",
        "--header",
        "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    )
    assert "seconds ago" in commands.json(*words, exit_code=1)["reason"]
    assert commands.json(*words, "--max-age", "0")["valid"] is True


def test_ed25519_signatures_are_verified_by_the_public_key(
    commands: Commands, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.status = 200
    made = commands.json("webhooks", "create", f"{receiver.url}/hooks", "--signature", "v1a")
    key = made["keys"][0]["publicKey"]
    assert "secret" not in made["keys"][0]
    commands.json("webhooks", "test", made["endpointId"])
    request = receiver.write_newest(tmp_path / "request.txt", made["endpointId"])
    assert commands.json("webhooks", "verify", "--key", key, str(request))["valid"] is True
    request.write_bytes(request.read_bytes()[:-1] + b" ")
    commands.json("webhooks", "verify", "--key", key, str(request), exit_code=1)


def test_messages_are_sent_again_one_by_one_and_by_time(
    commands: Commands, receiver: Receiver, endpoint: str
) -> None:
    sent = commands.json("webhooks", "test", endpoint)["deliveryId"]
    before = len(receiver.received)
    again = commands.json("webhooks", "redeliver", sent)
    assert again["deliveries"][0]["deliveryId"] == sent
    words = ("webhooks", "redeliver", "--endpoint", endpoint)
    assert commands.run(*words).exit_code == 2
    assert commands.json(*words, "--since", "1h")["sent"] == 0
    commands.json("webhooks", "test", endpoint)
    assert len(receiver.received) > before


def test_an_endpoint_is_disabled_enabled_its_key_replaced_and_deleted(
    commands: Commands, endpoint: str
) -> None:
    assert commands.json("webhooks", "disable", endpoint)["state"] == "disabled"
    assert commands.json("webhooks", "enable", endpoint)["state"] == "enabled"
    assert commands.run("webhooks", "rotate", endpoint).exit_code == 2
    assert len(commands.json("webhooks", "rotate", endpoint, "--yes")["keys"]) == 2
    commands.text("webhooks", "delete", endpoint, "--yes")
    assert commands.run("webhooks", "show", endpoint).exit_code == 3
