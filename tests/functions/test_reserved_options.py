"""`providerOptions` that would change what was priced, and results beyond what was bought."""

from __future__ import annotations

from typing import Any

import pytest

from functions.fake_providers import KITE, StartProviders
from functions.job_requests import IMAGE, expect_problem, read_balance
from taskreel.adapters.providers.openai import adapter

OPENAI = {"prompt": "a kite", "provider": "openai"}


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (KITE, {"width": 4096, "webhook_url": "https://evil.example", "webhook_secret": "s"}),
        (OPENAI, {"n": 10, "quality": "high", "size": "1536x1024"}),
        (OPENAI, {"Model": "gpt-image-9"}),
    ],
)
async def test_a_reserved_provider_option_is_refused_by_name(
    start_providers: StartProviders, body: dict[str, Any], options: dict[str, Any]
) -> None:
    """With `maxUsd: 0.10` ten pictures were delivered for the price of one."""
    made = await start_providers("bfl", "openai")
    given = {**body, "maxUsd": 0.30}
    given["options"] = {**given.get("options", {}), "providerOptions": {**options, "steps": 3}}
    for url in (IMAGE, f"{IMAGE}?validateOnly=true"):
        problem = expect_problem(await made.user().post(url, json=given), 422, "reserved_option")
        assert {error["path"] for error in problem["errors"]} == {
            f"options.providerOptions.{name}" for name in options
        }
    assert (await read_balance(made.user()))["held"] == 0
    assert all(fake.creates == 0 for fake in made.fakes.values())


async def test_a_reserved_option_of_a_step_is_refused_with_its_path(
    start_providers: StartProviders,
) -> None:
    made = await start_providers("openai")
    payload = {**OPENAI, "options": {"providerOptions": {"n": 3}}}
    body = {"steps": {"one": {"type": "image-generation", "payload": payload}}}
    answer = await made.user().post("/api/jobs/pipeline", json=body)
    problem = expect_problem(answer, 422, "reserved_option")
    assert [error["path"] for error in problem["errors"]] == [
        "steps.one.payload.options.providerOptions.n"
    ]


async def test_more_results_than_were_bought_are_not_delivered(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await start_providers("openai")
    build = adapter._build_picture_body
    monkeypatch.setattr(adapter, "_build_picture_body", lambda *given: {**build(*given), "n": 3})
    job = await made.run_job(OPENAI)
    assert job["status"] == "COMPLETED"
    assert len(job["result"]["artifacts"]) == 1
    assert made.fakes["openai"].calls[0].body["n"] == 3
