"""One key alone: every job type that it serves is made, each other one says which keys do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from functions.fake_providers import ProviderSetup, StartProviders
from functions.job_requests import expect_problem
from functions.test_inputs import mp4
from functions.test_paid_types import INPUTS
from nightly_tests import skip_by_day
from taskreel.adapters.providers import PROVIDERS
from taskreel.adapters.providers.model_lookup import get_today, list_rows
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Capability

SOLD = {row.capability for row in list_rows()}
#: The types that a provider serves; the others are made in-house, or of other jobs. A task of
#: ai-processing is like a job of another type.
TYPES = [
    name
    for name, one in JOB_TYPES.items()
    if one.capability in SOLD and not one.pipeline and name != "ai-processing"
]


def build_request(job_type: str) -> dict[str, Any]:
    """The type's own example, for no provider or model by name, with files that are here."""
    found = {**JOB_TYPES[job_type].example}
    for name in ("provider", "model"):
        found.pop(name, None)
    return {name: _replace_files(value) for name, value in found.items()}


def _replace_files(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("https://example.com/"):
        kind = {"mp4": "clip.mp4", "mp3": "voice.mp3"}.get(value[-3:], "portrait.png")
        return INPUTS[f"https://example.com/{kind}"]
    if isinstance(value, list):
        return [_replace_files(one) for one in value]
    return value


async def read_unlocked(setup: ProviderSetup, provider: str) -> set[str]:
    shown = (await setup.user().get("/api/providers")).json()["providers"]
    (seller,) = [one for one in shown if one["provider"] == provider]
    return {*seller["jobTypes"]}


async def quote_job(user: httpx.AsyncClient, job_type: str, body: dict[str, Any]) -> httpx.Response:
    return await user.post(f"/api/jobs/{job_type}?validateOnly=true", json=body)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_key_quotes_what_it_unlocks_and_names_the_keys_of_the_rest(
    provider: str, start_providers: StartProviders
) -> None:
    setup = await start_providers(provider, stand_in_provider=None, start=datetime.now(UTC))
    unlocked, ada = await read_unlocked(setup, provider), setup.user()
    assert unlocked & {*TYPES}
    for job_type in TYPES:
        answer = await quote_job(ada, job_type, build_request(job_type))
        if job_type in unlocked:
            assert answer.status_code == 200, (job_type, answer.text)
            assert answer.json()["servedBy"] == provider
            continue
        refused = expect_problem(answer, 422, "provider_not_configured")
        for variable in list_keys(JOB_TYPES[job_type].capability):
            assert variable in refused["detail"], (job_type, refused["detail"])


def list_keys(capability: Capability) -> list[str]:
    return [
        entry.key_variable
        for entry in PROVIDERS.values()
        if any(
            row.is_current(get_today()) and not row.keyless_only
            for row in list_rows(entry.name, capability)
        )
    ]


@skip_by_day("each job of each key, some eighty")
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_key_makes_every_job_that_it_unlocks(
    provider: str, start_providers: StartProviders
) -> None:
    setup = await start_providers(provider, stand_in_provider=None, start=datetime.now(UTC))
    setup.fakes[provider].files["mp4"] = mp4()
    for job_type in sorted(await read_unlocked(setup, provider) & {*TYPES}):
        job = await setup.run_job(build_request(job_type), f"/api/jobs/{job_type}")
        assert job["status"] == "COMPLETED", (job_type, job["error"])
        assert job["servedBy"] == provider
