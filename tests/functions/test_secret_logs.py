"""No secret reaches a log line: the lines of a busy run, at the finest level, are searched."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from functions.fake_providers import KITE, StartProviders
from providers.fake_provider import Fault
from simulation.world import JWT_SECRET, KEY, token
from taskreel.log import _JsonFormatter

METRICS_KEY = "canary-of-the-metrics-key"
WEBHOOK_SECRET = "canary-of-a-webhook-secret"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """All that is logged, as Cloud Logging would get it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(_JsonFormatter("demo-project"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


async def test_the_logs_of_work_refusals_and_crashes_hold_no_secret(
    start_providers: StartProviders, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers(
        "bfl", metrics_key=METRICS_KEY, webhook_secrets={"bfl": WEBHOOK_SECRET}
    )
    world, bfl = setup.world, setup.fakes["bfl"]
    canaries = {
        "the internal key": KEY,
        "the secret that signs tokens": JWT_SECRET,
        "the metrics key": METRICS_KEY,
        "a webhook's secret": WEBHOOK_SECRET,
        "a provider's key": bfl.key,
        "the secret that signs files": "the-files-secret",
        "a user's token": token("ada"),
    }
    ada = setup.user()
    canaries["the client's token"] = ada.headers["authorization"].removeprefix("Bearer ")

    # Work, with the endpoint's key in an answer.
    made = await ada.post(
        "/api/webhook-endpoints", json={"url": "https://hooks.example/x", "events": ["job.expired"]}
    )
    keys = await ada.get(f"/api/webhook-endpoints/{made.json()['endpointId']}/keys")
    canaries["an endpoint's key"] = keys.json()["keys"][0]["secret"]
    await setup.run_job(KITE)
    # A provider that is down, and one that refuses the key.
    bfl.fault = Fault.SERVER_ERROR
    await setup.run_job(KITE)
    bfl.fault = None
    monkeypatch.setattr(bfl, "key", "another key than the one that is sent")
    await setup.run_job(KITE)
    # Refusals and a crash, with secrets in every place that a caller may put one.
    wrong = {"authorization": f"Bearer {token('ada', key=KEY + '-and-more-than-thirty-two')}"}
    assert (await world.api.get("/api/jobs", headers=wrong)).status_code == 401
    assert (await world.process("job_missing", key=KEY[:-1])).status_code == 401
    for path in ("/api/jobs?cursor=x", "/metrics"):
        await ada.get(path)
    await world.api.post("/api/webhooks/bfl", json={}, headers={"x-webhook-secret": "wrong"})
    with monkeypatch.context() as patch:
        patch.setattr(world.services.store, "query", None)
        assert (await ada.get("/api/jobs")).status_code == 500
    await world.sweep()

    text = lines.getvalue()
    assert text.count("\n") > 20, "nothing was logged: the search shows nothing"
    assert "request_crashed" in text
    assert "FAILED" in text
    found = [name for name, secret in canaries.items() if secret in text]
    assert not found, f"the log has {found}"
