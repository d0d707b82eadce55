"""Jobs at providers that fail: their results, credits, calls and purchases."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from functions.fake_providers import KITE, StartProviders
from functions.job_requests import (
    BATCH,
    expect_problem,
    read_balance,
    read_job,
    submit_job,
)
from providers.fake_provider import RETRY_AFTER, SECRETS, Fault
from taskreel import wiring
from taskreel.app.worker.processor import Processor
from taskreel.domain.errors import Category
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState


@pytest.mark.parametrize("provider", ["bfl", "stability", "openai", "google", "replicate"])
async def test_what_moderation_holds_back_fails_for_good_and_costs_nothing(
    start_providers: StartProviders, provider: str
) -> None:
    setup = await start_providers(provider, "fal")
    setup.fakes[provider].fault = Fault.MODERATION
    failed = await setup.run_job({"prompt": "x", "provider": [provider, "fal"]})
    assert (failed["status"], failed["attempt"]) == ("FAILED", 1)
    assert (failed["error"]["code"], failed["error"]["category"]) == ("moderation", "permanent")
    assert (
        failed["error"]["message"]
        == f"{provider} refused the request: its content moderation rejected it"
    )
    assert setup.fakes["fal"].creates == 0
    assert (await read_balance(setup.user()))["available"] == 100


@pytest.mark.parametrize(
    ("fault", "seconds"), [(Fault.RATE_LIMITED, RETRY_AFTER), (Fault.RATE_LIMITED_WITHOUT_TIME, 30)]
)
async def test_a_rate_limit_is_a_wait_and_no_attempt_more(
    start_providers: StartProviders, fault: Fault, seconds: int
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = fault
    began = setup.world.now()
    waiting = await setup.run_job(KITE, seconds=1)
    assert (waiting["status"], waiting["attempt"], waiting["error"]["code"]) == (
        "RETRYING",
        1,
        "rate_limited",
    )
    assert (
        abs((datetime.fromisoformat(waiting["nextAttemptAt"]) - began).total_seconds() - seconds)
        < 1
    )
    setup.fakes["bfl"].fault = None
    await setup.world.advance(60)
    done = await read_job(setup.user(), waiting)
    assert (done["status"], done["attempt"], done["tried"]) == ("COMPLETED", 1, [])


async def test_without_credit_elsewhere_goes_on_and_alone_fails(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = Fault.NO_CREDIT
    done = await setup.run_job({"prompt": "x", "provider": ["bfl", "fal"], "model": "flux-1.1-pro"})
    assert (done["status"], done["servedBy"], done["attempt"]) == ("COMPLETED", "fal", 1)
    assert done["tried"] == [
        {"provider": "bfl", "model": "flux-1.1-pro", "code": "provider_out_of_credit"}
    ]
    failed = await setup.run_job(KITE)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "provider_out_of_credit")
    assert setup.fakes["bfl"].creates == 0


async def test_a_job_moves_off_a_provider_that_is_down_before_anything_was_bought(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR
    done = await setup.run_job({"prompt": "x", "provider": ["bfl", "fal"]})
    assert (done["status"], done["servedBy"]) == ("COMPLETED", "fal")
    assert [one["code"] for one in done["tried"]] == ["provider_down"]


async def test_work_that_was_bought_is_never_bought_elsewhere(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].polls = 3
    ada = setup.user()
    job = await submit_job(ada, {"prompt": "x", "provider": ["bfl", "fal"]})
    await setup.world.settle()
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR  # while it runs there
    await setup.world.advance(60)
    assert (await read_job(ada, job))["status"] == "PROCESSING"
    setup.fakes["bfl"].fault = None
    await setup.world.advance(60)
    done = await read_job(ada, job)
    assert (done["status"], done["servedBy"], done["attempt"]) == ("COMPLETED", "bfl", 1)
    assert (setup.fakes["bfl"].creates, setup.fakes["fal"].creates) == (1, 0)


async def test_work_at_a_provider_that_is_away_is_asked_for_less_and_less_often(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    job = await submit_job(setup.user(), KITE)
    await setup.world.settle()
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR
    await setup.world.advance(3600)
    assert len(setup.fakes["bfl"].calls) < 30
    setup.fakes["bfl"].fault = None
    await setup.world.advance(600)
    assert (await read_job(setup.user(), job))["status"] == "COMPLETED"


async def test_a_batch_goes_on_where_it_can(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = Fault.NO_CREDIT
    body = {"prompts": ["a", "b", "c"], "provider": ["bfl", "fal"], "batchSize": 2}
    done = await setup.run_job(body, BATCH)
    assert (done["status"], done["servedBy"], done["credits"]["captured"]) == (
        "COMPLETED",
        "fal",
        3,
    )
    assert setup.fakes["fal"].creates == 3


async def test_a_connection_lost_after_a_create_is_reported_to_an_operator(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = Fault.LOST_ANSWER
    failed = await setup.run_job({"prompt": "x", "provider": ["bfl", "fal"]}, seconds=3600)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "ambiguous_create")
    assert "operator" in failed["error"]["message"]
    assert (setup.fakes["bfl"].creates, setup.fakes["fal"].creates) == (1, 0)
    assert (await read_balance(setup.user()))["available"] == 100
    for anew in ("retry", "replay"):
        expect_problem(await setup.user().post(failed["urls"][anew]), 403, "forbidden")
    setup.fakes["bfl"].fault = None
    assert (await setup.user("root", role="admin").post(failed["urls"]["retry"])).status_code == 202
    await setup.world.advance(60)
    assert (await read_job(setup.user(), failed))["status"] == "COMPLETED"
    assert setup.fakes["bfl"].creates == 2


@pytest.mark.parametrize("fault", [Fault.GATEWAY_TIMEOUT, Fault.NO_ID])
async def test_an_answer_that_does_not_say_what_was_bought_is_not_sent_again(
    start_providers: StartProviders, fault: Fault
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = fault
    failed = await setup.run_job(KITE, seconds=3600)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "ambiguous_create")
    assert len([call for call in setup.fakes["bfl"].calls if call.method == "POST"]) == 1


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_run_that_died_while_it_bought_is_not_repeated(
    start_providers: StartProviders, attempts: int
) -> None:
    setup = await start_providers("bfl")
    job = await submit_job(setup.user(), {**KITE, "retry": {"maxAttempts": attempts}})
    now = setup.world.now()
    stored = await setup.world.job(job["jobId"])
    begun = stored.units[0].with_changes(begun_at=now)
    dead = stored.enter_status(
        Status.PROCESSING, now, units=(begun,), attempt=1, fence=1, lease_until=now
    )
    await setup.world.put(dead)
    await setup.world.advance(600)
    failed = await read_job(setup.user(), job)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "ambiguous_create")
    assert setup.fakes["bfl"].creates == 0


async def test_a_purchase_is_stored_before_it_is_made(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    provider = setup.world.services.providers.get("bfl")
    stored: list[Job] = []
    start = provider.start

    async def watched(request: Any, **more: Any) -> Any:
        stored.append(await setup.world.job(job["jobId"]))
        return await start(request, **more)

    monkeypatch.setattr(provider, "start", watched)
    job = await submit_job(setup.user(), KITE)
    await setup.world.settle()
    assert [one.maybe_bought for one in stored] == [True]
    assert not (await setup.world.job(job["jobId"])).maybe_bought


@pytest.mark.parametrize("provider", ["bfl", "fal", "replicate"])
async def test_an_unknown_status_of_an_operation_means_that_it_runs(
    start_providers: StartProviders, provider: str
) -> None:
    setup = await start_providers(provider)
    setup.fakes[provider].fault = Fault.UNKNOWN_STATUS
    done = await setup.run_job({"prompt": "x", "provider": provider})
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)


async def test_an_expired_address_is_asked_for_anew_and_the_work_not_bought_again(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = Fault.EXPIRED
    failed = await setup.run_job(KITE, seconds=600)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "result_unreachable")
    assert setup.fakes["bfl"].creates == 1
    assert len([call for call in setup.fakes["bfl"].calls if call.path.startswith("/files")]) == 3


async def test_an_address_that_works_the_second_time_completes_the_job(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = Fault.EXPIRED
    job = await submit_job(setup.user(), KITE)
    await setup.world.advance(4.5)
    setup.fakes["bfl"].fault = None
    await setup.world.advance(60)
    done = await read_job(setup.user(), job)
    assert (done["status"], done["attempt"], setup.fakes["bfl"].creates) == ("COMPLETED", 1, 1)


@pytest.mark.parametrize(
    ("fault", "code"), [(Fault.NO_RESULT, "no_output"), (Fault.FAILED, "operation_failed")]
)
async def test_work_that_ended_in_nothing_is_begun_anew(
    start_providers: StartProviders, fault: Fault, code: str
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = fault
    body = {**KITE, "provider": ["bfl", "fal"], "retry": {"maxAttempts": 2}}
    failed = await setup.run_job(body)
    assert (failed["status"], failed["error"]["code"], failed["attempt"]) == ("FAILED", code, 2)
    assert (setup.fakes["bfl"].creates, setup.fakes["fal"].creates) == (2, 0)
    assert (await read_balance(setup.user()))["available"] == 100


async def test_a_providers_words_are_made_fit_for_users(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = Fault.PRIVATE_TEXT
    failed = await setup.run_job(KITE)
    assert failed["error"]["code"] == "provider_rejected"
    assert not any(secret in str(failed) for secret in SECRETS)


@pytest.mark.parametrize("provider", ["fal", "replicate"])
async def test_cancelling_reaches_the_provider(
    start_providers: StartProviders, provider: str
) -> None:
    setup = await start_providers(provider)
    setup.fakes[provider].polls = 50
    ada = setup.user()
    job = await submit_job(ada, {"prompt": "x", "provider": provider})
    await setup.world.settle()
    assert (await ada.delete(job["urls"]["cancel"])).json()["status"] == "CANCELLED"
    await setup.world.settle()
    assert setup.fakes[provider].cancelled == set(setup.fakes[provider].operations)
    assert (await read_balance(ada))["available"] == 100


async def test_a_job_that_runs_out_of_time_is_stopped_at_its_provider(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("replicate")
    fake = setup.fakes["replicate"]
    fake.polls = 500
    late = await setup.run_job({"prompt": "x", "provider": "replicate", "deadlineSeconds": 60})
    assert (late["status"], late["error"]["code"]) == ("FAILED", "deadline_passed")
    await setup.world.settle()
    assert fake.cancelled == set(fake.operations)
    stored = await setup.world.job(late["jobId"])
    assert (stored.operations, stored.wake_at) == ((), None)


async def test_a_provider_that_cannot_be_told_to_stop_is_told_again(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("fal")
    fake, ada = setup.fakes["fal"], setup.user()
    fake.polls = 500
    job = await submit_job(ada, {"prompt": "x", "provider": "fal"})
    await setup.world.settle()
    fake.fault = Fault.SERVER_ERROR
    await ada.delete(job["urls"]["cancel"])
    await setup.world.settle()
    assert (fake.cancelled, (await read_job(ada, job))["status"]) == (set(), "CANCELLED")
    fake.fault = None
    await setup.world.advance(130)
    await setup.world.sweep()
    await setup.world.settle()
    assert fake.cancelled == set(fake.operations)
    assert (await setup.world.job(job["jobId"])).wake_at is None


@pytest.mark.parametrize(
    ("name", "state"), [("bfl", UnitState.RUNNING), ("openai", UnitState.DONE)]
)
async def test_a_stopping_instance_stores_what_it_is_just_buying(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch, name: str, state: UnitState
) -> None:
    setup = await start_providers(name)
    provider, asked, may_answer = (
        setup.world.services.providers.get(name),
        asyncio.Event(),
        asyncio.Event(),
    )
    start = provider.start

    async def slow(request: Any, **more: Any) -> Any:
        answer = await start(request, **more)
        asked.set()
        await may_answer.wait()
        return answer

    monkeypatch.setattr(provider, "start", slow)
    job = await submit_job(setup.user(), {"prompt": "x", "provider": name})
    await setup.world.settle()
    assert asked.is_set()
    stopping = asyncio.create_task(wiring.running().stop())
    await setup.world.rest()
    may_answer.set()
    await stopping
    back = await setup.world.job(job["jobId"])
    assert (back.status, back.attempt, back.units[0].state) == (Status.QUEUED, 1, state)
    wiring.running.cache_clear()
    wiring.processor.cache_clear()
    await Processor(setup.world.services).process_task(job["jobId"])
    await setup.world.advance(60)
    done = await read_job(setup.user(), job)
    assert (done["status"], done["attempt"], setup.fakes[name].creates) == ("COMPLETED", 1, 1)


async def test_a_stopping_instance_finishes_storing_a_result(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("openai")
    blobs, storing, may_store = setup.world.services.blobs, asyncio.Event(), asyncio.Event()
    put = blobs.put

    async def slow(*args: Any, **more: Any) -> None:
        storing.set()
        await may_store.wait()
        await put(*args, **more)

    monkeypatch.setattr(blobs, "put", slow)
    job = await submit_job(setup.user(), {"prompt": "x", "provider": "openai"})
    await setup.world.settle()
    assert storing.is_set()
    stopping = asyncio.create_task(wiring.running().stop())
    await setup.world.rest()
    may_store.set()
    await stopping
    assert (await setup.world.job(job["jobId"])).units[0].state is UnitState.DONE


async def test_what_a_cancelled_run_has_just_bought_is_cancelled_too(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("fal")
    provider, ada = setup.world.services.providers.get("fal"), setup.user()
    start = provider.start

    async def slow(request: Any, **more: Any) -> Any:
        answer = await start(request, **more)
        await ada.delete(job["urls"]["cancel"])
        return answer

    monkeypatch.setattr(provider, "start", slow)
    job = await submit_job(ada, {"prompt": "x", "provider": "fal"})
    await setup.world.settle()
    assert (await read_job(ada, job))["status"] == "CANCELLED"
    assert len(setup.fakes["fal"].cancelled) == 1


async def test_what_failed_in_a_batch_waits_for_its_own_time_while_the_rest_is_polled(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    fake, ada = setup.fakes["bfl"], setup.user()
    fake.polls = 20
    body = {
        "prompts": ["a", "b"],
        "provider": "bfl",
        "batchSize": 1,
        "retry": {"maxAttempts": 3, "minBackoffSeconds": 60},
    }
    job = await submit_job(ada, body, BATCH)
    stored = await setup.world.job(job["jobId"])
    error = JobError(code="provider_error", category=Category.TEMPORARY, message="not now")
    later = stored.units[0].model_copy(
        update={"error": error, "due_at": setup.world.now() + timedelta(minutes=1)}
    )
    await setup.world.put(stored.with_changes(setup.world.now(), units=(later, stored.units[1])))
    await setup.world.advance(30)
    polled = await setup.world.job(job["jobId"])
    assert (polled.attempt, fake.creates, polled.units[0]) == (1, 1, later)
    await setup.world.advance(300)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"], fake.creates, done["credits"]["captured"]) == (
        "COMPLETED",
        2,
        2,
        2,
    )
