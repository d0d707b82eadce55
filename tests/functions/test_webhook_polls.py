"""A provider that reports by webhook is polled seldom; one whose webhook is lost, all the same."""

from __future__ import annotations

from datetime import timedelta

import pytest

from functions.fake_providers import KITE, StartProviders
from functions.job_requests import read_job, submit_job
from taskreel.adapters.providers.provider_webhooks import (
    WEBHOOK_POLL_AFTER,
    WebhookTarget,
    choose_poll_after,
)

SECRETS = {"webhook_secrets": {"bfl": "a-secret-of-ours"}}


@pytest.mark.parametrize(
    ("settings", "before", "after"),
    [
        (SECRETS, WEBHOOK_POLL_AFTER - timedelta(seconds=1), timedelta(seconds=2)),
        ({}, timedelta(seconds=1), timedelta(seconds=2)),
    ],
)
async def test_a_poll_comes_late_if_a_webhook_is_expected_and_soon_if_not(
    start_providers: StartProviders,
    settings: dict[str, dict[str, str]],
    before: timedelta,
    after: timedelta,
) -> None:
    setup = await start_providers("bfl", **settings)
    fake = setup.fakes["bfl"]
    fake.polls = 0
    ada = setup.user()
    job = await submit_job(ada, KITE)
    await setup.world.advance(before.total_seconds())
    assert [call.method for call in fake.calls] == ["POST"]
    await setup.world.advance(after.total_seconds())
    assert (await read_job(ada, job))["status"] == "COMPLETED"


def test_an_adapter_that_polls_less_often_than_that_goes_on_so() -> None:
    minute, target = timedelta(minutes=1), WebhookTarget("https://api.test/api/webhooks/slow")
    assert choose_poll_after(target, minute) == minute
