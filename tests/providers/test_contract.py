"""The contract of a provider's adapter, which holds for every case of every provider."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from providers.case import Case, fetch_result, run_until_done, start_pending
from providers.cases import CASES
from providers.fake_provider import RETRY_AFTER, SECRETS, Fault, serve_on_port
from providers.fakes import FAKES
from streamed_answers import StreamedAnswers
from taskreel.adapters.providers import PROVIDERS
from taskreel.adapters.providers.model_lookup import get_today, list_rows
from taskreel.adapters.providers.provider_errors import AmbiguousError
from taskreel.domain.errors import (
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    TemporaryError,
)
from taskreel.ports import Capability, Done


def parametrize_cases(cases: Iterable[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", list(cases), ids=lambda case: case.name)


every_case = parametrize_cases(CASES)
every_polled_case = parametrize_cases(case for case in CASES if case.pending)


def test_no_provider_and_no_capability_is_missing() -> None:
    today = get_today()
    offered = {(row.provider, row.capability) for row in list_rows() if row.is_current(today)}
    assert offered == {(case.provider, case.capability) for case in CASES}
    assert {row.provider for row in list_rows()} == PROVIDERS.keys() == FAKES.keys()


@every_case
async def test_work_is_bought_once_and_its_result_arrives(case: Case, tmp_path: Path) -> None:
    fake = case.fake(polls=2)
    done = await run_until_done(case.adapter(fake), case.request(tmp_path))

    assert fake.creates == 1
    if case.capability is Capability.TEXT:
        assert done.data == {"title": "The lamp"}
        return
    if case.capability is Capability.TRANSCRIPTION:
        assert done.data is not None
        assert done.data["text"] == "The lamp is lit."
        assert [output.suffix for output in done.outputs] == [".json", ".srt", ".vtt"]
        return
    (output,) = done.outputs
    if output.path is not None:
        assert output.path.parent == tmp_path
        assert output.path.name.startswith("unit-0")
        assert output.path.read_bytes() in fake.files.values()
    else:
        assert output.url is not None
        assert (await fetch_result(fake, output.url)).content in fake.files.values()


@every_case
async def test_a_key_that_does_not_hold_is_for_an_operator(case: Case, tmp_path: Path) -> None:
    fake = case.fake()
    with pytest.raises(PermanentError) as caught:
        await run_until_done(case.adapter(fake, key="sk-wrong-0123456789"), case.request(tmp_path))
    assert caught.value.code == "provider_auth"
    assert fake.key not in caught.value.message
    assert fake.creates == 0


@every_case
async def test_too_fast_waits_as_long_as_the_provider_says(case: Case, tmp_path: Path) -> None:
    fake = case.fake(Fault.RATE_LIMITED)
    with pytest.raises(RateLimitedError) as caught:
        await run_until_done(case.adapter(fake), case.request(tmp_path))
    assert caught.value.retry_after == timedelta(seconds=RETRY_AFTER)
    assert caught.value.code == "rate_limited"
    assert fake.creates == 0


@every_case
async def test_too_fast_without_a_time_waits_half_a_minute_or_more(
    case: Case, tmp_path: Path
) -> None:
    with pytest.raises(RateLimitedError) as caught:
        await run_until_done(
            case.adapter(case.fake(Fault.RATE_LIMITED_WITHOUT_TIME)), case.request(tmp_path)
        )
    assert timedelta(seconds=30) <= caught.value.retry_after <= timedelta(seconds=60)


@every_case
async def test_full_concurrency_is_a_wait_of_its_own_kind(case: Case, tmp_path: Path) -> None:
    with pytest.raises(RateLimitedError) as caught:
        await run_until_done(case.adapter(case.fake(Fault.BUSY)), case.request(tmp_path))
    assert caught.value.code == "provider_busy"


@every_case
async def test_no_credit_is_no_reason_to_wait(case: Case, tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        await run_until_done(case.adapter(case.fake(Fault.NO_CREDIT)), case.request(tmp_path))
    assert caught.value.code == "provider_out_of_credit"


@every_case
async def test_a_broken_provider_is_down_at_start(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ProviderDownError) as caught:
        await run_until_done(case.adapter(case.fake(Fault.SERVER_ERROR)), case.request(tmp_path))
    assert "10.0.0.7" not in caught.value.message


@every_polled_case
async def test_a_provider_that_breaks_while_work_goes_on_is_down_and_the_work_is_found_again(
    case: Case, tmp_path: Path
) -> None:
    fake, request = case.fake(polls=1), case.request(tmp_path)
    provider = case.adapter(fake)
    pending = await start_pending(provider, request)
    fake.fault = Fault.SERVER_ERROR
    with pytest.raises(ProviderDownError):
        await provider.poll(pending.operation, request)
    fake.fault = None
    await provider.poll(pending.operation, request)
    answer = await provider.poll(pending.operation, request)
    assert fake.creates == 1
    assert isinstance(answer, Done)


@every_case
async def test_a_create_whose_answer_is_lost_is_ambiguous_and_never_sent_again(
    case: Case, tmp_path: Path
) -> None:
    fake = case.fake(Fault.LOST_ANSWER)
    with pytest.raises(AmbiguousError) as caught:
        await run_until_done(case.adapter(fake), case.request(tmp_path))
    assert caught.value.code == "ambiguous_create"
    assert fake.creates == 1
    assert len(fake.calls) == 1


@every_case
async def test_a_gateway_that_gives_up_on_a_create_is_ambiguous_too(
    case: Case, tmp_path: Path
) -> None:
    with pytest.raises(AmbiguousError):
        await run_until_done(case.adapter(case.fake(Fault.GATEWAY_TIMEOUT)), case.request(tmp_path))


@every_polled_case
async def test_an_accepted_create_without_an_id_is_ambiguous(case: Case, tmp_path: Path) -> None:
    fake = case.fake(Fault.NO_ID)
    with pytest.raises(AmbiguousError):
        await run_until_done(case.adapter(fake), case.request(tmp_path))
    assert fake.creates == 1


@every_case
async def test_a_provider_that_cannot_be_reached_has_sold_nothing(
    case: Case, tmp_path: Path
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    provider = case.adapter(case.fake(), transport=StreamedAnswers(refuse))
    with pytest.raises(ProviderDownError):
        await run_until_done(provider, case.request(tmp_path))


@every_polled_case
async def test_an_unknown_status_means_running(case: Case, tmp_path: Path) -> None:
    fake = case.fake(Fault.UNKNOWN_STATUS, polls=2)
    done = await run_until_done(case.adapter(fake), case.request(tmp_path))
    assert done.outputs or done.data


@parametrize_cases(case for case in CASES if case.moderates)
async def test_moderation_ends_the_job(case: Case, tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        await run_until_done(case.adapter(case.fake(Fault.MODERATION)), case.request(tmp_path))
    assert caught.value.code == "moderation"


@parametrize_cases(case for case in CASES if case.pending and case.fails)
async def test_an_operation_that_failed_is_over_and_may_be_bought_anew(
    case: Case, tmp_path: Path
) -> None:
    with pytest.raises(TemporaryError) as caught:
        await run_until_done(case.adapter(case.fake(Fault.FAILED)), case.request(tmp_path))
    assert caught.value.code == "operation_failed"
    assert caught.value.details["ended"]
    assert "10." not in caught.value.message


@every_case
async def test_a_success_with_nothing_in_it_is_no_success(case: Case, tmp_path: Path) -> None:
    with pytest.raises(TemporaryError) as caught:
        await run_until_done(case.adapter(case.fake(Fault.NO_RESULT)), case.request(tmp_path))
    assert caught.value.code == "no_output"
    assert caught.value.details["ended"]


@every_case
async def test_a_model_that_is_gone_says_so(case: Case, tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        await run_until_done(case.adapter(case.fake(Fault.MODEL_GONE)), case.request(tmp_path))
    assert caught.value.code in {"model_retired", "voice_unknown"}


@every_polled_case
async def test_an_operation_that_the_provider_has_forgotten_is_lost(
    case: Case, tmp_path: Path
) -> None:
    fake, request = case.fake(), case.request(tmp_path)
    provider = case.adapter(fake)
    pending = await start_pending(provider, request)
    fake.operations.clear()
    with pytest.raises(PermanentError) as caught:
        await provider.poll(pending.operation, request)
    assert caught.value.code == "operation_unknown"


@every_case
async def test_the_providers_words_reach_the_user_made_presentable_and_the_log_whole(
    case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = case.fake(Fault.PRIVATE_TEXT)
    with caplog.at_level(logging.WARNING), pytest.raises(PermanentError) as caught:
        await run_until_done(case.adapter(fake), case.request(tmp_path))
    assert caught.value.code == "provider_rejected"
    assert "Field 'seed' is wrong" in caught.value.message
    assert len(caught.value.message) < 300
    assert not [
        secret for secret in (*SECRETS, "10.2.3.4", "6f1c2e9a") if secret in caught.value.message
    ]
    logged = " ".join(str(record.__dict__.get("body")) for record in caplog.records)
    assert SECRETS[1] in logged
    assert fake.key not in logged


@every_case
async def test_an_echoed_key_stays_out_of_the_log(
    case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = case.fake()
    wrong = fake.key[:-1] + "X"
    fake.__class__ = type("Echo", (type(fake),), {"key": wrong, "is_authorised": lambda *_: False})
    with caplog.at_level(logging.DEBUG), pytest.raises(PermanentError):
        await run_until_done(case.adapter(fake, key=wrong), case.request(tmp_path))
    assert wrong not in " ".join(str(record.__dict__) for record in caplog.records)


@every_polled_case
async def test_the_key_is_never_sent_to_a_host_that_a_reply_names(
    case: Case, tmp_path: Path
) -> None:
    fake, request = case.fake(Fault.FOREIGN_ADDRESS), case.request(tmp_path)
    try:
        await run_until_done(case.adapter(fake), request)
    except PermanentError as error:
        assert error.code == "untrusted_host"  # noqa: PT017  # or it builds the address
    assert "api.attacker.example" not in {call.host for call in fake.calls}


@every_polled_case
async def test_cancelling_stops_what_can_be_stopped_and_is_harmless_twice(
    case: Case, tmp_path: Path
) -> None:
    fake, request = case.fake(polls=5), case.request(tmp_path)
    provider = case.adapter(fake)
    pending = await start_pending(provider, request)
    before = len(fake.calls)
    await provider.cancel(pending.operation)
    await provider.cancel(pending.operation)
    assert bool(fake.cancelled) is case.cancels
    assert (len(fake.calls) > before) is case.cancels


@parametrize_cases(case for case in CASES if case.cancels)
async def test_work_that_was_cancelled_there_is_over(case: Case, tmp_path: Path) -> None:
    fake, request = case.fake(polls=5), case.request(tmp_path)
    provider = case.adapter(fake)
    pending = await start_pending(provider, request)
    await provider.cancel(pending.operation)
    with pytest.raises(PermanentError) as caught:
        await provider.poll(pending.operation, request)
    assert caught.value.code in {"provider_cancelled", "operation_unknown"}


@every_case
async def test_provider_options_go_into_the_body_word_for_word(case: Case, tmp_path: Path) -> None:
    fake = case.fake()
    request = case.request(tmp_path, providerOptions={"certainly_no_field": "x"})
    with pytest.raises(PermanentError) as caught:
        await run_until_done(case.adapter(fake), request)
    assert caught.value.code == "provider_rejected"
    assert "certainly_no_field" in caught.value.message


@every_case
async def test_a_model_that_does_not_exist_costs_no_call(case: Case, tmp_path: Path) -> None:
    fake = case.fake()
    with pytest.raises(PermanentError) as caught:
        await run_until_done(case.adapter(fake), case.request(tmp_path, model="no-such-model"))
    assert caught.value.code == "unknown_model"
    assert not fake.calls


@every_case
async def test_more_results_than_a_model_makes_at_once_are_refused_not_forgotten(
    case: Case, tmp_path: Path
) -> None:
    fake = case.fake()
    with pytest.raises(PermanentError) as caught:
        await run_until_done(case.adapter(fake), case.request(tmp_path, numImages=99))
    assert caught.value.code == "unsupported_parameter"
    assert not fake.calls


@every_case
async def test_it_works_over_a_real_port(case: Case, tmp_path: Path) -> None:
    fake = case.fake()
    with serve_on_port(fake) as origin:
        provider = case.adapter(
            fake, transport=None, base_url=origin + httpx.URL(case.url).path.rstrip("/")
        )
        done = await run_until_done(provider, case.request(tmp_path))
        await provider.close()
    assert fake.creates == 1
    assert done.outputs or done.data


@parametrize_cases(CASES[:1])
async def test_a_connection_lost_on_a_real_port_is_ambiguous_too(
    case: Case, tmp_path: Path
) -> None:
    fake = case.fake(Fault.LOST_ANSWER)
    with serve_on_port(fake) as origin:
        provider = case.adapter(fake, transport=None, base_url=origin)
        with pytest.raises(AmbiguousError):
            await run_until_done(provider, case.request(tmp_path))
        await provider.close()
    assert fake.creates == 1


@every_case
async def test_closing_before_and_after_use_is_fine(case: Case, tmp_path: Path) -> None:
    unused = case.adapter(case.fake())
    await unused.close()
    used = case.adapter(case.fake())
    await run_until_done(used, case.request(tmp_path))
    await used.close()
